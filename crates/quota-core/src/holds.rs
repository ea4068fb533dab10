//! The holds of one client.

use std::collections::{BTreeMap, BTreeSet};

use crate::credits::Credits;
use crate::entry::Hold;
use crate::id::OperationId;
use crate::instant::Instant;
use crate::window::Window;

/// Holds by id and by expiry. Those that have expired stay until the account's time has passed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    by_id: BTreeMap<OperationId, Hold>,
    by_expiry: BTreeSet<(Instant, OperationId)>,
    /// The sum of all, in millionths.
    total: i128,
}

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.by_id.values()
    }

    /// The hold with this id, if it is active at `now`.
    pub(crate) fn active(&self, id: &OperationId, now: Instant) -> Option<&Hold> {
        self.by_id.get(id).filter(|hold| now < hold.expires)
    }

    /// The hold with this id, whose instants, id and credits are to stay as they are.
    pub(crate) fn find_mut(&mut self, id: &OperationId) -> Option<&mut Hold> {
        self.by_id.get_mut(id)
    }

    /// In millionths; 128 bits, since holds that have expired may stand beside entries that took their place.
    pub(crate) fn sum_active(&self, now: Instant) -> i128 {
        let sum = |sum: i128, hold: &Hold| sum + i128::from(hold.credits.micros());
        self.total - self.expired(now).fold(0, sum)
    }

    pub(crate) fn count_active(&self, now: Instant) -> usize {
        self.by_id.len() - self.expired(now).count()
    }

    /// Those that `now` has passed.
    pub(crate) fn expired(&self, now: Instant) -> impl Iterator<Item = &Hold> {
        self.by_expiry.iter().take_while(move |(expires, _)| *expires <= now).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// The sum of the holds made in a window, expired ones included.
    pub(crate) fn sum_in(&self, window: Window) -> Credits {
        sum(self.iter().filter(|hold| window.contains(hold.at)))
    }

    pub(crate) fn expired_in(&self, window: Window, now: Instant) -> Credits {
        sum(self.expired(now).filter(|hold| window.contains(hold.at)))
    }

    pub(crate) fn insert(&mut self, hold: Hold) {
        self.remove(&hold.id.clone());
        self.by_expiry.insert((hold.expires, hold.id.clone()));
        self.total += i128::from(hold.credits.micros());
        self.by_id.insert(hold.id.clone(), hold);
    }

    pub(crate) fn remove(&mut self, id: &OperationId) -> Option<Hold> {
        let hold = self.by_id.remove(id)?;
        self.by_expiry.remove(&(hold.expires, hold.id.clone()));
        self.total -= i128::from(hold.credits.micros());
        Some(hold)
    }

    /// Takes out one hold that `now` has passed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Hold> {
        let (expires, _) = self.by_expiry.first()?;
        if *expires > now {
            return None;
        }
        let (_, id) = self.by_expiry.first()?.clone();
        self.remove(&id)
    }
}

/// Cannot overflow: the lifetime sum bounds it.
fn sum<'a>(holds: impl Iterator<Item = &'a Hold>) -> Credits {
    holds.fold(Credits::ZERO, |sum, hold| sum.saturating_add(hold.credits))
}
