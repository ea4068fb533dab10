//! Where the present comes from.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quota_core::Instant;

/// Tells the present instant.
pub trait Clock: Send + Sync + 'static {
    /// The present, rounded down to a millisecond.
    fn now(&self) -> Instant;
}

/// The machine's own clock. Before 1970 it says 1970, after 2099 it says 2099.
///
/// It counts the processor's ticks from a reading of the system's clock that is at most 10 ms old, since a reading
/// costs as much as half a charge: it is off by some microseconds, and follows a step of the system's clock within 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// For how many nanoseconds a reading of the system's clock is counted on from.
const READING_LASTS: u64 = 10_000_000;

/// The last reading of the system's clock.
struct Reading {
    ticks: quanta::Clock,
    /// Nanoseconds of the ticks when it was read.
    read_at: AtomicU64,
    /// What the system's clock was ahead of the ticks then, in nanoseconds. Each of the two is good without the other.
    ahead: AtomicI64,
}

static READING: LazyLock<Reading> =
    LazyLock::new(|| Reading { ticks: quanta::Clock::new(), read_at: AtomicU64::new(0), ahead: AtomicI64::new(0) });

impl Reading {
    /// Nanoseconds since 1970.
    fn now(&self) -> u64 {
        let ticks = self.ticks.delta_as_nanos(0, self.ticks.raw());
        // A difference below zero, where ticks went back, is as good as too long.
        if ticks.wrapping_sub(self.read_at.load(Ordering::Acquire)) >= READING_LASTS {
            return self.read();
        }
        ticks.saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    #[cold]
    fn read(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // After the clock: a thread that is held up in between leaves this clock behind for a moment, never ahead.
        let ticks = self.ticks.delta_as_nanos(0, self.ticks.raw());
        let nanos = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        self.ahead.store(i64::try_from(i128::from(nanos) - i128::from(ticks)).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.read_at.store(ticks, Ordering::Release);
        nanos
    }
}

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
        i64::try_from(READING.now() / 1_000_000)
            .ok()
            .and_then(|millis| Instant::from_millis(millis).ok())
            .unwrap_or(Instant::MAX)
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
