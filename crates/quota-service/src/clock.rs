//! Where the present comes from.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quota_core::Instant;

/// Tells the present instant.
pub trait Clock: Send + Sync + 'static {
    /// The present, rounded down to a millisecond.
    fn now(&self) -> Instant;
}

/// The machine's own clock. Before 1970 it says 1970, after 2099 it says 2099.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that stands still until it is set, for tests and simulations.
///
/// ```
/// use quota_service::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new("2024-03-31T00:59:59.999Z".parse()?);
/// clock.advance(Duration::from_millis(1));
/// assert_eq!(clock.now(), "2024-03-31T01:00:00Z".parse()?);
/// # Ok::<(), quota_core::InstantError>(())
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self(AtomicI64::new(now.millis()))
    }

    /// Stands at `now` from here on, earlier or later.
    pub fn set(&self, now: Instant) {
        self.0.store(now.millis(), Ordering::SeqCst);
    }

    /// Moves forward, at most to the end of 2099.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant::MIN.saturating_add(since_1970)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.load(Ordering::SeqCst)).unwrap_or(Instant::MIN)
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Instant {
        C::now(self)
    }
}
