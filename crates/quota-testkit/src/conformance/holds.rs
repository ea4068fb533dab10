//! Credits set aside.

use quota_core::{Answer, EntryId, Operation, Ttl};
use quota_service::{Settled, UsageStore};

use super::batches::{no_plan, request};
use crate::{Harness, StoreFactory, at, credits, minutes, operation_id, per_day, seconds};

pub async fn a_hold_sets_credits_aside_and_settling_charges_the_actual_cost<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("less", "6", minutes(5)).await, "allowed");
    assert_eq!(client.stands().await, ("0".into(), "6".into(), "4".into()));
    assert_eq!(client.total().await, "0");
    assert_eq!(client.settle("less", "1.5").await, "allowed");
    assert_eq!(client.stands().await, ("1.5".into(), "0".into(), "8.5".into()));
    assert_eq!(client.hold("more", "8.5", minutes(5)).await, "allowed");
    assert_eq!(client.settle("more", "11").await, "allowed", "what it did cost, whatever was left");
    assert_eq!(client.stands().await, ("12.5".into(), "0".into(), "-2.5".into()));
    assert_eq!(client.total().await, "12.5");
}

pub async fn holds_count_against_the_limit_and_a_denied_hold_changes_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "7", minutes(5)).await, "allowed");
    assert_eq!(client.charge("3.000001").await, "denied");
    assert_eq!(client.hold("i", "3.000001", minutes(5)).await, "denied");
    assert_eq!(client.release("i").await, "hold_not_active");
    assert_eq!(client.hold("i", "3", minutes(5)).await, "allowed");
    assert_eq!(client.stands().await, ("0".into(), "10".into(), "0".into()));
}

pub async fn releasing_gives_everything_back<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "10", minutes(5)).await, "allowed");
    assert_eq!(client.release("h").await, "allowed");
    assert_eq!(client.release("h").await, "hold_not_active");
    assert_eq!(client.settle("h", "10").await, "hold_not_active");
    assert_eq!(client.extend("h", minutes(1)).await, "hold_not_active");
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.total().await, "10");
}

pub async fn a_settled_entry_stands_in_the_holds_window_even_after_it_has_passed<F: StoreFactory>(
    harness: &Harness<F>,
) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-15T23:50:00Z"));
    assert_eq!(client.hold("h", "6", minutes(60)).await, "allowed");
    harness.clock().set(at("2024-03-16T00:10:00Z"));
    assert_eq!(client.charge("10").await, "allowed", "yesterday's hold takes nothing of today");
    assert_eq!(client.settle("h", "4").await, "allowed");
    assert_eq!(client.used().await, "10");
    assert_eq!(client.total_in("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, "4");
}

pub async fn a_hold_expires_at_its_instant<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "10", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:00:59.999Z"));
    assert_eq!(client.held().await, "10");
    assert_eq!(client.charge("1").await, "denied");
    harness.clock().set(at("2024-03-15T12:01:00Z"));
    assert_eq!(client.held().await, "0");
    assert_eq!(client.settle("h", "1").await, "hold_not_active");
    assert_eq!(client.charge("10").await, "allowed");
}

pub async fn an_expired_hold_is_not_raised_by_a_clock_that_is_behind<F: StoreFactory>(harness: &Harness<F>) {
    let (client, behind) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "6", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:02:00Z"));
    assert_eq!(client.charge("10").await, "allowed");
    harness.clock().set(at("2024-03-15T12:00:30Z"));
    assert_eq!(behind.settle("h", "6").await, "hold_not_active");
    assert_eq!(behind.release("h").await, "hold_not_active");
    assert_eq!(behind.stands().await, ("10".into(), "0".into(), "0".into()));
}

pub async fn a_look_at_the_future_forgets_no_hold<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "6", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:02:00Z"));
    assert_eq!(client.held().await, "0");
    assert_eq!(client.charge("11").await, "denied");
    // Neither a status nor a denial moves the account's time.
    harness.clock().set(at("2024-03-15T12:00:30Z"));
    assert_eq!(client.held().await, "6");
    assert_eq!(client.settle("h", "2").await, "allowed");
    assert_eq!(client.used().await, "2");
}

pub async fn extending_moves_the_expiry_from_now<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "6", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:00:50Z"));
    assert_eq!(client.extend("h", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:01:49.999Z"));
    assert_eq!(client.held().await, "6");
    assert_eq!(client.extend("h", seconds(1)).await, "allowed", "an extension may also shorten");
    harness.clock().set(at("2024-03-15T12:01:50.999Z"));
    assert_eq!(client.held().await, "0");
    assert_eq!(client.extend("h", seconds(60)).await, "hold_not_active");
    assert_eq!(client.charge("10").await, "allowed");
}

pub async fn a_hold_that_would_outlive_2099_is_refused<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    harness.clock().set(at("2099-06-01T00:00:00Z"));
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "1", Ttl::MAX.duration()).await, "instant_out_of_range");
    assert_eq!(client.hold("h", "1", minutes(1)).await, "allowed");
    assert_eq!(client.extend("h", Ttl::MAX.duration()).await, "instant_out_of_range");
    assert_eq!(client.settle("h", "1").await, "allowed");
}

