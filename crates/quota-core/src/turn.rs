//! Operations on one account, one after the other.

use crate::account::Account;
use crate::asked::{Asked, PlanCheck};
use crate::credits::Credits;
use crate::decision::{Allowed, Decision, Denied, Status};
use crate::entry::{Asker, Entry, Hold, Ttl};
use crate::id::{Label, OperationId};
use crate::instant::Instant;
use crate::ledger::{Fact, Facts, Need, Stop, Writes};
use crate::operation::{Answer, EntryId, Operation};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::terms::Terms;

/// Operations on one account, one after the other, and what they change.
///
/// A store reads the account, runs operations, answers each [`Stop::Needs`] from the ledger as it stands
/// without this turn's writes ([`Turn::learn`]) and runs the operation again, and at last writes account and
/// ledger in one step. On a conflict the turn is thrown away with everything it learnt.
///
/// ```
/// use quota_core::{Account, Answer, Asked, Credits, Decision, Detail, EntryId, Operation, Plan, PlanCheck, Terms, Turn};
///
/// let (mut account, plan) = (Account::new(), Plan::default());
/// let mut turn = Turn::new(&mut account, Terms::ENTRIES);
/// let charge = Operation::Charge { credits: Credits::ONE, id: EntryId::Absent, label: None };
/// let asked = Asked { plan: Some(&plan), check: PlanCheck::Any, at: "2024-03-01T00:00:00Z".parse()? };
/// let answer = turn.run(&charge, asked);
/// assert!(matches!(answer, Ok(Answer::Decision(Decision::Allowed(_)))));
/// assert_eq!(turn.take_writes().entries.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Turn<'a> {
    pub(crate) account: &'a mut Account,
    pub(crate) terms: Terms,
    pub(crate) facts: Facts,
    pub(crate) writes: Writes,
    looks_for_made: bool,
}

/// What charge, record and hold share.
struct Cost<'a> {
    credits: Credits,
    id: &'a EntryId,
    label: Option<&'a Label>,
}

/// What is known of a cost's id.
enum Seen {
    New,
    /// Of the entry of this instant.
    Replay(Instant),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Needs(vec![need])
    }
}

impl<'a> Turn<'a> {
    /// Begins a turn on an account as it was read.
    #[must_use]
    pub fn new(account: &'a mut Account, terms: Terms) -> Self {
        Self { account, terms, facts: Facts::default(), writes: Writes::default(), looks_for_made: false }
    }

    /// Looks for made ids as for given ones: their callers may have asked again by them while these operations were on their way.
    pub fn look_for_made(&mut self) {
        self.looks_for_made = true;
    }

