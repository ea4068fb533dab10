//! The cached sums of one client.

use std::num::NonZeroU64;

use smallvec::SmallVec;

use crate::credits::Credits;
use crate::decision::{Allowed, Decision, Denied};
use crate::entry::{Asker, Entry, Hold};
use crate::holds::Holds;
use crate::id::OperationId;
use crate::instant::Instant;
use crate::lattice::Lattice;
use crate::ledger::{Facts, Need, Stop};
use crate::plan::{Plan, PlanVersion, Quota};
use crate::quotas::{QuotaStatus, Quotas};
use crate::refusal::Refusal;
use crate::slot::Slot;
use crate::window::Window;

/// Everything a decision about one client needs, save the plan: a slot for each quota with what is used in
/// its window, the active holds, the account's time, its lifetime sum, the version of its stored plan.
///
/// All of it but the holds, `latest` and the version is a cache of sums over the ledger. An account changes
/// through a [`crate::Turn`], or through [`Account::charge`] where nothing has to be looked up.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account's time: the greatest `now` of an operation that changed entries or holds forward.
    pub(crate) latest: Instant,
    /// No entry or hold, backfilled ones included, is later than this.
    pub(crate) newest: Instant,
    /// The sum of all entries. With the active holds it makes the lifetime sum.
    pub(crate) recorded: Credits,
    pub(crate) plan_version: Option<PlanVersion>,
    /// None where there are none.
    pub(crate) holds: Option<Box<Holds>>,
    /// First the plan's quotas in its order, then spare ones, last used first: of other plans, and of the window that the
    /// account's time is in where only a status or the like was in a later one.
    pub(crate) slots: SmallVec<[Slot; 2]>,
    /// The identity of the plan whose slots are in place. Says nothing that the slots do not say; it is quicker to ask.
    pub(crate) seated: Option<NonZeroU64>,
}

/// Whether a charge in place was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was, and is counted.
    Allowed,
    /// It was not, and changed nothing.
    Denied,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            latest: Instant::MIN,
            newest: Instant::MIN,
            recorded: Credits::ZERO,
            plan_version: None,
            holds: None,
            slots: SmallVec::new(),
            seated: None,
        }
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        let facts = |account: &Self| (account.latest, account.newest, account.recorded, account.plan_version);
        facts(self) == facts(other) && self.holds == other.holds && self.slots == other.slots
    }
}

impl Eq for Account {}

impl Account {
    /// The greatest number of active holds.
    pub const MAX_HOLDS: usize = 10_000;
    /// How many slots outlive the plan they were for, so that processes with different versions of a plan
    /// do not make each other start over.
    pub(crate) const SPARE_SLOTS: usize = 16;

    /// The account of a client that nothing is known of.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The account's time: its operations happen at `max(at, latest)`. [`Instant::MIN`] before the first.
    #[must_use]
    pub const fn latest(&self) -> Instant {
        self.latest
    }

    /// The sum of all entries.
    #[must_use]
    pub const fn recorded(&self) -> Credits {
        self.recorded
    }

    /// The version of the plan that was last set through the store; none if there is none.
    #[must_use]
    pub const fn plan_version(&self) -> Option<PlanVersion> {
        self.plan_version
    }

