//! The ids that a ledger with quarters remembers.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use quota_core::{Entry, Instant, OperationId, Window};

/// Recent entries by id, and the order in which they were written.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    by_id: HashMap<OperationId, (Entry, Instant)>,
    order: VecDeque<(Instant, OperationId)>,
}

impl Ids {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn find(&self, id: &OperationId) -> Option<&Entry> {
        self.by_id.get(id).map(|(entry, _)| entry)
    }

    pub(crate) fn remember(&mut self, id: &OperationId, entry: Entry, written: Instant) {
        self.order.push_back((written, id.clone()));
        self.by_id.insert(id.clone(), (entry, written));
    }

    pub(crate) fn remove(&mut self, id: &OperationId) {
        self.by_id.remove(id);
    }

    pub(crate) fn remove_range(&mut self, range: Window) {
        self.by_id.retain(|_, (entry, _)| !range.contains(entry.at));
    }

    /// Forgets what was written longer ago than `keep`; says how many.
    pub(crate) fn forget(&mut self, now: Instant, keep: Duration) -> u64 {
        let mut forgotten = 0;
        while let Some((written, _)) = self.order.front()
            && now.since(*written) >= keep
        {
            let Some((written, id)) = self.order.pop_front() else { break };
            // An id that was voided and used again was written anew.
            if self.by_id.get(&id).is_some_and(|(_, known)| *known == written) {
                self.by_id.remove(&id);
                forgotten += 1;
            }
        }
        forgotten
    }
}
