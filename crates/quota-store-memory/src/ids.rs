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

    /// How many were written longer ago than `keep`, and are not forgotten yet. It may be asked for again and again before any is forgotten,
    /// so it is not counted by looking at each.
    pub(crate) fn count_old(&mut self, now: Instant, keep: Duration) -> usize {
        let is_any = self.order.front().is_some_and(|(written, _)| now.since(*written) >= keep);
        if is_any && self.order.len() > self.by_id.len() {
            self.compact();
        }
        self.order.partition_point(|(written, _)| now.since(*written) >= keep)
    }

    pub(crate) fn remember(&mut self, id: &OperationId, entry: Entry, written: Instant) {
        self.order.push_back((written, id.clone()));
        self.by_id.insert(id.clone(), (entry, written));
    }

    pub(crate) fn remove(&mut self, id: &OperationId) {
        self.by_id.remove(id);
        self.compact_if_long();
    }

    pub(crate) fn remove_range(&mut self, range: Window) {
        self.by_id.retain(|_, (entry, _)| !range.contains(entry.at));
        self.compact_if_long();
        self.shrink();
    }

    /// Keeps the order of ids that are gone from growing: it is at most twice as long as it has to be.
    fn compact_if_long(&mut self) {
        if self.order.len() > self.by_id.len().saturating_mul(2).saturating_add(16) {
            self.compact();
        }
    }

    /// Takes ids that are gone out of the order.
    fn compact(&mut self) {
        let by_id = &self.by_id;
        self.order.retain(|(written, id)| by_id.get(id).is_some_and(|(_, known)| known == written));
    }

    /// Gives memory back that was used for many more.
    fn shrink(&mut self) {
        let wanted = self.order.len().max(self.by_id.len()).saturating_mul(2).saturating_add(64);
        if self.by_id.capacity() > wanted.saturating_mul(2) {
            self.by_id.shrink_to(wanted);
        }
        if self.order.capacity() > wanted.saturating_mul(2) {
            self.order.shrink_to(wanted);
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
        if forgotten > 0 {
            self.shrink();
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use quota_core::Credits;

    use super::*;

    fn remember(ids: &mut Ids, number: u32, written: Instant) {
        let id = OperationId::new(format!("id {number}")).unwrap();
        let entry = Entry { id: Some(id.clone()), at: written, credits: Credits::ONE, label: None };
        ids.remember(&id, entry, written);
    }

    #[test]
    fn old_ones_are_counted_without_those_that_were_taken_out_or_written_anew() {
        let (mut ids, keep) = (Ids::default(), Duration::from_secs(10));
        let second = |count| Instant::MIN.saturating_add(Duration::from_secs(count));
        for number in 0..8 {
            remember(&mut ids, number, second(u64::from(number)));
        }
        let counted = |ids: &mut Ids| [9, 10, 12, 17, 99].map(|now| ids.count_old(second(now), keep));
        assert_eq!(counted(&mut ids), [0, 1, 3, 8, 8]);
        ids.remove(&OperationId::new("id 1").unwrap());
        remember(&mut ids, 0, second(8));
        assert_eq!(counted(&mut ids), [0, 0, 1, 6, 7]);
        assert_eq!(ids.forget(second(12), keep), 1);
        assert_eq!(counted(&mut ids), [0, 0, 0, 5, 6]);
    }

    #[test]
    fn memory_that_was_used_for_many_is_given_back() {
        let mut ids = Ids::default();
        for number in 0..100_000 {
            remember(&mut ids, number, Instant::MIN);
        }
        let later = Instant::MIN.saturating_add(Duration::from_secs(60));
        remember(&mut ids, 0, later);
        assert_eq!(ids.forget(later, Duration::from_secs(60)), 99_999);
        assert!(ids.by_id.capacity() < 1_000 && ids.order.capacity() < 1_000);
        assert_eq!(ids.len(), 1);
    }

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
