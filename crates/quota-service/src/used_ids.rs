//! The ids that a client is known to have used.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quota_core::OperationId;

use crate::made_id::may_be_made;

/// More ids of one client are not known, that there may be room for others': those of two days in a store that remembers 100,000 of one.
const MOST_OF_CLIENT: usize = 250_000;

/// With so many that were looked for, all are learned, unless they are many more. Else with twice as many, and so on.
const LEARNED_WITH: usize = 16;

/// Of so many ids a store knows that they were used, unless it is told otherwise.
const ROOM: usize = 1_000_000;

/// How many times as many are learned as were looked for: to look for an id is about so much more work for a server than to tell it.
const MORE: usize = 64;

/// More are not learned: a server may do nothing else meanwhile.
const MOST_LEARNED: usize = 16_384;

/// Room for the ids that a store's clients are known to have used, of all of them together: some 30 bytes each.
#[derive(Clone)]
pub struct RoomForIds {
    taken: Arc<AtomicUsize>,
    most: usize,
    hasher: RandomState,
}

/// What is known of the ids that callers have used for one client, at one version of its account: for stores in which nobody uses an id
/// without changing that.
///
/// Where all are known, an id that is not among them was never used, and need not be looked for by a commit on that version. There may be
/// some among them that were not used. Ids that look like those that a service makes ([`may_be_made`]) are never known.
#[derive(Debug, Default)]
pub struct UsedIds(Known);

#[derive(Debug)]
enum Known {
    Some { looked_for: usize, learned_with: usize },
    All(Box<All>),
}

/// A number for each id, and the newest UTC day in whose keys it stands. Two ids have the same number in some 10^19 cases; then one is looked
/// for that was never used.
struct All {
    room: RoomForIds,
    days: HashMap<u64, i64>,
    newest: i64,
    /// A day has begun since the others were looked at.
    is_due: bool,
}

impl RoomForIds {
    /// For so many ids.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most, hasher: RandomState::new() }
    }

    /// Whether there was room for one more.
    fn take(&self) -> bool {
        let is_taken = self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        if !is_taken {
            self.give_back(1);
        }
        is_taken
    }

    fn left(&self) -> usize {
        self.most.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

impl UsedIds {
    /// All of a client that has used none.
    #[must_use]
    pub fn none(room: &RoomForIds) -> Self {
        Self(Known::All(Box::new(All::none(room))))
    }

    /// Whether all are known.
    #[must_use]
    pub const fn are_all(&self) -> bool {
        matches!(self.0, Known::All(_))
    }

    /// Whether nothing is known, and none was looked for.
    #[must_use]
    pub const fn are_new(&self) -> bool {
        matches!(self.0, Known::Some { looked_for: 0, .. })
    }

    /// Whether an id may have been used, so that it has to be looked for.
    pub fn may_hold(&mut self, id: &OperationId) -> bool {
        let is_given = !may_be_made(id);
        match &mut self.0 {
            Known::All(all) => !is_given || all.may_hold(id),
            Known::Some { looked_for, .. } => {
                *looked_for = looked_for.saturating_add(usize::from(is_given));
                true
            }
        }
    }

    /// Adds an id that a commit is to write into a day's keys, a UTC day counted from 1970. It may be added before that is done.
    ///
    /// Where there is no room all are forgotten.
    pub fn add(&mut self, day: i64, id: &OperationId) {
        if let Known::All(all) = &mut self.0
            && !may_be_made(id)
            && !all.add(day, id.as_str())
        {
            *self = Self::default();
        }
    }

    /// Forgets the ids of days that `is_kept` does not want any more, when a day has begun since: after a commit, at a version in which nobody
    /// looks for ids there.
    pub fn keep(&mut self, is_kept: impl Fn(i64) -> bool) {
        if let Known::All(all) = &mut self.0 {
            all.keep(is_kept);
        }
    }

    /// How many are to be learned at most, if now is the time for it and there is room.
    pub fn to_be_learned(&mut self, room: &RoomForIds) -> Option<usize> {
        let Known::Some { looked_for, learned_with } = &mut self.0 else { return None };
        if looked_for < learned_with {
            return None;
        }
        *learned_with = looked_for.saturating_mul(2);
        Some(looked_for.saturating_mul(MORE).min(MOST_LEARNED).min(room.left())).filter(|most| *most > 0)
    }

    /// Learns all of them, with the days whose keys they stand in, if there is room.
    pub fn learn<'a>(&mut self, room: &RoomForIds, ids: impl IntoIterator<Item = (i64, &'a str)>) {
        let mut all = All::none(room);
        // What is no id cannot be looked for.
        let is_given = |id: &str| OperationId::new(id).is_ok_and(|id| !may_be_made(&id));
        if ids.into_iter().filter(|(_, id)| is_given(id)).all(|(day, id)| all.add(day, id)) {
            self.0 = Known::All(Box::new(all));
        }
    }
}

impl All {
    fn none(room: &RoomForIds) -> Self {
        Self { room: room.clone(), days: HashMap::new(), newest: i64::MIN, is_due: false }
    }

    fn number(&self, id: &str) -> u64 {
        self.room.hasher.hash_one(id)
    }

    fn may_hold(&self, id: &OperationId) -> bool {
        self.days.contains_key(&self.number(id.as_str()))
    }

    /// False where there is no room: then these are not all any more.
    fn add(&mut self, day: i64, id: &str) -> bool {
        if day > self.newest {
            (self.newest, self.is_due) = (day, !self.days.is_empty());
        }
        let number = self.number(id);
        if let Some(newest) = self.days.get_mut(&number) {
            *newest = day.max(*newest);
            return true;
        }
        if self.days.len() >= MOST_OF_CLIENT || !self.room.take() {
            return false;
        }
        self.days.insert(number, day);
        true
    }

