//! Whether a batch's answers have arrived.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::queue::{InFlight, Waiting};

/// Says of a batch, after it was applied, that everybody who asked for it has received an answer that says what became of it; and before
/// that, whether all still wait for one.
///
/// An id that the service makes for a caller who gave none ([`EntryId::Made`](quota_core::EntryId::Made)) is told to that caller only where it is not
/// known what became of the request. So nobody can ask by the ids that were made for a batch once all its answers were received, and
/// a store need not remember them ([`UsageStore::apply_with_receipt`](crate::UsageStore::apply_with_receipt)). Until then, and for ever where one was not, they
/// are remembered as all ids are. And as long as all wait, nobody has asked by them, and a store need not look for them.
#[derive(Clone, Default)]
pub struct Receipt(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_confirmed: AtomicBool,
    /// Who waits. It keeps nobody waiting whose batch was lost.
    waiting: Weak<Mutex<Vec<Waiting>>>,
}

impl Receipt {
    /// Of a batch whose answers were not received yet, and for which nobody is known to wait.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of a batch for which these wait.
    pub(crate) fn awaited_by(flight: &InFlight) -> Self {
        Self(Arc::new(Inner { is_confirmed: AtomicBool::new(false), waiting: Arc::downgrade(flight) }))
    }

    /// Every answer was received.
    pub fn confirm(&self) {
        self.0.is_confirmed.store(true, Ordering::Release);
    }

    /// Whether every answer was received.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.0.is_confirmed.load(Ordering::Acquire)
    }

    /// Whether everybody who asked for the batch waits for an answer now: nobody was told that it is not known. Costs a look at each of them.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let all_wait = |flight: InFlight| flight.lock().iter().flatten().all(|waiter| waiter.replying.is_open());
        self.0.waiting.upgrade().is_some_and(all_wait)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("is_confirmed", &self.is_confirmed()).finish_non_exhaustive()
    }
}
