//! What a store does with a batch, asked without a service.

use std::num::NonZeroU64;
use std::sync::Arc;

use quota_core::{
    Answer, Credits, Decision, EntryId, Operation, OperationId, PastEntry, Plan, PlanCheck, PlanVersion, Window,
};
use quota_service::{PlanStamp, PlanView, Request, StoreError, UsageStore};

use crate::{Harness, StoreFactory, credits, operation_id, per_day, quota};

/// A request at the clock's instant.
pub(super) fn request<F: StoreFactory>(
    harness: &Harness<F>,
    name: &str,
    operation: Operation,
    plan: PlanView,
) -> Request {
    let at = quota_service::Clock::now(harness.clock());
    Request { client: harness.client(name), operation, at, asked: at, plan }
}

/// A view of a plan that no account has to agree to.
pub(super) fn view(plan: &Arc<Plan>) -> PlanView {
    PlanView { plan: Some(Arc::clone(plan)), ..no_plan() }
}

pub(super) const fn no_plan() -> PlanView {
    let stamp = PlanStamp::ONCE;
    PlanView { plan: None, check: PlanCheck::Any, stamp }
}

/// A request by a plan without quotas.
pub(super) fn empty_plan<F: StoreFactory>(harness: &Harness<F>, name: &str, operation: Operation) -> Request {
    request(harness, name, operation, view(&Arc::new(Plan::default())))
}

pub(super) fn charge(amount: &str) -> Operation {
    Operation::Charge { credits: credits(amount), id: EntryId::Absent, label: None }
}

pub(super) fn charge_as(id: &str, amount: &str) -> Operation {
    Operation::Charge { credits: credits(amount), id: given(id), label: None }
}

fn given(id: &str) -> EntryId {
    EntryId::Given(operation_id(id))
}

