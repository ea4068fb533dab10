//! Plans that change while the ledger stays.

use std::num::NonZeroU64;
use std::sync::Arc;

use quota_core::{Operation, Plan, PlanCheck, PlanVersion, Unit};
use quota_service::{PlanStore, PlanView, StoreError, UsageStore};

use super::batches::{charge, request, view};
use crate::{Harness, StoreFactory, at, credits, minutes, per_day, per_hour, quota, quota_from};

pub async fn setting_a_plan_counts_what_was_used_and_is_held<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("4").await, "allowed");
    assert_eq!(client.hold("h", "2", minutes(5)).await, "allowed");
    let status = client.plan(&[per_hour("7"), quota(Unit::Month, 1, "5")]).await;
    let stands: Vec<_> = status.quotas().iter().map(|quota| quota.balance().unwrap().to_string()).collect();
    assert_eq!(stands, ["1", "-1"]);
    assert_eq!(client.charge("1").await, "denied");
    client.plan(&[per_hour("7")]).await;
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.charge("0.000001").await, "denied");
}

pub async fn removing_a_plan_and_setting_one_keeps_what_was_used<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    client.unplan().await;
    assert_eq!(client.charge("1").await, "unknown_client");
    assert_eq!(client.total().await, "4");
    assert_eq!(client.backfill(&[("b", "2024-03-15T11:00:00Z", "1")]).await.added, 1);
    assert!(client.void("i").await);
    client.unplan().await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.used().await, "1");
}

pub async fn another_anchor_asks_the_ledger<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    for (instant, amount) in
        [("2024-03-14T20:00:00Z", "1"), ("2024-03-15T05:45:00Z", "2"), ("2024-03-15T06:00:00Z", "4")]
    {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    assert_eq!(client.used().await, "6");
    let from_six = quota_from(Unit::Day, 1, "100", "2024-01-01T06:00:00Z", "UTC");
    client.plan(&[from_six]).await;
    assert_eq!(client.used().await, "4");
    let in_tokyo = quota_from(Unit::Day, 1, "100", "2024-01-01T00:00:00+09:00", "Asia/Tokyo");
    client.plan(&[in_tokyo]).await;
    assert_eq!(client.used().await, "7");
    client.plan(&[quota(Unit::Day, 2, "100"), quota(Unit::Year, 1, "100")]).await;
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["6", "7"]);
}

pub async fn a_plan_set_by_one_process_binds_the_others_next_request<F: StoreFactory>(harness: &Harness<F>) {
    let (one, other) = (harness.subject("a").await, harness.subject("a").await);
    assert_eq!(other.charge("1").await, "unknown_client");
    one.plan(&[per_day("10")]).await;
    assert_eq!(other.charge("4").await, "allowed");
    one.plan(&[per_day("5")]).await;
    assert_eq!(other.charge("2").await, "denied");
    one.plan(&[per_day("6")]).await;
    assert_eq!(other.charge("2").await, "allowed");
    one.unplan().await;
    assert_eq!(other.charge("1").await, "unknown_client");
    other.plan(&[per_day("7")]).await;
    assert_eq!(one.charge("1").await, "allowed");
    assert_eq!(one.charge("1").await, "denied");
    assert_eq!(one.hold("h", "1", minutes(1)).await, "denied");
    assert_eq!(one.used().await, "7");
}

