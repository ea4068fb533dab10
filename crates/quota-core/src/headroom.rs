//! What can be charged to an account by whoever knows little of it.

use crate::account::Account;
use crate::credits::Credits;
use crate::instant::Instant;
use crate::plan::{Limit, Plan};
use crate::slot::Slot;

/// What can be charged to an account by whoever knows no more of it: for stores whose server can check and add, so that
/// processes need not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Charges of so many credits in all are admitted by every quota, and fit the lifetime sum.
    pub credits: Credits,
    /// At instants before this one: until then no window begins or ends that would matter.
    pub until: Instant,
}

impl Account {
    /// What can be charged to it under `plan`, at instants from [`Account::latest`] on. None where there are holds, which end by
    /// themselves, where a quota's sum is not known at the account's time, or where it is in debt.
    #[must_use]
    pub fn headroom(&self, plan: &Plan) -> Option<Headroom> {
        if self.holds.is_some() {
            return None;
        }
        // There are no holds, so this is the lifetime sum.
        let mut credits = Credits::MAX.saturating_sub(self.recorded);
        for quota in plan.quotas() {
            let is_current = |slot: &&Slot| slot.lattice == quota.lattice() && slot.window.contains(self.latest);
            let slot = self.slots.iter().find(is_current)?;
            if let Limit::Finite(limit) = quota.limit() {
                credits = credits.min(limit.checked_sub(slot.used)?);
            }
        }
        let change = |slot: &Slot| {
            let window = slot.window;
            if window.contains(self.latest) { window.end() } else { window.start() }
        };
        let until = self.slots.iter().map(change).filter(|change| *change > self.latest).min().unwrap_or(Instant::MAX);
        Some(Headroom { credits, until })
    }

    /// Counts charges that were made within its [`Account::headroom`]: of so many credits in all, the last of them at `at`.
    pub fn add_charged(&mut self, credits: Credits, at: Instant) {
        let at = at.max(self.latest);
        (self.latest, self.newest) = (at, self.newest.max(at));
        self.recorded = self.recorded.saturating_add(credits);
        for slot in &mut self.slots {
            slot.add_entry(at, credits);
        }
        self.forget_passed_slots();
    }
}
