//! Operations that mend a ledger or change a plan, rather than spend.

use std::collections::HashMap;
use std::sync::Arc;

use crate::credits::Credits;
use crate::decision::Status;
use crate::entry::{Entry, PastEntry};
use crate::id::OperationId;
use crate::instant::Instant;
use crate::ledger::{PlanWrite, Removal, Stop};
use crate::operation::{Backfilled, Operation};
use crate::plan::{Plan, PlanVersion};
use crate::refusal::Refusal;
use crate::turn::Turn;
use crate::window::Window;

impl Turn<'_> {
    pub(crate) fn void(&mut self, id: &OperationId, at: Option<Instant>) -> Result<bool, Stop> {
        let named = self.facts.entry(id)?.filter(|entry| at.is_none_or(|at| at == entry.at));
        let Some(entry) = named.cloned() else { return Ok(false) };
        self.account.remove_entry(&entry);
        self.writes.account = true;
        self.writes.removal = Some(Removal::Entry(entry));
        Ok(true)
    }

    pub(crate) fn delete(&mut self, range: Window) -> Result<u64, Stop> {
        self.terms.check_range(range)?;
        if range.is_empty() {
            return Ok(0);
        }
        let (entries, credits) = self.facts.count(range)?;
        if entries == 0 {
            return Ok(0);
        }
        let sums = self.account.sums_without(range, &self.facts).map_err(Stop::Needs)?;
        self.account.remove_range(credits, &sums);
        self.writes.account = true;
        self.writes.removal = Some(Removal::Range(range));
        Ok(entries)
    }

    pub(crate) fn backfill(
        &mut self,
        entries: &[PastEntry],
        not_after: Instant,
        now: Instant,
    ) -> Result<Backfilled, Stop> {
        if entries.len() > Operation::MAX_BACKFILL {
            return Err(Refusal::TooManyEntries { max: Operation::MAX_BACKFILL }.into());
        }
        let horizon = now.max(not_after);
        if let Some(PastEntry { id, at, .. }) = entries.iter().find(|entry| entry.at > horizon) {
            return Err(Refusal::EntryInFuture { id: id.clone(), at: *at }.into());
        }
        let needs: Vec<_> = entries.iter().filter_map(|entry| self.facts.entry(&entry.id).err()).collect();
        if !needs.is_empty() {
            return Err(Stop::Needs(needs));
        }
        let (new, answer) = self.sort_out(entries, now);
        let sum: i128 = new.iter().map(|entry| i128::from(entry.credits.micros())).sum();
        // A backfill does not move the account's time: a hold that expires between that and now is active again for a clock
        // behind, unless its id is taken here.
        let latest = self.account.latest();
        let taken = new.iter().filter_map(|entry| self.account.active_hold(entry.id.as_ref()?, latest));
        let ended: i128 = taken.map(|hold| i128::from(hold.credits.micros())).sum();
        self.account.check_lifetime(latest, Credits::ZERO, sum - ended)?;
        self.take_room(new.len(), now)?;
        for entry in new {
            // An expired hold that is not forgotten yet must not come back, for a clock behind, beside its id's entry.
            if let Some(id) = &entry.id {
                self.account.remove_hold(id);
            }
            self.write_entry(entry);
        }
        Ok(answer)
    }

    /// Which entries of a backfill are new, also among themselves.
    fn sort_out(&self, entries: &[PastEntry], now: Instant) -> (Vec<Entry>, Backfilled) {
        let mut new: HashMap<&OperationId, &PastEntry> = HashMap::new();
        let mut order = Vec::new();
        let mut answer = Backfilled::default();
        for entry in entries {
            let known = self.facts.entry(&entry.id).ok().flatten().map(|known| (known.at, known.credits));
            let known = known.or_else(|| new.get(&entry.id).map(|earlier| (earlier.at, earlier.credits)));
            // Whether it was there before it was folded into a sum cannot be told; to add it might count it twice.
            let folded = known.is_none() && entry.at < self.terms.folded_until;
            if folded
                || self.account.active_hold(&entry.id, now).is_some()
                || known.is_some_and(|known| known != (entry.at, entry.credits))
            {
                answer.conflicts.push(entry.id.clone());
            } else if known.is_some() {
                answer.skipped += 1;
            } else {
                new.insert(&entry.id, entry);
                order.push(Entry::from(entry.clone()));
                answer.added += 1;
            }
        }
        (order, answer)
    }

    /// Where the quotas of a new plan would stand; refused where it has no windows now, or longer ones than
    /// the store keeps sums for.
    fn check_plan(&mut self, plan: &Plan, at: Instant, now: Instant) -> Result<Status, Stop> {
        self.terms.check_plan(plan)?;
        self.account.seat(plan, now, &self.facts)?;
        Ok(Status::new(self.account.evaluate(plan, now), at))
    }

    pub(crate) fn set_plan(
        &mut self,
        plan: &Arc<Plan>,
        version: PlanVersion,
        at: Instant,
        now: Instant,
    ) -> Result<Status, Stop> {
        let status = self.check_plan(plan, at, now)?;
        self.account.plan_version = Some(version);
        self.writes.plan = Some(PlanWrite::Set(Arc::clone(plan), version));
        self.writes.account = true;
        Ok(status)
    }

    pub(crate) fn remove_plan(&mut self) {
        if self.account.plan_version.take().is_some() {
            self.writes.plan = Some(PlanWrite::Remove);
            self.writes.account = true;
        }
    }
}
