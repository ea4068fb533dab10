//! That the server has been asked to stop.

use std::future::pending;

use tokio::sync::watch;

/// Tells every [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears of it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// One that tells and one that hears; more that hear are its clones.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (stopper, stop) = watch::channel(false);
    (Stopper(stopper), Stop(stop))
}

impl Stopper {
    /// Whoever waits goes on, and whoever will wait does not.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the server has been asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready when the server has been asked to stop; never if nobody can ask any more. Dropping it loses nothing.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|is_asked| *is_asked).await.is_err() {
            pending::<()>().await;
        }
    }
}
