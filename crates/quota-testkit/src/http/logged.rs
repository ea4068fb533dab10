//! What a future logs.

use std::future::Future;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::instrument::WithSubscriber;

/// What a future answers, and what it logged where it was polled.
pub async fn logged<T>(future: impl Future<Output = T>) -> (T, String) {
    let log = Log::default();
    let to_log = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to_log.clone()).finish();
    let answer = future.with_subscriber(subscriber).await;
    let written = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (answer, String::from_utf8_lossy(&written).into_owned())
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
