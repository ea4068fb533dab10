//! Any sequence of operations answers as the obvious model does: a list of entries, summed.

mod support;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use quota_core::{
    Account, Anchor, Answer, Asked, Credits, Decision, Entry, EntryId, Hold, Instant, Limit, Operation, OperationId,
    PastEntry, Period, Plan, PlanCheck, PlanVersion, Quota, Refusal, Stop, Terms, Ttl, Turn, Unit, Window,
};
use support::{ListStore, look_up};

/// Written from the specification, without a single cache.
#[derive(Clone, Default)]
struct Model {
    entries: Vec<Entry>,
    holds: Vec<Hold>,
    latest: Option<Instant>,
    plan: Option<Plan>,
}

/// What every implementation has to agree on.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Allowed { replayed: bool, quotas: Vec<(Period, Credits, Credits, Window)> },
    Denied { violated: Vec<Period>, binding: Period, retry_at: Option<Instant> },
    Status(Vec<(Period, Credits, Credits, Window)>),
    Voided(bool),
    Deleted(u64),
    Backfilled(u64, u64, Vec<OperationId>),
    Refused(&'static str),
}

impl Model {
    fn now(&self, at: Instant) -> Instant {
        self.latest.map_or(at, |latest| latest.max(at))
    }

    fn active(&self, now: Instant) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(move |hold| now < hold.expires)
    }

    fn hold(&self, id: &OperationId, now: Instant) -> Option<Hold> {
        self.active(now).find(|hold| hold.id == *id).cloned()
    }

    fn entry(&self, id: &OperationId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id.as_ref() == Some(id))
    }

    fn quotas(&self, now: Instant) -> Vec<(Period, Credits, Credits, Window)> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let state = |quota: &Quota| {
            let window = quota.lattice().window_at(now).unwrap();
            let used =
                self.entries.iter().filter(|entry| window.contains(entry.at)).map(|entry| entry.credits.micros());
            let held = self.active(now).filter(|hold| window.contains(hold.at)).map(|hold| hold.credits.micros());
            (quota.period(), micros(used.sum()), micros(held.sum()), window)
        };
        plan.quotas().iter().map(state).collect()
    }

    fn lifetime(&self, now: Instant) -> i128 {
        let entries: i128 = self.entries.iter().map(|entry| i128::from(entry.credits.micros())).sum();
        entries + self.active(now).map(|hold| i128::from(hold.credits.micros())).sum::<i128>()
    }

    fn fits(&self, now: Instant, more: i128) -> bool {
        self.lifetime(now) + more <= i128::from(i64::MAX)
    }

    fn check(&self, now: Instant, cost: Credits) -> Option<Outcome> {
        let limits: Vec<Option<i128>> = self
            .plan
            .as_ref()?
            .quotas()
            .iter()
            .map(|quota| quota.limit().credits().map(|limit| limit.micros().into()))
            .collect();
        let quotas = self.quotas(now);
        let left = |index: usize| {
            let (_, used, held, _) = quotas[index];
            limits[index].map(|limit| limit - i128::from(used.micros()) - i128::from(held.micros()))
        };
        let cost = i128::from(cost.micros());
        let violated: Vec<usize> =
            (0..quotas.len()).filter(|index| left(*index).is_some_and(|left| left < cost)).collect();
        let mut binding = *violated.first()?;
        for index in violated.iter().copied() {
            let (one, other) = (left(index).unwrap(), left(binding).unwrap());
            if one < other || (one == other && quotas[index].3.end() > quotas[binding].3.end()) {
                binding = index;
            }
        }
        let hopeless = violated.iter().any(|index| limits[*index].unwrap() < cost);
        let latest = violated.iter().map(|index| quotas[*index].3.end()).max();
        Some(Outcome::Denied {
            violated: violated.iter().map(|index| quotas[*index].0).collect(),
            binding: quotas[binding].0,
            retry_at: if hopeless { None } else { latest },
        })
    }

    fn advance(&mut self, now: Instant) {
        self.latest = Some(now);
        self.holds.retain(|hold| now < hold.expires);
    }

    fn allowed(&self, now: Instant, replayed: bool) -> Outcome {
        Outcome::Allowed { replayed, quotas: self.quotas(now) }
    }

    fn cost(&mut self, credits: Credits, id: &EntryId, now: Instant, checked: bool) -> Outcome {
        if self.plan.is_none() {
            return Outcome::Refused("unknown_client");
        }
        if let Some(id) = id.as_id() {
            if self.hold(id, now).is_some() {
                return Outcome::Refused("id_conflict");
            }
            match self.entry(id).map(|entry| entry.credits) {
                Some(known) if known == credits => return self.allowed(now, true),
                Some(_) => return Outcome::Refused("id_conflict"),
                None => {}
            }
        }
        if checked && let Some(denied) = self.check(now, credits) {
            return denied;
        }
        if !self.fits(now, credits.micros().into()) {
            return Outcome::Refused("overflow");
        }
        self.advance(now);
        self.entries.push(Entry { id: id.as_id().cloned(), at: now, credits, label: None });
        self.allowed(now, false)
    }

    fn make_hold(&mut self, id: &OperationId, credits: Credits, ttl: Ttl, now: Instant) -> Outcome {
        if self.plan.is_none() {
            return Outcome::Refused("unknown_client");
        }
        if self.entry(id).is_some() {
            return Outcome::Refused("id_conflict");
        }
        match self.hold(id, now) {
            Some(hold) if hold.credits == credits => return self.allowed(now, true),
            Some(_) => return Outcome::Refused("id_conflict"),
            None => {}
        }
        if let Some(denied) = self.check(now, credits) {
            return denied;
        }
        if !self.fits(now, credits.micros().into()) {
            return Outcome::Refused("overflow");
        }
        self.advance(now);
        let expires = now.checked_add(ttl.duration()).unwrap();
        self.holds.push(Hold { id: id.clone(), at: now, credits, expires, label: None, asker: None });
        self.allowed(now, false)
    }

    fn end(&mut self, id: &OperationId, now: Instant, end: impl FnOnce(&mut Self, Hold)) -> Outcome {
        let Some(hold) = self.hold(id, now) else {
            return Outcome::Refused(if self.plan.is_none() { "unknown_client" } else { "hold_not_active" });
        };
        self.advance(now);
        self.holds.retain(|other| other.id != *id);
        end(self, hold);
        self.allowed(now, false)
    }

    fn settle(&mut self, id: &OperationId, credits: Credits, now: Instant) -> Outcome {
        let settled = self.entry(id).map(|entry| entry.credits);
        match (self.hold(id, now), settled) {
            (None, Some(known)) if self.plan.is_some() => {
                if known == credits {
                    self.allowed(now, true)
                } else {
                    Outcome::Refused("id_conflict")
                }
            }
            (Some(hold), _) if !self.fits(now, i128::from(credits.micros()) - i128::from(hold.credits.micros())) => {
                Outcome::Refused("overflow")
            }
            _ => self.end(id, now, |model, hold| {
                model.entries.push(Entry { id: Some(hold.id), at: hold.at, credits, label: None });
            }),
        }
    }

    fn backfill(&mut self, entries: &[PastEntry], now: Instant) -> Outcome {
        let before = self.clone();
        let (mut added, mut skipped, mut conflicts) = (0, 0, Vec::new());
        for entry in entries {
            let same = self.entry(&entry.id).map(|known| (known.at, known.credits) == (entry.at, entry.credits));
            match same {
                _ if self.hold(&entry.id, now).is_some() => conflicts.push(entry.id.clone()),
                Some(true) => skipped += 1,
                Some(false) => conflicts.push(entry.id.clone()),
                None => {
                    // An expired hold whose id is taken is gone for good.
                    self.holds.retain(|hold| hold.id != entry.id);
                    self.entries.push(entry.clone().into());
                    added += 1;
                }
            }
        }
        // A backfill does not move the account's time: what has not expired by that may be active again.
        if !self.fits(self.latest.unwrap_or(now), 0) {
            *self = before;
            return Outcome::Refused("overflow");
        }
        Outcome::Backfilled(added, skipped, conflicts)
    }

    fn run(&mut self, operation: &Operation, at: Instant) -> Outcome {
        let now = self.now(at);
        match operation {
            Operation::Charge { credits, id, .. } => self.cost(*credits, id, now, true),
            Operation::Record { credits, id, .. } => self.cost(*credits, id, now, false),
            Operation::Hold { credits, id, ttl, .. } => self.make_hold(id.as_id().unwrap(), *credits, *ttl, now),
            Operation::Extend { id, ttl, at_least, .. } => {
                let asked = now.checked_add(ttl.duration()).unwrap();
                self.end(id, now, |model, hold| {
                    let expires = if *at_least && hold.expires > asked { hold.expires } else { asked };
                    model.holds.push(Hold { expires, ..hold });
                })
            }
            Operation::Settle { id, credits } => self.settle(id, *credits, now),
            Operation::Release { id, .. } => self.end(id, now, |_, _| {}),
            Operation::Void { id, at } => {
                let count = self.entries.len();
                self.entries.retain(|entry| entry.id.as_ref() != Some(id) || at.is_some_and(|at| at != entry.at));
                Outcome::Voided(self.entries.len() < count)
            }
            Operation::Status if self.plan.is_none() => Outcome::Refused("unknown_client"),
            Operation::Status => Outcome::Status(self.quotas(now)),
            Operation::Delete { range } => {
                let count = self.entries.len();
                self.entries.retain(|entry| !range.contains(entry.at));
                Outcome::Deleted((count - self.entries.len()).try_into().unwrap())
            }
            Operation::Backfill { entries, .. } => self.backfill(entries, now),
            Operation::SetPlan { plan, .. } => {
                self.plan = Some(Plan::clone(plan));
                Outcome::Status(self.quotas(now))
            }
            Operation::RemovePlan => {
                self.plan = None;
                Outcome::Voided(true)
            }
        }
    }
}

