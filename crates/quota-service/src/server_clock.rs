//! The time of the store's server.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use quota_core::Instant;

use crate::clock::{Clock, SystemClock};
use crate::instruments::Instruments;
use crate::store::UsageStore;
use crate::store_error::StoreError;
use crate::together::{Joined, Together};

/// For how long a measurement is counted on from before the server is asked again.
const MEASUREMENT_LASTS: Duration = Duration::from_secs(60);

/// And for how long nobody waits for the answer. Nobody has come meanwhile, or the server has not told: it may be another one, or
/// have been set, and an instant that is too far ahead cannot be taken back.
const STALE: Duration = Duration::from_secs(120);

/// How long a server may take to tell its time again, which is twice the error, and how long after a question it is left alone.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(5);

/// How often it is asked where the machine has slept each time before the answer came.
const QUESTIONS: usize = 3;

/// How far the machine's clock runs ahead of its monotonic one where the machine has slept: the latter stands still then.
const SLEPT: Duration = Duration::from_secs(2);

/// The time of a store's server: this machine's monotonic time and what the server's clock was ahead of it when it
/// was asked last. So all processes on one store agree on the present however wrong their own clocks are.
///
/// It is asked at a service's first operation, and again by an operation that comes a minute later, in the background; by one that
/// comes two minutes later before that is done, and so by the first after the machine has slept (or its clock was set forward).
/// Half of the time that the question took is the greatest error. Where a store has no server ([`UsageStore::server_time`]
/// is none), and before the first answer, it is [`SystemClock`].
pub(crate) struct ServerClock {
    begun: tokio::time::Instant,
    /// Whether there is a server; not set before its first answer.
    has_server: OnceLock<bool>,
    /// The server's milliseconds since 1970 when this clock was made.
    at_begun: AtomicI64,
    /// Milliseconds from then to the last measurement.
    measured: AtomicU64,
    /// The machine's own milliseconds since 1970 when this clock was made, as they were at the last measurement.
    own_at_begun: AtomicI64,
    /// Milliseconds to the last question that was asked in the background. By this, and not by its end, the next one is asked: its
    /// runtime may be one that nobody drives.
    asked_again: AtomicU64,
    /// It did not tell when it was waited for: what it told before goes on, and nobody waits for it until it tells again.
    goes_on: AtomicBool,
    /// The question that callers wait for.
    together: Together<Result<(), Arc<StoreError>>>,
    instruments: Instruments,
}

impl ServerClock {
    /// A clock that has not asked yet.
    pub(crate) fn new(instruments: &Instruments) -> Self {
        Self {
            begun: tokio::time::Instant::now(),
            has_server: OnceLock::new(),
            at_begun: AtomicI64::new(0),
            measured: AtomicU64::new(0),
            own_at_begun: AtomicI64::new(0),
            asked_again: AtomicU64::new(0),
            goes_on: AtomicBool::new(false),
            together: Together::default(),
            instruments: instruments.clone(),
        }
    }

    /// Whether a server has told its time.
    pub(crate) fn is_servers(&self) -> bool {
        self.has_server.get() == Some(&true)
    }

    /// The server's time at this moment, where nobody has to wait for it; a minute after it was asked it is asked again, in the
    /// background.
    pub(crate) fn known_at<S: UsageStore>(
        self: &Arc<Self>,
        now: tokio::time::Instant,
        store: &Arc<S>,
    ) -> Option<Instant> {
        let own = SystemClock.now();
        if !*self.has_server.get()? {
            return Some(own);
        }
        let elapsed = self.elapsed_at(now);
        if self.has_slept_at(own, elapsed) || self.is_stale_at(elapsed) {
            return None;
        }
        if self.age_at(elapsed) >= MEASUREMENT_LASTS && self.begins_to_ask(elapsed) {
            tokio::spawn(Arc::clone(self).measure_again(Arc::clone(store)));
        }
        Some(self.at(elapsed))
    }