    /// The account as it stands.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.account
    }

    /// Takes what the ledger says to a need. What this turn still has to write is added to a sum.
    pub fn learn(&mut self, need: Need, fact: Fact) {
        let fact = match (&need, fact) {
            (Need::Sum { window, except }, Fact::Sum(sum)) => Fact::Sum(self.writes.sum_with(sum, *window, *except)),
            (_, fact) => fact,
        };
        self.facts.learn(need, fact);
    }

    /// What is to be written for the operations so far. What was learnt is forgotten with it.
    pub fn take_writes(&mut self) -> Writes {
        self.facts.clear();
        std::mem::take(&mut self.writes)
    }

    /// What the operation will look up by id, so that a store can fetch it together with the account.
    #[must_use]
    pub fn foresee(operation: &Operation) -> Vec<Need> {
        match operation {
            Operation::Charge { id: EntryId::Given(id), .. }
            | Operation::Record { id: EntryId::Given(id), .. }
            | Operation::Hold { id: EntryId::Given(id), .. }
            | Operation::Void { id, .. } => vec![Need::Entry(id.clone())],
            Operation::Backfill { entries, .. } => entries.iter().map(|entry| Need::Entry(entry.id.clone())).collect(),
            _ => Vec::new(),
        }
    }

    /// Runs one operation. A refusal and a denial change nothing but caches.
    ///
    /// # Errors
    /// [`Stop`]: more is to be learnt or written first, the plan is another, or the operation is refused.
    pub fn run(&mut self, operation: &Operation, asked: Asked<'_>) -> Result<Answer, Stop> {
        let removes = matches!(operation, Operation::Void { .. } | Operation::Delete { .. });
        if self.writes.removal.is_some() || (removes && !self.writes.is_empty()) {
            return Err(Stop::WriteFirst);
        }
        let now = asked.at.max(self.account.latest);
        match operation {
            Operation::Charge { credits, id, label } => {
                let cost = Cost { credits: *credits, id, label: label.as_ref() };
                self.charge(&cost, asked, now).map(Answer::Decision)
            }
            Operation::Record { credits, id, label } => {
                let cost = Cost { credits: *credits, id, label: label.as_ref() };
                self.record(&cost, asked, now).map(Answer::Decision)
            }
            Operation::Hold { credits, id, ttl, label, asker } => {
                let cost = Cost { credits: *credits, id, label: label.as_ref() };
                self.hold(&cost, (*ttl, *asker), asked, now).map(Answer::Decision)
            }
            Operation::Extend { id, ttl, at, at_least } => {
                self.extend(id, (*ttl, *at, *at_least), asked, now).map(Answer::Decision)
            }
            Operation::Settle { id, credits } => self.settle(id, *credits, asked, now).map(Answer::Decision),
            Operation::Release { id, at, asker } => self.release(id, (*at, *asker), asked, now).map(Answer::Decision),
            Operation::Void { id, at } => self.void(id, *at).map(Answer::Voided),
            Operation::Status => self.status(asked, now).map(Answer::Status),
            Operation::Delete { range } => self.delete(*range).map(Answer::Deleted),
            Operation::Backfill { entries, not_after } => {
                self.backfill(entries, *not_after, now).map(Answer::Backfilled)
            }
            Operation::SetPlan { plan, version } => self.set_plan(plan, *version, asked.at, now).map(Answer::Status),
            Operation::RemovePlan => {
                self.remove_plan();
                Ok(Answer::PlanRemoved)
            }
        }
    }

    fn charge(&mut self, cost: &Cost<'_>, asked: Asked<'_>, now: Instant) -> Result<Decision, Stop> {
        let plan = self.deciding_plan(asked)?;
        let seen = self.look_up(cost, now)?;
        self.account.seat(plan, now, &self.facts)?;
        let quotas = self.account.evaluate(plan, now);
        if let Seen::Replay(at) = seen {
            return Ok(asked.replayed(quotas, at));
        }
        if quotas.violated_by(cost.credits).next().is_some() {
            return Ok(Decision::Denied(Denied::new(quotas, asked.at, cost.credits)));
        }
        self.add_cost(cost, now)?;
        Ok(self.allowed(Some(plan), asked, now))
    }

    fn record(&mut self, cost: &Cost<'_>, asked: Asked<'_>, now: Instant) -> Result<Decision, Stop> {
        let plan = self.deciding_plan(asked)?;
        let seen = self.look_up(cost, now)?;
        self.account.seat(plan, now, &self.facts)?;
        if let Seen::Replay(at) = seen {
            let quotas = self.account.evaluate(plan, now);
            return Ok(asked.replayed(quotas, at));
        }
        self.add_cost(cost, now)?;
        Ok(self.allowed(Some(plan), asked, now))
    }

    fn hold(
        &mut self,
        cost: &Cost<'_>,
        (ttl, asker): (Ttl, Option<Asker>),
        asked: Asked<'_>,
        now: Instant,
    ) -> Result<Decision, Stop> {
        let id = cost.id.as_id().ok_or(Refusal::IdRequired)?;
        let sought = cost.id.sought(self.looks_for_made);
        let expires = now.checked_add(ttl.duration()).map_err(|_| Refusal::ExpiryOutOfRange { now })?;
        let plan = self.deciding_plan(asked)?;
        let active = self.account.active_hold(id, now).map(|hold| (hold.credits, hold.at));
        if active.is_some_and(|(held, _)| held != cost.credits) || (active.is_none() && self.is_used(sought)?) {
            return Err(Refusal::IdConflict { id: id.clone(), is_held: active.is_some() }.into());
        }
        self.account.seat(plan, now, &self.facts)?;
        let quotas = self.account.evaluate(plan, now);
        if let Some((_, at)) = active {
            self.writes.account |= self.account.share_hold(id, asker);
            return Ok(asked.replayed(quotas, at));
        }
        if quotas.violated_by(cost.credits).next().is_some() {
            return Ok(Decision::Denied(Denied::new(quotas, asked.at, cost.credits)));
        }
        self.account.check_lifetime(now, Credits::ZERO, cost.credits.micros().into())?;
        let holds = self.account.count_active_holds(now);
        if holds >= Account::MAX_HOLDS {
            return Err(Refusal::TooManyHolds.into());
        }
        // A settlement is never refused for want of room, so each hold keeps some free.
        self.terms.check_room(holds.saturating_add(1))?;
        self.account.advance(now);
        let (credits, label) = (cost.credits, cost.label.cloned());
        self.account.add_hold(Hold { id: id.clone(), at: now, credits, expires, label, asker });
        self.writes.account = true;
        Ok(self.allowed(Some(plan), asked, now))
    }

    fn extend(
        &mut self,
        id: &OperationId,
        (ttl, at, at_least): (Ttl, Option<Instant>, bool),
        asked: Asked<'_>,
        now: Instant,
    ) -> Result<Decision, Stop> {
        let expires = now.checked_add(ttl.duration()).map_err(|_| Refusal::ExpiryOutOfRange { now })?;
        let plan = self.plan_of_hold(id, asked, now)?;
        let hold = self.account.active_hold(id, now).filter(|hold| hold.is_meant(at, None)).cloned();
        let hold = hold.ok_or_else(|| Refusal::HoldNotActive { id: id.clone() })?;
        let plan = self.seat_if(plan, now)?;
        self.account.advance(now);
        self.account.remove_hold(id);
        let expires = if at_least { expires.max(hold.expires) } else { expires };
        self.account.add_hold(Hold { expires, ..hold });
        self.writes.account = true;
        Ok(self.allowed(plan, asked, now))
    }

    fn settle(&mut self, id: &OperationId, credits: Credits, asked: Asked<'_>, now: Instant) -> Result<Decision, Stop> {
        let plan = self.plan_of_hold(id, asked, now)?;
        let Some(hold) = self.account.active_hold(id, now).cloned() else {
            let settled = self.facts.entry(id)?.map(|entry| (entry.credits, entry.at));
            let (paid, at) = settled.ok_or_else(|| Refusal::HoldNotActive { id: id.clone() })?;
            if paid != credits {
                return Err(Refusal::IdConflict { id: id.clone(), is_held: false }.into());
            }
            let plan = self.seat_if(plan, now)?;
            let quotas = plan.map(|plan| self.account.evaluate(plan, now)).unwrap_or_default();
            return Ok(asked.replayed(quotas, at));
        };
        let plan = self.seat_if(plan, now)?;
        self.account.check_lifetime(now, hold.credits, credits.micros().into())?;
        self.account.advance(now);
        self.account.remove_hold(id);
        self.terms.use_room(1);
        self.write_entry(Entry { id: Some(hold.id), at: hold.at, credits, label: hold.label });
        Ok(self.allowed(plan, asked, now))
    }

    fn release(
        &mut self,
        id: &OperationId,
        (at, asker): (Option<Instant>, Option<Asker>),
        asked: Asked<'_>,
        now: Instant,
    ) -> Result<Decision, Stop> {
        let plan = self.plan_of_hold(id, asked, now)?;
        if !self.account.active_hold(id, now).is_some_and(|hold| hold.is_meant(at, asker)) {
            return Err(Refusal::HoldNotActive { id: id.clone() }.into());
        }
        let plan = self.seat_if(plan, now)?;
        self.account.advance(now);
        self.account.remove_hold(id);
        self.writes.account = true;
        Ok(self.allowed(plan, asked, now))
    }

    fn status(&mut self, asked: Asked<'_>, now: Instant) -> Result<Status, Stop> {
        let plan = self.deciding_plan(asked)?;
        self.account.seat(plan, now, &self.facts)?;
        Ok(Status::new(self.account.evaluate(plan, now), asked.at))
    }

    /// The caller's plan, if the account agrees.
    fn known_plan<'p>(&self, asked: Asked<'p>) -> Result<Option<&'p Plan>, Stop> {
        match asked.check {
            PlanCheck::Version(version) if version != self.account.plan_version => {
                Err(Stop::PlanChanged(self.account.plan_version))
            }
            _ => Ok(asked.plan),
        }
    }

    /// The plan to decide by: known, and with sums kept for as long as its windows last.
    fn deciding_plan<'p>(&self, asked: Asked<'p>) -> Result<&'p Plan, Stop> {
        let plan = self.known_plan(asked)?.ok_or(Refusal::UnknownClient)?;
        self.terms.check_plan(plan)?;
        Ok(plan)
    }

    /// A hold that is active can be ended without a plan, and so it is where the caller knows another: who has gone meanwhile does not
    /// ask again with the client's, and its settlement is a charge.
    fn plan_of_hold<'p>(&self, id: &OperationId, asked: Asked<'p>, now: Instant) -> Result<Option<&'p Plan>, Stop> {
        let is_active = self.account.active_hold(id, now).is_some();
        match self.known_plan(asked) {
            Err(Stop::PlanChanged(_)) if is_active => Ok(None),
            Ok(None) if !is_active => Err(Refusal::UnknownClient.into()),
            known => known,
        }
    }

    /// Seats a plan, and gives it: none where there is none, it has no window now, or its windows outlast the sums. A hold
    /// can be ended all the same.
    fn seat_if<'p>(&mut self, plan: Option<&'p Plan>, now: Instant) -> Result<Option<&'p Plan>, Stop> {
        let seat = |plan| {
            // One that is refused is never in place: whoever charges by what is there does not look again.
            self.terms.check_plan(plan)?;
            self.account.seat(plan, now, &self.facts)
        };
        match plan.map(seat) {
            Some(Ok(())) => Ok(plan),
            None | Some(Err(Stop::Refused(_))) => {
                self.account.unseat();
                Ok(None)
            }
            Some(Err(stop)) => Err(stop),
        }
    }

    fn is_used(&self, id: Option<&OperationId>) -> Result<bool, Stop> {
        Ok(id.map(|id| self.facts.entry(id)).transpose()?.flatten().is_some())
    }

    fn look_up(&self, cost: &Cost<'_>, now: Instant) -> Result<Seen, Stop> {
        let Some(id) = cost.id.sought(self.looks_for_made) else { return Ok(Seen::New) };
        let is_held = self.account.active_hold(id, now).is_some();
        match self.facts.entry(id)? {
            _ if is_held => Err(Refusal::IdConflict { id: id.clone(), is_held }.into()),
            Some(entry) if entry.credits != cost.credits => Err(Refusal::IdConflict { id: id.clone(), is_held }.into()),
            Some(entry) => Ok(Seen::Replay(entry.at)),
            None => Ok(Seen::New),
        }
    }

    fn add_cost(&mut self, cost: &Cost<'_>, now: Instant) -> Result<(), Stop> {
        self.account.check_lifetime(now, Credits::ZERO, cost.credits.micros().into())?;
        let id = cost.id.as_id().cloned();
        // One that was made for who gave none is no promise to remember it for as long.
        if let EntryId::Given(_) = cost.id {
            self.take_room(1, now)?;
        }
        self.account.advance(now);
        self.write_entry(Entry { id, at: now, credits: cost.credits, label: cost.label.cloned() });
        Ok(())
    }

    /// Takes room for so many more ids, beside what each active hold keeps free.
    pub(crate) fn take_room(&mut self, ids: usize, now: Instant) -> Result<(), Stop> {
        // Holds are counted only where they may matter.
        if self.terms.check_room(ids.saturating_add(Account::MAX_HOLDS)).is_err() {
            self.terms.check_room(ids.saturating_add(self.account.count_active_holds(now)))?;
        }
        self.terms.use_room(ids);
        Ok(())
    }

    pub(crate) fn write_entry(&mut self, entry: Entry) {
        self.account.add_entry(&entry);
        self.facts.added(&entry);
        self.writes.account = true;
        self.writes.entries.push(entry);
    }

    fn allowed(&self, plan: Option<&Plan>, asked: Asked<'_>, now: Instant) -> Decision {
        let quotas = plan.map(|plan| self.account.evaluate(plan, now)).unwrap_or_default();
        let plan_changed = self.known_plan(asked).is_err();
        Decision::Allowed(Allowed { quotas, at: asked.at, counted_at: now, replayed: false, plan_changed })
    }
}