    fn keep(&mut self, is_kept: impl Fn(i64) -> bool) {
        if std::mem::take(&mut self.is_due) {
            let before = self.days.len();
            self.days.retain(|_, day| is_kept(*day));
            self.room.give_back(before.saturating_sub(self.days.len()));
            // What was given back is to be others' memory.
            self.days.shrink_to(self.days.len().saturating_mul(2));
        }
    }
}

/// For a million ids.
impl Default for RoomForIds {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Default for Known {
    fn default() -> Self {
        Self::Some { looked_for: 0, learned_with: LEARNED_WITH }
    }
}

impl Drop for All {
    fn drop(&mut self) {
        self.room.give_back(self.days.len());
    }
}

impl fmt::Debug for RoomForIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.taken.load(Ordering::Relaxed);
        f.debug_struct("RoomForIds").field("taken", &taken).field("most", &self.most).finish_non_exhaustive()
    }
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("All").field("count", &self.days.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> OperationId {
        OperationId::new(text).unwrap()
    }

    fn add(used: &mut UsedIds, day: i64, name: &str) -> bool {
        used.add(day, &id(name));
        used.are_all()
    }

    fn taken(room: &RoomForIds) -> usize {
        room.taken.load(Ordering::Relaxed)
    }

    #[test]
    fn an_id_that_was_never_used_is_not_among_those_that_were() {
        let room = RoomForIds::new(10_000);
        let mut used = UsedIds::none(&room);
        assert!(!used.may_hold(&id("a")));
        for number in 0..1_000 {
            assert!(add(&mut used, number % 3, &format!("used {number}")));
            assert!(add(&mut used, number % 3, &format!("used {number}")), "twice");
        }
        assert!((0..1_000).all(|number| used.may_hold(&id(&format!("used {number}")))));
        assert!((0..1_000).all(|number| !used.may_hold(&id(&format!("fresh {number}")))));
        assert_eq!(taken(&room), 1_000);
        drop(used);
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn an_id_that_looks_made_is_never_known() {
        let room = RoomForIds::new(10);
        let (mut used, made) = (UsedIds::none(&room), id("2w0EtBRXJNlgP5SXU7QNt3"));
        assert!(used.may_hold(&made));
        used.add(0, &made);
        assert_eq!(taken(&room), 0);
        let mut some = UsedIds::default();
        for _ in 0..100 {
            assert!(some.may_hold(&made));
        }
        assert!(some.are_new() && some.to_be_learned(&room).is_none());
        some.learn(&room, [(0, made.as_str()), (0, "a"), (0, "")]);
        assert!(some.are_all() && some.may_hold(&made) && taken(&room) == 1);
    }

    #[test]
    fn days_that_nobody_looks_in_any_more_are_forgotten_when_another_has_begun() {
        let room = RoomForIds::new(10);
        let mut used = UsedIds::none(&room);
        for (day, name) in [(1, "a"), (2, "b"), (2, "c"), (1, "c")] {
            assert!(add(&mut used, day, name));
        }
        used.keep(|day| day > 0);
        assert!(add(&mut used, 2, "d"));
        used.keep(|_| false);
        assert_eq!(taken(&room), 4, "no day has begun");
        assert!(add(&mut used, 3, "e"));
        assert!(used.may_hold(&id("a")), "it may not be done");
        used.keep(|day| day > 1);
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| used.may_hold(&id(name))), [false, true, true, true, true]);
        assert_eq!(taken(&room), 4);
    }

    #[test]
    fn clients_share_the_room_and_know_nothing_where_there_is_none() {
        let room = RoomForIds::new(3);
        let [mut one, mut other] = [(); 2].map(|()| UsedIds::none(&room));
        assert!(add(&mut one, 0, "a") && add(&mut one, 0, "b") && add(&mut other, 0, "a"));
        assert!(!add(&mut other, 0, "b") && other.may_hold(&id("c")) && one.are_all());
        assert_eq!(taken(&room), 2);
        other.learn(&room, [(0, "a"), (0, "b")]);
        assert!(!other.are_all() && taken(&room) == 2);
        other.learn(&room, [(0, "a")]);
        assert!(other.are_all() && !other.may_hold(&id("c")) && taken(&room) == 3);
        drop((one, other));
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn no_client_has_more_than_its_share() {
        let room = RoomForIds::new(usize::MAX);
        let mut used = UsedIds::none(&room);
        assert!((0..MOST_OF_CLIENT).all(|number| add(&mut used, 0, &number.to_string())));
        assert!(!add(&mut used, 0, "one more") && taken(&room) == 0);
    }

    #[test]
    fn all_are_learned_when_that_is_less_work_than_was_done() {
        let (room, full) = (RoomForIds::default(), RoomForIds::new(0));
        let (mut used, mut none) = (UsedIds::default(), UsedIds::default());
        let mut learned = Vec::new();
        for looked_for in 1..=1_024_usize {
            assert!(used.may_hold(&id("a")) && none.may_hold(&id("a")) && none.to_be_learned(&full).is_none());
            learned.extend(used.to_be_learned(&room).map(|most| (looked_for, most)));
        }
        let wanted =
            [16, 32, 64, 128, 256, 512, 1_024].map(|looked_for: usize| (looked_for, (looked_for * 64).min(16_384)));
        assert_eq!(learned, wanted);
    }
}