fn micros(micros: i64) -> Credits {
    Credits::from_micros(micros).unwrap()
}

fn outcome(answer: &Result<Answer, Stop>) -> Outcome {
    let states = |quotas: &quota_core::Quotas| {
        quotas.iter().map(|status| (status.period(), status.used(), status.held(), status.window())).collect()
    };
    match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => {
            Outcome::Allowed { replayed: allowed.replayed(), quotas: states(allowed.quotas()) }
        }
        Ok(Answer::Decision(Decision::Denied(denied))) => Outcome::Denied {
            violated: denied.violated().map(quota_core::QuotaStatus::period).collect(),
            binding: denied.binding().unwrap().period(),
            retry_at: denied.retry_at(),
        },
        Ok(Answer::Status(status)) => Outcome::Status(states(status.quotas())),
        Ok(Answer::Voided(voided)) => Outcome::Voided(*voided),
        Ok(Answer::Deleted(count)) => Outcome::Deleted(*count),
        Ok(Answer::Backfilled(done)) => Outcome::Backfilled(done.added, done.skipped, done.conflicts.clone()),
        Ok(Answer::PlanRemoved) => Outcome::Voided(true),
        Err(Stop::Refused(refusal)) => Outcome::Refused(refusal.code()),
        other => panic!("{other:?}"),
    }
}