pub async fn a_request_with_another_version_of_the_plan_is_told_the_accounts<F: StoreFactory>(harness: &Harness<F>) {
    let store = harness.store().await;
    let plan = Arc::new(Plan::new([per_day("10")]).unwrap());
    let versions = [7, 8].map(|number| PlanVersion::new(NonZeroU64::new(number).unwrap()));
    let set = |version| Operation::SetPlan { plan: Arc::clone(&plan), version };
    let ask =
        async |operation, view: PlanView| store.apply(vec![request(harness, "a", operation, view)]).await.remove(0);
    let known = |version| PlanView { check: PlanCheck::Version(version), ..view(&plan) };
    ask(set(versions[0]), known(None)).await.unwrap();
    ask(charge("1"), known(Some(versions[0]))).await.unwrap();
    ask(set(versions[1]), known(None)).await.unwrap();
    for stale in [known(Some(versions[0])), known(None)] {
        for operation in [charge("1"), Operation::Status] {
            let answer = ask(operation, stale.clone()).await;
            assert!(
                matches!(answer, Err(StoreError::PlanChanged(Some(version))) if version == versions[1]),
                "{answer:?}"
            );
        }
    }
    ask(Operation::RemovePlan, known(None)).await.unwrap();
    let answer = ask(charge("1"), known(Some(versions[1]))).await;
    assert!(matches!(answer, Err(StoreError::PlanChanged(None))), "{answer:?}");
    let client = harness.client("a");
    assert_eq!(store.total(&client, quota_core::Window::ALL).await.unwrap(), credits("1"));
}

pub async fn a_stored_plan_is_read_as_it_was_set<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    let store = harness.store().await;
    assert_eq!(store.stored_plan(client.client()).await.unwrap(), quota_service::StoredPlan::default());
    let quotas = [
        quota_from(Unit::Month, 3, "0.000001", "2024-02-29T23:59:59.999Z", "America/St_Johns"),
        quota_from(Unit::Second, 100_000, "unlimited", "1970-01-01T00:00:00Z", "UTC"),
        quota_from(Unit::Year, 1, "9223372036854.775807", "2020-02-29T12:00:00Z", "Asia/Kathmandu"),
    ];
    let plan = Plan::new(quotas).unwrap();
    client.plan(&quotas).await;
    let stored = store.stored_plan(client.client()).await.unwrap();
    assert_eq!(stored.plan.as_deref(), Some(&plan));
    client.plan(&quotas).await;
    let again = store.stored_plan(client.client()).await.unwrap();
    assert_ne!(stored.version, again.version, "every change has a version of its own");
    assert_eq!(client.service().plan(client.client()).await.unwrap().as_deref(), Some(&plan));
    client.unplan().await;
    assert_eq!(store.stored_plan(client.client()).await.unwrap(), quota_service::StoredPlan::default());
}

pub async fn a_refused_plan_leaves_the_old_one<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("4").await, "allowed");
    let endless = Plan::new([per_day("1"), quota(Unit::Year, 100_000, "1")]).unwrap();
    let refused = client.service().set_plan(client.client(), endless).await.unwrap_err();
    assert!(
        matches!(&refused, quota_service::ServiceError::Refused(refusal) if refusal.code() == "instant_out_of_range"),
        "{refused:?}"
    );
    assert_eq!(client.charge("6").await, "allowed");
    assert_eq!(client.charge("1").await, "denied");
}

pub async fn two_processes_with_different_plans_lose_no_sums<F: StoreFactory>(harness: &Harness<F>) {
    let stores = [harness.store().await, harness.store().await];
    let plans = [
        Arc::new(Plan::new([per_hour("1000"), per_day("1000")]).unwrap()),
        Arc::new(Plan::new([quota_from(Unit::Day, 1, "1000", "2024-01-01T06:00:00Z", "UTC")]).unwrap()),
    ];
    for round in 0..20 {
        for (store, plan) in stores.iter().zip(&plans) {
            let answer = store.apply(vec![request(harness, "a", charge("1"), view(plan))]).await.remove(0);
            let Ok(quota_core::Answer::Decision(decision)) = answer else { panic!("{answer:?}") };
            let used: Vec<_> = decision.quotas().unwrap().iter().map(quota_core::QuotaStatus::used).collect();
            let sum = store.total(&harness.client("a"), quota_core::Window::ALL).await.unwrap();
            assert!(used.iter().all(|used| *used == sum), "round {round}: {used:?} of {sum}");
        }
    }
}

