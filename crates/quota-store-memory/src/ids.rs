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

    /// What was written under it, unless that is longer ago than `keep`.
    pub(crate) fn find(&self, id: &OperationId, now: Instant, keep: Duration) -> Option<&Entry> {
        self.by_id.get(id).filter(|(_, written)| now.since(*written) < keep).map(|(entry, _)| entry)
    }

    /// How many were written longer ago than `keep`, and are not forgotten yet.
    pub(crate) fn count_old(&self, now: Instant, keep: Duration) -> usize {
        let old = self.order.iter().take_while(|(written, _)| now.since(*written) >= keep);
        old.filter(|(written, id)| self.by_id.get(id).is_some_and(|(_, known)| known == written)).count()
    }

    pub(crate) fn remember(&mut self, id: &OperationId, entry: Entry, written: Instant) {
        self.order.push_back((written, id.clone()));
        self.by_id.insert(id.clone(), (entry, written));
    }

    pub(crate) fn remove(&mut self, id: &OperationId) {
        self.by_id.remove(id);
        self.compact();
    }

    pub(crate) fn remove_range(&mut self, range: Window) {
        self.by_id.retain(|_, (entry, _)| !range.contains(entry.at));
        self.compact();
    }

    /// Keeps the order of ids that are gone from growing: it is at most twice as long as it has to be.
    fn compact(&mut self) {
        if self.order.len() > self.by_id.len().saturating_mul(2).saturating_add(16) {
            let by_id = &self.by_id;
            self.order.retain(|(written, id)| by_id.get(id).is_some_and(|(_, known)| known == written));
        }
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

#[cfg(test)]
mod tests {
    use quota_core::Credits;

    use super::*;

    #[test]
    fn ids_that_are_taken_out_leave_nothing_behind() {
        let mut ids = Ids::default();
        let at = Instant::MIN;
        for number in 0..10_000 {
            let id = OperationId::new(format!("id {number}")).unwrap();
            ids.remember(&id, Entry { id: Some(id.clone()), at, credits: Credits::ONE, label: None }, at);
            ids.remove(&id);
        }
        assert_eq!(ids.len(), 0);
        assert!(ids.order.len() <= 16, "{}", ids.order.len());
    }
}