    /// Whether nobody has asked in the background lately; then this caller does.
    fn begins_to_ask(&self, elapsed: u64) -> bool {
        let asked = self.asked_again.load(Ordering::Acquire);
        Duration::from_millis(elapsed.saturating_sub(asked)) >= PAUSE
            && self.asked_again.compare_exchange(asked, elapsed, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    async fn measure_again<S: UsageStore>(self: Arc<Self>, store: Arc<S>) {
        match tokio::time::timeout(PATIENCE, self.measure(&*store)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the server did not tell its time"),
            Err(_) => tracing::warn!("the server did not tell its time in {PATIENCE:?}"),
        }
    }

    /// Asks for the first time, after long, and after the machine has slept, however many callers wait. Its error is the store's, where it could
    /// not be asked.
    pub(crate) fn follow<S: UsageStore>(self: &Arc<Self>, store: &Arc<S>) -> Joined<Result<(), Arc<StoreError>>> {
        self.together.ask(|| {
            let (clock, store) = (Arc::clone(self), Arc::clone(store));
            async move { clock.measure(&*store).await.map(drop).map_err(Arc::new) }.boxed()
        })
    }

    /// How long its answer is worth waiting for where what it told before could go on; none where that could not.
    pub(crate) fn patience(&self) -> Option<Duration> {
        (self.is_servers() && !self.has_slept()).then_some(PATIENCE)
    }

    /// It does not tell its time, and may do all else: what it told before goes on.
    pub(crate) fn go_on(&self) {
        if !self.goes_on.swap(true, Ordering::AcqRel) {
            tracing::warn!("the server did not tell its time: what it told before is counted on");
        }
    }

    /// Lets the next caller ask anew, where this one has waited for as long as it may.
    pub(crate) fn forget(&self, asked: &Joined<Result<(), Arc<StoreError>>>) {
        self.together.forget(asked);
    }

    /// Asks the server; false where there is none.
    async fn measure(&self, store: &impl UsageStore) -> Result<bool, StoreError> {
        // The machine may sleep while the question is on its way.
        let mut has_told = None;
        for _ in 0..QUESTIONS {
            has_told = self.ask(store).await?;
            if has_told == Some(false) || (has_told == Some(true) && !self.has_slept()) {
                break;
            }
        }
        let has_server = has_told.ok_or_else(|| untold("the server took too long to tell its time"))?;
        Ok(*self.has_server.get_or_init(|| has_server))
    }

    /// Asks the server once; false where there is none. What it told is worth nothing where that took long, as where this process was
    /// stopped meanwhile: it may have been then or now.
    async fn ask(&self, store: &impl UsageStore) -> Result<Option<bool>, StoreError> {
        let (asked, own) = (self.elapsed(), self.own_at_begun());
        let told = AssertUnwindSafe(store.server_time()).catch_unwind().await;
        let told = told.unwrap_or_else(|_| Err(untold("the store panicked when it was asked for the server's time")));
        let Some(server) = told? else { return Ok(Some(false)) };
        let answered = self.elapsed();
        if Duration::from_millis(answered.saturating_sub(asked)) > PATIENCE {
            return Ok(None);
        }
        let middle = asked.midpoint(answered);
        self.at_begun.store(server.millis().saturating_sub_unsigned(middle), Ordering::Release);
        self.measured.store(answered, Ordering::Release);
        self.own_at_begun.store(own, Ordering::Release);
        self.goes_on.store(false, Ordering::Release);
        self.instruments.offset(SystemClock.now(), server);
        Ok(Some(true))
    }

    fn age_at(&self, elapsed: u64) -> Duration {
        Duration::from_millis(elapsed.saturating_sub(self.measured.load(Ordering::Acquire)))
    }

    fn is_stale_at(&self, elapsed: u64) -> bool {
        self.age_at(elapsed) >= STALE && !self.goes_on.load(Ordering::Acquire)
    }

    fn has_slept(&self) -> bool {
        self.has_slept_at(SystemClock.now(), self.elapsed())
    }

    fn has_slept_at(&self, own: Instant, elapsed: u64) -> bool {
        let own_at_begun = own.millis().saturating_sub_unsigned(elapsed);
        let ahead = own_at_begun.saturating_sub(self.own_at_begun.load(Ordering::Acquire));
        u64::try_from(ahead).is_ok_and(|ahead| Duration::from_millis(ahead) > SLEPT)
    }

    /// What the machine's own clock must have shown when this one was made, in milliseconds since 1970.
    fn own_at_begun(&self) -> i64 {
        SystemClock.now().millis().saturating_sub_unsigned(self.elapsed())
    }

    /// Milliseconds since this clock was made.
    fn elapsed(&self) -> u64 {
        self.elapsed_at(tokio::time::Instant::now())
    }

    fn elapsed_at(&self, now: tokio::time::Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    /// The server's time so many milliseconds after this clock was made.
    fn at(&self, elapsed: u64) -> Instant {
        let millis = self.at_begun.load(Ordering::Acquire).saturating_add_unsigned(elapsed);
        Instant::from_millis(millis).unwrap_or(if millis < 0 { Instant::MIN } else { Instant::MAX })
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Instant {
        if !self.is_servers() {
            return SystemClock.now();
        }
        self.at(self.elapsed())
    }
}

fn untold(why: &str) -> StoreError {
    StoreError::NotDone { message: why.to_owned(), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_and_never_came_to_an_end_is_not_waited_for() {
        let clock = ServerClock::new(&Instruments::new());
        assert!(clock.begins_to_ask(60_000));
        assert!(!clock.begins_to_ask(60_001) && !clock.begins_to_ask(64_999));
        assert!(clock.begins_to_ask(65_000) && !clock.begins_to_ask(65_000));
    }
}
