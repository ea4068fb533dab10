//! The time of the store's server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use quota_core::Instant;
use tokio::sync::OnceCell;

use crate::clock::{Clock, SystemClock};
use crate::instruments::Instruments;
use crate::store::UsageStore;
use crate::store_error::StoreError;

/// For how long a measurement is counted on from before the server is asked again.
const MEASUREMENT_LASTS: Duration = Duration::from_secs(60);

/// How long a server may take to tell its time again, and how long it is left alone if it does not.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(5);

/// The time of a store's server: this machine's monotonic time and what the server's clock was ahead of it when it
/// was asked last. So all processes on one store agree on the present however wrong their own clocks are.
///
/// It is asked at a service's first operation, and again by an operation that comes a minute later, in the background.
/// Half of the time that the question took is the greatest error. Where a store has no server ([`UsageStore::server_time`]
/// is none), and before the first answer, it is [`SystemClock`].
pub(crate) struct ServerClock {
    begun: tokio::time::Instant,
    /// Whether there is a server; not set before its first answer.
    has_server: OnceCell<bool>,
    /// The server's milliseconds since 1970 when this clock was made.
    at_begun: AtomicI64,
    /// Milliseconds from then to the last measurement.
    measured: AtomicU64,
    measuring: AtomicBool,
    instruments: Instruments,
}

/// A question that is under way. However it ends, another one may be asked.
struct Measuring(Arc<ServerClock>);

impl Drop for Measuring {
    fn drop(&mut self) {
        self.0.measuring.store(false, Ordering::Release);
    }
}

impl ServerClock {
    /// A clock that has not asked yet.
    pub(crate) fn new(instruments: &Instruments) -> Self {
        Self {
            begun: tokio::time::Instant::now(),
            has_server: OnceCell::new(),
            at_begun: AtomicI64::new(0),
            measured: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            instruments: instruments.clone(),
        }
    }

    /// Whether a server has told its time.
    pub(crate) fn is_servers(&self) -> bool {
        self.has_server.get() == Some(&true)
    }

    /// Asks for the first time, however many callers wait; or again, in the background, after a minute.
    ///
    /// # Errors
    /// The store's, where it could not be asked for the first time.
    pub(crate) async fn follow<S: UsageStore>(self: &Arc<Self>, store: &Arc<S>) -> Result<(), StoreError> {
        if let Some(has_server) = self.has_server.get() {
            if *has_server && self.is_old() && !self.measuring.swap(true, Ordering::AcqRel) {
                let (measuring, store) = (Measuring(Arc::clone(self)), Arc::clone(store));
                tokio::spawn(async move {
                    match tokio::time::timeout(PATIENCE, measuring.0.measure(&*store)).await {
                        Ok(Ok(_)) => return,
                        Ok(Err(error)) => tracing::warn!(%error, "the server did not tell its time"),
                        Err(_) => tracing::warn!("the server did not tell its time in {PATIENCE:?}"),
                    }
                    tokio::time::sleep(PAUSE).await;
                });
            }
            return Ok(());
        }
        self.has_server.get_or_try_init(|| self.measure(&**store)).await.map(|_| ())
    }

    /// Asks the server; false where there is none.
    async fn measure(&self, store: &impl UsageStore) -> Result<bool, StoreError> {
        let asked = self.elapsed();
        let Some(server) = store.server_time().await? else { return Ok(false) };
        let answered = self.elapsed();
        let middle = asked.midpoint(answered);
        self.at_begun.store(server.millis().saturating_sub_unsigned(middle), Ordering::Release);
        self.measured.store(answered, Ordering::Release);
        self.instruments.offset(SystemClock.now(), server);
        Ok(true)
    }

    fn is_old(&self) -> bool {
        let age = self.elapsed().saturating_sub(self.measured.load(Ordering::Acquire));
        Duration::from_millis(age) >= MEASUREMENT_LASTS
    }

    /// Milliseconds since this clock was made.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Instant {
        if !self.is_servers() {
            return SystemClock.now();
        }
        let millis = self.at_begun.load(Ordering::Acquire).saturating_add_unsigned(self.elapsed());
        Instant::from_millis(millis).unwrap_or(if millis < 0 { Instant::MIN } else { Instant::MAX })
    }
}