/// Around a change of clocks in Berlin, so that days of 23 hours are met.
const START: i64 = 1_711_800_000_000;

fn any_at() -> impl Strategy<Value = Instant> {
    prop_oneof![4 => 0_i64..600_000, 2 => 0_i64..200_000_000, 1 => 0_i64..10_000_000_000]
        .prop_map(|after| Instant::from_millis(START + after).unwrap())
}

fn any_credits() -> impl Strategy<Value = Credits> {
    prop_oneof![
        12 => (0_i64..8).prop_map(|whole| micros(whole * 500_000)),
        3 => (0_i64..3).prop_map(micros),
        1 => Just(Credits::MAX),
        1 => Just(micros(i64::MAX / 2)),
    ]
}

fn any_id() -> impl Strategy<Value = OperationId> {
    (0_u8..6).prop_map(|number| OperationId::new(format!("id{number}")).unwrap())
}

fn any_entry_id() -> impl Strategy<Value = EntryId> {
    prop_oneof![Just(EntryId::Absent), any_id().prop_map(EntryId::Given)]
}

fn any_ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![1_u64..5_000, 1_u64..100_000_000].prop_map(|millis| Ttl::new(Duration::from_millis(millis)).unwrap())
}

fn any_quota() -> impl Strategy<Value = Quota> {
    let unit = prop::sample::select(Unit::ALL.to_vec());
    let limit = prop_oneof![
        6 => (0_i64..40).prop_map(|whole| Limit::Finite(micros(whole * 500_000))),
        1 => Just(Limit::Unlimited),
        1 => Just(Limit::Finite(Credits::MAX)),
    ];
    (unit, 1_u32..4, limit, any_at(), 0_usize..3).prop_map(|(unit, every, limit, anchor, zone)| {
        let zone = [quota_core::Tz::UTC, quota_core::Tz::Europe__Berlin, quota_core::Tz::Pacific__Apia][zone];
        Quota::new(Period::new(unit, every).unwrap(), limit, Anchor::new(anchor, zone))
    })
}

