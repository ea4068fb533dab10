//! Whether a batch's answers have arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says of a batch, after it was applied, that everybody who asked for it has received an answer that says what became of it.
///
/// An id that the service makes for a caller who gave none ([`EntryId::Made`](quota_core::EntryId::Made)) is told to that caller only where it is not
/// known what became of the request. So nobody can ask by the ids that were made for a batch once all its answers were received, and
/// a store need not remember them ([`UsageStore::apply_with_receipt`](crate::UsageStore::apply_with_receipt)). Until then, and for ever where one was not, they
/// are remembered as all ids are.
#[derive(Clone, Debug, Default)]
pub struct Receipt(Arc<AtomicBool>);

impl Receipt {
    /// Of a batch whose answers were not received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every answer was received.
    pub fn confirm(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether every answer was received.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