pub async fn twenty_five_plans_in_turn_count_the_same_ledger<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    for round in 0..2_u32 {
        for hour in 0..25 {
            client.plan(&[quota(Unit::Hour, 24 + hour, "10000")]).await;
            assert_eq!(client.charge("1").await, "allowed");
        }
        assert_eq!(client.total().await, ((round + 1) * 25).to_string());
    }
    for hour in 0..25 {
        // The windows differ; each holds all that happened in this one instant.
        client.plan(&[quota(Unit::Hour, 24 + hour, "10000")]).await;
        assert_eq!(client.used().await, "50");
    }
}

pub async fn usage_ahead_of_the_clock_counts_in_its_own_window<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-15T23:59:30Z"));
    assert_eq!(client.charge("1").await, "allowed");
    // As far ahead as clocks are tolerated to be, and in the next window.
    assert_eq!(client.backfill(&[("b", "2024-03-16T00:00:10Z", "7")]).await.added, 1);
    assert_eq!(client.used().await, "1");
    harness.clock().set(at("2024-03-16T00:00:05Z"));
    assert_eq!(client.used().await, "7");
    assert_eq!(client.charge("4").await, "denied");
    assert_eq!(client.charge("3").await, "allowed");
    harness.clock().set(at("2024-03-17T00:00:00Z"));
    assert_eq!(client.charge("10").await, "allowed");
}

pub async fn a_window_that_no_process_has_seen_begins_at_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("10"), per_day("12")]).await;
    for hour in 12..15 {
        harness.clock().set(at(&format!("2024-03-15T{hour}:00:00Z")));
        assert_eq!(client.charge("4").await, "allowed");
        assert_eq!(client.used().await, "4");
    }
    assert_eq!(client.charge("1").await, "denied");
    harness.clock().set(at("2024-03-16T00:00:00Z"));
    assert_eq!(client.charge("4").await, "allowed");
}

pub async fn a_restart_shows_the_same<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("10"), per_day("20")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    assert_eq!(client.hold("h", "3", minutes(5)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:02:00Z"));
    assert_eq!(client.record("0.5").await, "allowed");
    let before = client.status().await;
    client.service().shutdown().await;
    drop(client);

    harness.clock().set(at("2024-03-15T12:01:00Z"));
    let client = harness.subject("a").await;
    let after = client.status().await;
    assert_eq!(after.quotas(), before.quotas());
    assert_eq!(client.charge_as("i", "4").await, "replayed");
    assert_eq!(client.charge("1").await, "allowed");
    // The account's time was kept: what is charged by a clock that is behind stands at 12:02.
    assert_eq!(client.total_in("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, "5.5");
    if harness.keeps_entries().await {
        assert_eq!(client.total_in("2024-03-15T12:02:00Z", "2024-03-15T12:02:00.001Z").await, "1.5");
    }
    assert_eq!(client.settle("h", "1").await, "allowed");
    assert_eq!(client.stands().await, ("6.5".into(), "0".into(), "3.5".into()));
}

pub async fn a_new_quota_never_counts_too_little<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    for (instant, amount) in [("2024-03-15T12:00:10Z", "1"), ("2024-03-15T12:05:00Z", "2")] {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    client.plan(&[quota(Unit::Minute, 1, "10")]).await;
    // Where only quarters are kept, all of the one that the minute lies in counts.
    let used = if harness.keeps_entries().await { "2" } else { "3" };
    assert_eq!(client.used().await, used);
    harness.clock().set(at("2024-03-15T12:06:00Z"));
    assert_eq!(client.used().await, "0");
}

pub async fn a_deletion_never_raises_a_counter<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Minute, 20, "100")]).await;
    for (instant, amount) in [("2024-03-15T12:05:00Z", "1"), ("2024-03-15T12:19:30Z", "2")] {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    // In the quarter that the window ends in, and in the next window.
    assert_eq!(client.backfill(&[("b", "2024-03-15T12:20:10Z", "8")]).await.added, 1);
    assert_eq!(client.used().await, "3");
    assert_eq!(client.delete("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, 1);
    let used = if harness.keeps_entries().await { "2" } else { "3" };
    assert_eq!(client.used().await, used);
    assert_eq!(client.total().await, "10");
}