    /// Whether it says nothing: no entry or hold was ever made, and no plan is stored. A store keeps no row for it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let unused = self.latest == Instant::MIN && self.newest == Instant::MIN && self.recorded.is_zero();
        unused && self.plan_version.is_none() && self.holds.is_none()
    }

    /// Whether there are holds, active ones or such as were not ended before they expired.
    #[must_use]
    pub const fn has_holds(&self) -> bool {
        self.holds.is_some()
    }

    /// Counts entries that were added to the ledger in operations at up to `latest`, and does nothing else that such operations may do: no
    /// window begins, no hold ends. For stores that write down what was added instead of the account: they compare what this
    /// comes to with the account.
    pub fn add_entries(&mut self, entries: &[Entry], latest: Instant) {
        entries.iter().for_each(|entry| self.add_entry(entry));
        self.latest = self.latest.max(latest);
    }

    /// The holds that are active at `max(at, latest)`.
    pub fn active_holds(&self, at: Instant) -> impl Iterator<Item = &Hold> {
        let now = at.max(self.latest);
        self.holds.iter().flat_map(|holds| holds.iter()).filter(move |hold| now < hold.expires)
    }

    /// A charge without an id that needs no look-up and no calendar: every quota of the plan has its slot in place and
    /// in its current window, and there are no holds. None where that is not so, or where the lifetime sum would
    /// overflow: a [`crate::Turn`] then answers the same question in general.
    ///
    /// If allowed, the entry to write stands at [`Account::latest`]. [`Account::decision`] tells the caller.
    pub fn charge(&mut self, plan: &Plan, credits: Credits, at: Instant) -> Option<Verdict> {
        let now = at.max(self.latest);
        let quotas = plan.quotas();
        if self.seated != Some(plan.identity()) || self.holds.is_some() {
            return None;
        }
        let (seated, spare) = self.slots.split_at_mut_checked(quotas.len())?;
        let (mut is_current, mut admitted) = (true, true);
        for (slot, quota) in seated.iter().zip(quotas) {
            is_current &= slot.window.contains(now);
            // Saturates only above every limit: the sum is not above the lifetime sum, which fits.
            admitted &= quota.limit().admits(slot.used.saturating_add(credits));
        }
        if !is_current {
            return None;
        }
        if !admitted {
            return Some(Verdict::Denied);
        }
        // There are no holds, so this is the lifetime sum.
        self.recorded = self.recorded.checked_add(credits)?;
        self.latest = now;
        self.newest = self.newest.max(now);
        for slot in seated {
            slot.used = slot.used.saturating_add(credits);
        }
        let mut is_passed = false;
        for slot in spare {
            slot.add_entry(now, credits);
            is_passed |= slot.window.end() <= now;
        }
        if is_passed {
            self.forget_passed_slots();
        }
        Some(Verdict::Allowed)
    }

    /// What a charge in place answers: the verdict with the state of the quotas after it. Apart from
    /// [`Account::charge`], so that it can be built where the caller wants it: it is large next to the work.
    pub fn decision(&self, verdict: Verdict, plan: &Plan, credits: Credits, at: Instant) -> Decision {
        let quotas = self.evaluate(plan, at.max(self.latest));
        match verdict {
            Verdict::Allowed => Decision::Allowed(Allowed {
                quotas,
                at,
                counted_at: at.max(self.latest),
                replayed: false,
                plan_changed: false,
            }),
            Verdict::Denied => Decision::Denied(Denied::new(quotas, at, credits)),
        }
    }

    /// Puts a slot in its current window in place for each quota of the plan. Changes caches only: a slot that an
    /// operation at the account's time would need is kept.
    pub(crate) fn seat(&mut self, plan: &Plan, now: Instant, facts: &Facts) -> Result<(), Stop> {
        let mut seated = self.slots.iter().take(plan.quotas().len());
        if self.seated == Some(plan.identity()) && seated.all(|slot| slot.window.contains(now)) {
            return Ok(());
        }
        self.seated = None;
        let mut needs = Vec::new();
        for (place, quota) in plan.quotas().iter().enumerate() {
            if self.take_place(place, quota.lattice(), now).window.contains(now) {
                continue;
            }
            let window = match quota.lattice().window_at(now) {
                Ok(window) => window,
                Err(error) => {
                    self.drop_spare_slots(plan);
                    return Err(Stop::Refused(Refusal::from(error)));
                }
            };
            let (used, held) = if window.start() > self.newest {
                (Ok(Credits::ZERO), Credits::ZERO)
            } else {
                let held = self.holds.as_ref().map_or(Credits::ZERO, |holds| holds.sum_in(window));
                (facts.sum(window, None), held)
            };
            match used {
                Ok(used) => {
                    let slot = Slot { window, used, held, lattice: quota.lattice() };
                    let left = std::mem::replace(self.take_place(place, quota.lattice(), now), slot);
                    if left.window.contains(self.latest) && window.start() > self.latest {
                        // Before the other spare ones, whose last are cut off; those of the plan are put before it.
                        self.slots.insert(place.saturating_add(1), left);
                    }
                }
                Err(need) => needs.push(need),
            }
        }
        self.drop_spare_slots(plan);
        if !needs.is_empty() {
            return Err(Stop::Needs(needs));
        }
        self.seated = Some(plan.identity());
        Ok(())
    }

    fn drop_spare_slots(&mut self, plan: &Plan) {
        self.slots.truncate(plan.quotas().len().saturating_add(Self::SPARE_SLOTS));
    }

    /// Moves the lattice's slot to its place, that of the current window if there is one; makes one that knows nothing where
    /// there is none.
    fn take_place(&mut self, place: usize, lattice: Lattice, now: Instant) -> &mut Slot {
        let of_lattice = |slot: &Slot| slot.lattice == lattice;
        let mut waiting = self.slots.iter().skip(place);
        let current = waiting.clone().position(|slot| of_lattice(slot) && slot.window.contains(now));
        match current.or_else(|| waiting.position(of_lattice)) {
            Some(0) => {}
            Some(distance) => {
                if let Some(range) = self.slots.get_mut(place..=place.saturating_add(distance)) {
                    range.rotate_right(1);
                }
            }
            None => self.slots.insert(place.min(self.slots.len()), Slot::unknown(lattice)),
        }
        #[expect(clippy::indexing_slicing, reason = "found there, or inserted there: places are taken in order")]
        &mut self.slots[place]
    }

    /// Where the quotas of a seated plan stand. Holds that `now` has passed do not count.
    pub(crate) fn evaluate(&self, plan: &Plan, now: Instant) -> Quotas {
        let state = |(slot, quota): (&Slot, &Quota), held| {
            QuotaStatus::new(quota.period(), quota.limit(), slot.used, held, slot.window)
        };
        let Some(holds) = &self.holds else {
            // The plan that most clients have is built in place.
            if let ([day, month, ..], [one, other]) = (self.slots.as_slice(), plan.quotas()) {
                return Quotas::pair(state((day, one), day.held), state((month, other), month.held));
            }
            return self.slots.iter().zip(plan.quotas()).map(|seat| state(seat, seat.0.held)).collect();
        };
        let unexpired = |slot: &Slot| slot.held.saturating_sub(holds.expired_in(slot.window, now));
        self.slots.iter().zip(plan.quotas()).map(|seat| state(seat, unexpired(seat.0))).collect()
    }

    /// Refuses what would raise the lifetime sum beyond its bound, once `ended` credits of active holds are gone.
    pub(crate) fn check_lifetime(&self, now: Instant, ended: Credits, added: i128) -> Result<(), Refusal> {
        let held = self.holds.as_ref().map_or(0, |holds| holds.sum_active(now));
        let lifetime = i128::from(self.recorded.micros()) + held - i128::from(ended.micros()) + added;
        if lifetime > i128::from(Credits::MAX.micros()) { Err(Refusal::Overflow) } else { Ok(()) }
    }

    pub(crate) fn active_hold(&self, id: &OperationId, now: Instant) -> Option<&Hold> {
        self.holds.as_ref().and_then(|holds| holds.active(id, now))
    }

    pub(crate) fn count_active_holds(&self, now: Instant) -> usize {
        self.holds.as_ref().map_or(0, |holds| holds.count_active(now))
    }

    /// Moves the account's time to `now` and forgets the windows and holds that it passes.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        self.forget_passed_slots();
        while let Some(hold) = self.holds.as_mut().and_then(|holds| holds.pop_expired(now)) {
            self.forget_hold(&hold);
        }
    }

    /// No operation is in their windows any more. Those of the plan that is decided by are in place and not among them; where
    /// there is no plan, nothing is ([`Account::unseat`]).
    pub(crate) fn forget_passed_slots(&mut self) {
        let latest = self.latest;
        if self.slots.iter().all(|slot| slot.window.end() > latest) {
            return;
        }
        self.slots.retain(|slot| slot.window.end() > latest);
        self.slots.shrink_to_fit();
    }

    /// No plan's slots are in place.
    pub(crate) const fn unseat(&mut self) {
        self.seated = None;
    }

    pub(crate) fn add_entry(&mut self, entry: &Entry) {
        self.recorded = self.recorded.saturating_add(entry.credits);
        self.newest = self.newest.max(entry.at);
        for slot in &mut self.slots {
            slot.add_entry(entry.at, entry.credits);
        }
    }

    pub(crate) fn remove_entry(&mut self, entry: &Entry) {
        self.recorded = self.recorded.saturating_sub(entry.credits);
        for slot in &mut self.slots {
            slot.remove_entry(entry.at, entry.credits);
        }
    }

    pub(crate) fn add_hold(&mut self, hold: Hold) {
        self.newest = self.newest.max(hold.at);
        for slot in &mut self.slots {
            slot.add_hold(hold.at, hold.credits);
        }
        self.holds.get_or_insert_default().insert(hold);
    }

    /// Notes that this asker was told that it holds; says whether somebody alone had been until then.
    pub(crate) fn share_hold(&mut self, id: &OperationId, asker: Option<Asker>) -> bool {
        let Some(hold) = self.holds.as_mut().and_then(|holds| holds.find_mut(id)) else { return false };
        let was_alone = hold.asker.is_some() && hold.asker != asker;
        if was_alone {
            hold.asker = None;
        }
        was_alone
    }

    pub(crate) fn remove_hold(&mut self, id: &OperationId) -> Option<Hold> {
        let hold = self.holds.as_mut().and_then(|holds| holds.remove(id))?;
        self.forget_hold(&hold);
        Some(hold)
    }

    fn forget_hold(&mut self, hold: &Hold) {
        self.holds.take_if(|holds| holds.is_empty());
        for slot in &mut self.slots {
            slot.remove_hold(hold.at, hold.credits);
        }
    }

    /// What a deletion of `range` needs to know: what then remains in each slot that it touches.
    pub(crate) fn sums_without(&self, range: Window, facts: &Facts) -> Result<Vec<(Window, Credits)>, Vec<Need>> {
        let mut sums = Vec::new();
        let mut needs = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.window.overlaps(range)) {
            match facts.sum(slot.window, Some(range)) {
                Ok(sum) => sums.push((slot.window, sum)),
                Err(need) => needs.push(need),
            }
        }
        if needs.is_empty() { Ok(sums) } else { Err(needs) }
    }

    /// Takes a deleted sum out of the sum of all entries and sets what remains in the slots. Sums over whole
    /// quarters may say more than was used, but a deletion never raises a counter.
    pub(crate) fn remove_range(&mut self, deleted: Credits, sums: &[(Window, Credits)]) {
        self.recorded = self.recorded.saturating_sub(deleted);
        for slot in &mut self.slots {
            if let Some((_, sum)) = sums.iter().find(|(window, _)| *window == slot.window) {
                slot.used = slot.used.min(*sum);
            }
        }
    }
}