pub async fn a_hold_of_the_longest_ttl_lives_366_days<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "1", Ttl::MAX.duration()).await, "allowed");
    harness.clock().set(at("2025-03-16T11:59:59.999Z"));
    assert_eq!(client.settle("h", "3").await, "allowed");
    assert_eq!(client.total_in("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, "3");
}

pub async fn an_active_hold_can_be_ended_without_a_plan<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("10")]).await;
    for id in ["h", "i"] {
        assert_eq!(client.hold(id, "1", minutes(5)).await, "allowed");
    }
    other.unplan().await;
    assert_eq!(client.extend("h", minutes(9)).await, "allowed");
    assert_eq!(client.settle("h", "2").await, "allowed");
    assert_eq!(client.release("i").await, "allowed");
    assert_eq!(client.settle("h", "2").await, "unknown_client");
    assert_eq!(client.hold("j", "1", minutes(5)).await, "unknown_client");
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.stands().await, ("2".into(), "0".into(), "8".into()));
}

pub async fn a_hold_made_by_one_process_is_ended_by_another<F: StoreFactory>(harness: &Harness<F>) {
    let (maker, ender) = (harness.subject("a").await, harness.subject("a").await);
    maker.plan(&[per_day("10")]).await;
    assert_eq!(ender.charge("1").await, "allowed");
    assert_eq!(maker.hold("h", "9", minutes(5)).await, "allowed");
    assert_eq!(ender.charge("1").await, "denied");
    assert_eq!(ender.settle("h", "5").await, "allowed");
    assert_eq!(maker.charge("4").await, "allowed");
    assert_eq!(maker.stands().await, ("10".into(), "0".into(), "0".into()));
}

pub async fn no_more_than_10_000_holds_are_active<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    let store = harness.store().await;
    client.plan(&[]).await;
    let hold = |number: usize| {
        let id = EntryId::Given(operation_id(&format!("h{number}")));
        let ttl = Ttl::new(minutes(5)).unwrap();
        Operation::Hold { credits: credits("1"), id, ttl, label: None, asker: None }
    };
    for batch in 0..10 {
        let requests = (0..1_000).map(|number| super::batches::empty_plan(harness, "a", hold(batch * 1_000 + number)));
        let answers = store.apply(requests.collect()).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Answer::Decision(decision)) if decision.is_allowed())));
    }
    assert_eq!(client.hold("one more", "1", minutes(5)).await, "too_many_holds");
    assert_eq!(client.charge_as("charged", "1").await, "allowed");
    for (id, amount, expected) in [("h1", "1", "replayed"), ("h1", "2", "id_conflict"), ("charged", "1", "id_conflict")]
    {
        assert_eq!(client.hold(id, amount, minutes(5)).await, expected, "an id is looked at before the bound");
    }
    assert_eq!(client.release("h0").await, "allowed");
    assert_eq!(client.hold("one more", "1", minutes(5)).await, "allowed");
    // Expired ones make room at once.
    harness.clock().set(at("2024-03-15T12:05:00Z"));
    assert_eq!(client.hold("afterwards", "1", minutes(5)).await, "allowed");
}

pub async fn a_hold_without_an_id_is_refused<F: StoreFactory>(harness: &Harness<F>) {
    let store = harness.store().await;
    let ttl = Ttl::DEFAULT;
    let hold = Operation::Hold { credits: credits("1"), id: EntryId::Absent, ttl, label: None, asker: None };
    let answers = store.apply(vec![request(harness, "a", hold, no_plan())]).await;
    assert!(
        matches!(&answers[..], [Err(quota_service::StoreError::Refused(refusal))] if refusal.code() == "id_required")
    );
}

pub async fn a_guard_that_is_dropped_releases_its_hold<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let guard = client.guard("h", "10", minutes(5)).await;
    assert_eq!(client.charge("1").await, "denied");
    drop(guard);
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.stands().await, ("10".into(), "0".into(), "0".into()));
}

pub async fn a_guard_settles_in_time_or_records_late<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let guard = client.guard("in time", "5", seconds(60)).await;
    assert!(matches!(guard.settle(credits("3")).await, Ok(Settled::InTime(_))));
    let guard = client.guard("late", "5", seconds(60)).await;
    harness.clock().set(at("2024-03-15T12:30:00Z"));
    assert_eq!(client.charge("7").await, "allowed");
    assert!(matches!(guard.settle(credits("2")).await, Ok(Settled::Late(_))));
    assert_eq!(client.stands().await, ("12".into(), "0".into(), "-2".into()));
    assert_eq!(client.record_as("late", "2").await, "replayed", "it was recorded under the hold's id");
}

pub async fn a_guard_that_is_detached_leaves_its_hold<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let id = client.guard("h", "10", minutes(5)).await.detach();
    assert_eq!(client.held().await, "10");
    assert_eq!(client.settle(id.as_str(), "1").await, "allowed");
}

pub async fn a_shutdown_releases_the_guards_that_live<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let guard = client.guard("h", "10", minutes(5)).await;
    client.service().shutdown().await;
    let another = harness.subject("a").await;
    assert_eq!(another.held().await, "0");
    assert_eq!(another.charge("10").await, "allowed");
    drop(guard);
    assert_eq!(another.stands().await, ("10".into(), "0".into(), "0".into()));
}