fn any_plan() -> impl Strategy<Value = Plan> {
    prop::collection::vec(any_quota(), 0..4)
        .prop_filter_map("two quotas of one period", |quotas| Plan::new(quotas).ok())
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let range = (any_at(), any_at()).prop_map(|(one, other)| Window::new(one.min(other), one.max(other)).unwrap());
    let past =
        (any_id(), any_at(), any_credits()).prop_map(|(id, at, credits)| PastEntry { id, at, credits, label: None });
    let version = PlanVersion::new(std::num::NonZeroU64::MIN);
    prop_oneof![
        8 => (any_credits(), any_entry_id()).prop_map(|(credits, id)| Operation::Charge { credits, id, label: None }),
        2 => (any_credits(), any_entry_id()).prop_map(|(credits, id)| Operation::Record { credits, id, label: None }),
        4 => (any_credits(), any_id(), any_ttl())
            .prop_map(|(credits, id, ttl)| Operation::Hold { credits, id: EntryId::Given(id), ttl, label: None, asker: None }),
        2 => (any_id(), any_ttl(), any::<bool>())
            .prop_map(|(id, ttl, at_least)| Operation::Extend { id, ttl, at: None, at_least }),
        3 => (any_id(), any_credits()).prop_map(|(id, credits)| Operation::Settle { id, credits }),
        1 => any_id().prop_map(|id| Operation::Release { id, at: None, asker: None }),
        1 => any_id().prop_map(|id| Operation::Void { id, at: None }),
        1 => Just(Operation::Status),
        1 => range.prop_map(|range| Operation::Delete { range }),
        1 => prop::collection::vec(past, 0..4)
            .prop_map(|entries| Operation::Backfill { entries, not_after: Instant::MAX }),
        2 => any_plan().prop_map(move |plan| Operation::SetPlan { plan: Arc::new(plan), version }),
        1 => Just(Operation::RemovePlan),
    ]
}

/// The parts of an account that are not a cache.
fn facts_of(account: &Account) -> (Instant, Credits, Vec<Hold>) {
    (account.latest(), account.recorded(), account.active_holds(Instant::MIN).cloned().collect())
}

fn run_both(store: &mut ListStore, model: &mut Model, operation: &Operation, at: Instant) -> (Outcome, Outcome) {
    match operation {
        Operation::SetPlan { plan, .. } => store.plan = Some(Plan::clone(plan)),
        Operation::RemovePlan => store.plan = None,
        _ => {}
    }
    (outcome(&store.run(operation, at)), model.run(operation, at))
}