/// An answer in one word.
fn word(answer: &Result<Answer, StoreError>) -> String {
    match answer {
        Ok(Answer::Decision(decision)) => crate::word(&Ok(decision.clone())).to_owned(),
        Ok(Answer::Status(status)) => {
            status.quotas().iter().next().map_or_else(String::new, |quota| format!("used {}", quota.used()))
        }
        Ok(Answer::Voided(voided)) => format!("voided {voided}"),
        Ok(Answer::Deleted(count)) => format!("deleted {count}"),
        Ok(Answer::Backfilled(done)) => format!("added {}", done.added),
        Ok(Answer::PlanRemoved) => "plan removed".to_owned(),
        Err(StoreError::Refused(refusal)) => refusal.code().to_owned(),
        Err(StoreError::PlanChanged(_)) => "plan changed".to_owned(),
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

/// Applies operations of one client with a limit of 10 a day as one batch.
async fn batch<F: StoreFactory>(harness: &Harness<F>, operations: Vec<Operation>) -> Vec<String> {
    let plan = Arc::new(Plan::new([per_day("10")]).unwrap());
    let requests = operations.into_iter().map(|operation| request(harness, "a", operation, view(&plan)));
    let answers = harness.store().await.apply(requests.collect()).await;
    answers.iter().map(word).collect()
}

pub async fn requests_of_one_client_run_in_order<F: StoreFactory>(harness: &Harness<F>) {
    let answers = batch(harness, ["6", "6", "4", "0.000001", "0"].map(charge).to_vec()).await;
    assert_eq!(answers, ["allowed", "denied", "allowed", "denied", "allowed"]);
}

pub async fn an_id_twice_in_one_batch_is_charged_once<F: StoreFactory>(harness: &Harness<F>) {
    let operations = vec![charge_as("i", "4"), charge_as("i", "4"), charge_as("i", "5"), Operation::Status];
    assert_eq!(batch(harness, operations).await, ["allowed", "replayed", "id_conflict", "used 4"]);
    assert_eq!(batch(harness, vec![charge_as("i", "4")]).await, ["replayed"]);
}

pub async fn what_is_taken_out_in_a_batch_follows_what_was_put_in<F: StoreFactory>(harness: &Harness<F>) {
    let void = |id| Operation::Void { id: operation_id(id), at: None };
    let operations = vec![
        charge_as("i", "4"),
        void("i"),
        void("i"),
        Operation::Status,
        charge_as("i", "5"),
        charge("1"),
        Operation::Delete { range: Window::ALL },
        Operation::Status,
        charge_as("i", "10"),
        charge("1"),
        void("i"),
        charge("2"),
    ];
    let expected = [
        "allowed",
        "voided true",
        "voided false",
        "used 0",
        "allowed",
        "allowed",
        "deleted 2",
        "used 0",
        "allowed",
        "denied",
        "voided true",
        "allowed",
    ];
    assert_eq!(batch(harness, operations).await, expected);
    assert_eq!(harness.store().await.total(&harness.client("a"), Window::ALL).await.unwrap(), credits("2"));
}

pub async fn a_hold_is_made_and_ended_in_one_batch<F: StoreFactory>(harness: &Harness<F>) {
    let [one, other] = [1, 2].map(|number| quota_core::Asker::new(NonZeroU64::new(number).unwrap()));
    let hold_of = |id, asker| Operation::Hold {
        credits: credits("8"),
        id: given(id),
        ttl: quota_core::Ttl::DEFAULT,
        label: None,
        asker: Some(asker),
    };
    let hold = |id| hold_of(id, one);
    let now = quota_service::Clock::now(harness.clock());
    let later = now.checked_add(std::time::Duration::from_millis(1)).unwrap();
    let operations = vec![
        hold("h"),
        hold("i"),
        Operation::Settle { id: operation_id("h"), credits: credits("1") },
        hold("i"),
        // Another one under the same id is not meant.
        Operation::Release { id: operation_id("i"), at: Some(later), asker: Some(one) },
        Operation::Release { id: operation_id("i"), at: Some(now), asker: Some(other) },
        // To be told again that it holds does not make it another's.
        hold("i"),
        Operation::Release { id: operation_id("i"), at: Some(now), asker: Some(one) },
        hold("i"),
        // Others were told that they hold, too: only who says so ends it.
        hold_of("i", other),
        Operation::Release { id: operation_id("i"), at: Some(now), asker: Some(one) },
        Operation::Release { id: operation_id("i"), at: Some(now), asker: Some(other) },
        Operation::Release { id: operation_id("i"), at: None, asker: Some(one) },
        Operation::Release { id: operation_id("i"), at: Some(later), asker: None },
        Operation::Release { id: operation_id("i"), at: Some(now), asker: None },
        charge("9"),
        charge_as("h", "1"),
    ];
    let expected = [
        "allowed",
        "denied",
        "allowed",
        "allowed",
        "hold_not_active",
        "hold_not_active",
        "replayed",
        "allowed",
        "allowed",
        "replayed",
        "hold_not_active",
        "hold_not_active",
        "hold_not_active",
        "hold_not_active",
        "allowed",
        "allowed",
        "replayed",
    ];
    assert_eq!(batch(harness, operations).await, expected);
}

pub async fn a_plan_that_is_set_in_a_batch_binds_what_follows<F: StoreFactory>(harness: &Harness<F>) {
    let plan = Arc::new(Plan::new([per_day("10")]).unwrap());
    let version = PlanVersion::new(NonZeroU64::new(3).unwrap());
    let known = |version| PlanView { check: PlanCheck::Version(version), ..view(&plan) };
    let requests = vec![
        request(harness, "a", charge("1"), known(None)),
        request(harness, "a", Operation::SetPlan { plan: Arc::clone(&plan), version }, no_plan()),
        request(harness, "a", charge("2"), known(None)),
        request(harness, "a", charge("4"), known(Some(version))),
        request(harness, "a", Operation::RemovePlan, no_plan()),
        request(harness, "a", charge("1"), known(Some(version))),
        request(harness, "a", charge("1"), PlanView { plan: None, ..known(None) }),
    ];
    let answers = harness.store().await.apply(requests).await;
    let answers: Vec<_> = answers.iter().map(word).collect();
    let expected = ["allowed", "used 1", "plan changed", "allowed", "plan removed", "plan changed", "unknown_client"];
    assert_eq!(answers, expected);
}

pub async fn a_new_window_counts_what_its_batch_has_charged<F: StoreFactory>(harness: &Harness<F>) {
    let day = Arc::new(Plan::new([per_day("10")]).unwrap());
    let hour = Arc::new(Plan::new([quota(quota_core::Unit::Hour, 1, "10")]).unwrap());
    let requests = vec![
        request(harness, "a", charge("1"), view(&day)),
        request(harness, "a", charge("9"), view(&day)),
        // By a plan whose window nothing is known of yet.
        request(harness, "a", charge("10"), view(&hour)),
        request(harness, "a", Operation::Status, view(&hour)),
    ];
    let answers = harness.store().await.apply(requests).await;
    let answers: Vec<_> = answers.iter().map(word).collect();
    assert_eq!(answers, ["allowed", "allowed", "denied", "used 10"]);
    let again = harness.store().await.apply(vec![request(harness, "a", Operation::Status, view(&hour))]).await;
    assert_eq!(again.iter().map(word).collect::<Vec<_>>(), ["used 10"]);
}

pub async fn a_charge_counts_what_was_backfilled_in_its_batch<F: StoreFactory>(harness: &Harness<F>) {
    let plan = Arc::new(Plan::new([per_day("10")]).unwrap());
    let now = quota_service::Clock::now(harness.clock());
    let past =
        |id, credits: &str| PastEntry { id: operation_id(id), at: now, credits: crate::credits(credits), label: None };
    let backfill = Operation::Backfill { entries: vec![past("i", "4"), past("j", "5")], not_after: now };
    let requests = vec![
        request(harness, "a", backfill, no_plan()),
        request(harness, "a", charge("2"), view(&plan)),
        request(harness, "a", charge("1"), view(&plan)),
    ];
    let answers = harness.store().await.apply(requests).await;
    let answers: Vec<_> = answers.iter().map(word).collect();
    assert_eq!(answers[1..], ["denied", "allowed"]);
}

pub async fn one_clients_refusal_leaves_the_others<F: StoreFactory>(harness: &Harness<F>) {
    let plan = Arc::new(Plan::new([quota(quota_core::Unit::Day, 1, "unlimited")]).unwrap());
    let most = "9223372036854.775807";
    let requests = vec![
        request(harness, "b", charge("1"), view(&plan)),
        request(harness, "a", charge(most), view(&plan)),
        request(harness, "c", charge("1"), no_plan()),
        request(harness, "a", charge("1"), view(&plan)),
        request(harness, "b", charge_as("i", "1"), view(&plan)),
        request(harness, "b", charge_as("i", "2"), view(&plan)),
        request(harness, "d", Operation::Settle { id: operation_id("h"), credits: credits("1") }, view(&plan)),
        request(harness, "d", charge("1"), view(&plan)),
    ];
    let store = harness.store().await;
    let answers: Vec<_> = store.apply(requests).await.iter().map(word).collect();
    let expected =
        ["allowed", "allowed", "unknown_client", "overflow", "allowed", "id_conflict", "hold_not_active", "allowed"];
    assert_eq!(answers, expected);
    for (name, sum) in [("a", most), ("b", "2"), ("c", "0"), ("d", "1")] {
        assert_eq!(store.total(&harness.client(name), Window::ALL).await.unwrap(), credits(sum), "{name}");
    }
}

pub async fn a_batch_of_a_thousand_is_answered_in_its_order<F: StoreFactory>(harness: &Harness<F>) {
    let plan = Arc::new(Plan::new([per_day("1000")]).unwrap());
    // Forty clients, mixed; the n-th request of a client charges n.
    let requests = (0..1_000_usize).map(|number| {
        let amount = (number / 40 + 1).to_string();
        request(harness, &format!("c{}", number * 7 % 40), charge(&amount), view(&plan))
    });
    let store = harness.store().await;
    let answers = store.apply(requests.collect()).await;
    assert_eq!(answers.len(), 1_000);
    for (number, answer) in answers.iter().enumerate() {
        let Ok(Answer::Decision(Decision::Allowed(allowed))) = answer else { panic!("{number}: {answer:?}") };
        let nth = u64::try_from(number / 40 + 1).unwrap();
        let used = allowed.quotas().as_slice()[0].used();
        assert_eq!(used, Credits::new(nth * (nth + 1) / 2).unwrap(), "request {number}");
    }
    for number in 0..40 {
        let total = store.total(&harness.client(&format!("c{number}")), Window::ALL).await.unwrap();
        assert_eq!(total, credits("325"));
    }
}

pub async fn an_empty_batch_has_no_answers<F: StoreFactory>(harness: &Harness<F>) {
    assert!(harness.store().await.apply(Vec::new()).await.is_empty());
}

pub async fn a_made_id_is_kept_with_its_entry<F: StoreFactory>(harness: &Harness<F>) {
    let made = EntryId::Made(OperationId::new("made").unwrap());
    let operation = Operation::Charge { credits: credits("4"), id: made, label: None };
    assert_eq!(batch(harness, vec![operation]).await, ["allowed"]);
    // So that a caller who was told `Unknown` finds out.
    assert_eq!(batch(harness, vec![charge_as("made", "4")]).await, ["replayed"]);
}