/// Runs operations in one turn, each by the plan that is set when it runs; writes only where it must and at the end.
fn run_together(store: &mut ListStore, operations: &[(Operation, Instant)]) -> Vec<Result<Answer, Stop>> {
    let mut account = store.account.clone();
    let mut turn = Turn::new(&mut account, Terms::ENTRIES);
    let mut answers = Vec::new();
    for (operation, at) in operations {
        match operation {
            Operation::SetPlan { plan, .. } => store.plan = Some(Plan::clone(plan)),
            Operation::RemovePlan => store.plan = None,
            _ => {}
        }
        let plan = store.plan.clone();
        answers.push(loop {
            match turn.run(operation, Asked { plan: plan.as_ref(), check: PlanCheck::Any, at: *at }) {
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = look_up(&store.entries, &need);
                        turn.learn(need, fact);
                    }
                }
                Err(Stop::WriteFirst) => {
                    let writes = turn.take_writes();
                    store.write(writes);
                }
                answer => break answer,
            }
        });
    }
    let writes = turn.take_writes();
    store.write(writes);
    store.account = account;
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_sequence_answers_as_the_model(
        first in any_plan(),
        steps in prop::collection::vec((any_operation(), any_at()), 1..60),
    ) {
        let mut store = ListStore { plan: Some(first.clone()), ..ListStore::default() };
        let mut model = Model { plan: Some(first), ..Model::default() };
        for (operation, at) in &steps {
            let before = facts_of(&store.account);
            let (answer, expected) = run_both(&mut store, &mut model, operation, *at);
            prop_assert_eq!(&answer, &expected, "{:?} at {}", operation, at);
            if matches!(answer, Outcome::Denied { .. } | Outcome::Status(_) | Outcome::Refused(_)) {
                prop_assert_eq!(before, facts_of(&store.account), "{:?} changed something", operation);
            }
            prop_assert_eq!(store.entries.len(), model.entries.len());
            prop_assert_eq!(store.account.recorded(), store.sum(Window::ALL));
        }
    }

    /// Operations that share a turn, and so one reading of the ledger, answer as if each had one of its own.
    #[test]
    fn operations_that_share_a_turn_answer_as_the_model(
        first in any_plan(),
        batches in prop::collection::vec(prop::collection::vec((any_operation(), any_at()), 1..12), 1..8),
    ) {
        let mut store = ListStore { plan: Some(first.clone()), ..ListStore::default() };
        let mut model = Model { plan: Some(first), ..Model::default() };
        for batch in &batches {
            let answers = run_together(&mut store, batch);
            for ((operation, at), answer) in batch.iter().zip(answers) {
                prop_assert_eq!(outcome(&answer), model.run(operation, *at), "{:?} at {}", operation, at);
            }
            prop_assert_eq!(store.account.recorded(), store.sum(Window::ALL));
        }
    }

    /// The way without look-ups decides and changes exactly what the general one does.
    #[test]
    fn a_charge_in_place_is_a_charge(
        plan in any_plan(),
        steps in prop::collection::vec((any_operation(), any_at(), any_credits()), 1..40),
    ) {
        let mut store = ListStore { plan: Some(plan), ..ListStore::default() };
        for (operation, at, credits) in &steps {
            run_both(&mut store, &mut Model::default(), operation, *at);
            let Some(plan) = store.plan.clone() else { continue };
            let mut quick = store.account.clone();
            let charge = Operation::Charge { credits: *credits, id: EntryId::Absent, label: None };
            let Some(verdict) = quick.charge(&plan, *credits, *at) else { continue };
            let decision = quick.decision(verdict, &plan, *credits, *at);
            let general = store.run(&charge, *at);
            prop_assert_eq!(general, Ok(Answer::Decision(decision.clone())));
            prop_assert_eq!(&quick, &store.account);
            if decision.is_allowed() {
                prop_assert_eq!(store.entries.last().map(|entry| entry.at), Some(quick.latest()));
            }
        }
    }

    /// Whoever knows no more than the headroom admits what whoever knows everything admits, and adds up what that comes to.
    #[test]
    fn charges_within_the_headroom_are_admitted_and_add_up(
        plan in any_plan(),
        steps in prop::collection::vec((any_operation(), any_at()), 1..30),
        charges in prop::collection::vec((any_credits(), 0_u64..=1_000), 1..8),
    ) {
        let mut store = ListStore { plan: Some(plan), ..ListStore::default() };
        for (operation, at) in &steps {
            run_both(&mut store, &mut Model::default(), operation, *at);
            let (Some(plan), before) = (store.plan.clone(), store.account.latest()) else { continue };
            let Some(headroom) = store.account.headroom(&plan) else { continue };
            let (mut account, mut counted) = (store.account.clone(), store.account.clone());
            let (mut added, mut entries) = (store.account.clone(), Vec::new());
            let (mut left, mut last, mut is_any) = (headroom.credits, before, false);
            let run = |account: &mut Account, operation: &Operation, at: Instant| {
                Turn::new(account, Terms::ENTRIES).run(operation, Asked { plan: Some(&plan), check: PlanCheck::Any, at })
            };
            for (credits, place) in &charges {
                let Some(rest) = left.checked_sub(*credits) else { continue };
                let span = i128::from(headroom.until.millis() - before.millis() - 1);
                let after = i64::try_from(span * i128::from(*place) / 1_000).unwrap();
                let at = Instant::from_millis(before.millis() + after).unwrap();
                let charge = Operation::Charge { credits: *credits, id: EntryId::Absent, label: None };
                let answer = run(&mut account, &charge, at);
                prop_assert!(matches!(&answer, Ok(Answer::Decision(Decision::Allowed(_)))), "{:?} at {}", answer, at);
                (left, last, is_any) = (rest, last.max(at), true);
                entries.push(Entry { id: None, at: account.latest(), credits: *credits, label: None });
            }
            if !is_any {
                continue;
            }
            counted.add_charged(headroom.credits.saturating_sub(left), last);
            let seen = [&mut account, &mut counted].map(|account| run(account, &Operation::Status, last));
            prop_assert_eq!(&seen[0], &seen[1]);
            prop_assert_eq!(&account, &counted);
            // The same where they are known one by one.
            added.add_entries(&entries, last);
            prop_assert_eq!((added.latest(), added.recorded()), (account.latest(), account.recorded()));
            let told = run(&mut added, &Operation::Status, last);
            prop_assert_eq!(&told, &seen[0]);
        }
    }

    #[test]
    fn the_order_of_quotas_does_not_matter(plan in any_plan(), seed in any::<u64>()) {
        let mut quotas = plan.quotas().to_vec();
        let count = quotas.len().max(1);
        quotas.rotate_left(usize::try_from(seed).unwrap_or(0) % count);
        prop_assert_eq!(Plan::new(quotas), Ok(plan));
    }

    #[test]
    fn an_account_survives_its_document(
        plan in any_plan(),
        steps in prop::collection::vec((any_operation(), any_at()), 1..30),
    ) {
        let mut store = ListStore { plan: Some(plan), ..ListStore::default() };
        for (operation, at) in &steps {
            run_both(&mut store, &mut Model::default(), operation, *at);
            let restored = Account::from_document(&store.account.to_document());
            prop_assert_eq!(restored.as_ref(), Ok(&store.account));
            store.account = restored.unwrap();
        }
    }
}

#[test]
fn an_overflow_is_an_error_that_changes_nothing() {
    let mut store = ListStore { plan: Some(Plan::default()), ..ListStore::default() };
    let at = Instant::from_millis(START).unwrap();
    let charge = |credits| Operation::Charge { credits, id: EntryId::Absent, label: None };
    assert!(store.run(&charge(Credits::MAX), at).is_ok());
    let before = store.account.clone();
    assert_eq!(store.run(&charge(micros(1)), at), Err(Stop::Refused(Refusal::Overflow)));
    assert_eq!(store.account, before);
    assert!(store.run(&charge(Credits::ZERO), at).is_ok());
}
