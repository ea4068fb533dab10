//! Folding old entries into sums. The store is asked itself: a service spares the entries of the last day.

use std::time::Duration;

use quota_core::{Instant, Operation, Unit};
use quota_service::{DailyQuery, Refusal, ServiceError, UsageStore};

use crate::{Harness, StoreFactory, Subject, at, credits, past_entry, per_day, quota, quota_from, range};

/// A client with usage on three days, and what is before the last of them pruned.
async fn pruned<F: StoreFactory>(harness: &Harness<F>) -> Subject<F::Store> {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100"), quota(Unit::Month, 1, "100")]).await;
    for (instant, amount) in [
        ("2024-03-13T12:00:00Z", "1"),
        ("2024-03-13T12:05:00Z", "2"),
        ("2024-03-14T12:00:00Z", "4"),
        ("2024-03-15T12:00:00Z", "8"),
        ("2024-03-15T12:05:00Z", "16"),
    ] {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    let done = client.service().store().prune(at("2024-03-15T00:14:00Z")).await.unwrap();
    if harness.keeps_entries().await {
        assert!(done.entries >= 3, "{done:?}");
    }
    client
}

pub async fn pruning_gives_nothing_back<F: StoreFactory>(harness: &Harness<F>) {
    let client = pruned(harness).await;
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["24", "31"]);
    assert_eq!(client.total().await, "31");
    let days = client.days("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", "UTC").await;
    let day = |day: &str, sum: &str, entries| (day.to_owned(), sum.to_owned(), entries);
    assert_eq!(days, [day("2024-03-13", "3", 2), day("2024-03-14", "4", 1), day("2024-03-15", "24", 2)]);
    assert_eq!(client.charge("69.000001").await, "denied");
    assert_eq!(client.charge("69").await, "allowed");
}

pub async fn a_new_quota_counts_what_was_pruned<F: StoreFactory>(harness: &Harness<F>) {
    let client = pruned(harness).await;
    let week = quota_from(Unit::Week, 1, "40", "2024-01-03T06:00:00Z", "UTC");
    client.plan(&[quota(Unit::Year, 1, "40"), week]).await;
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["31", "31"]);
    assert_eq!(client.charge("10").await, "denied");
}

pub async fn a_range_that_cuts_a_pruned_quarter_is_refused<F: StoreFactory>(harness: &Harness<F>) {
    let client = pruned(harness).await;
    let cut = range("2024-03-13T12:05:00Z", "2024-03-13T13:00:00Z");
    let refused = |error: ServiceError| matches!(error, ServiceError::Refused(Refusal::RangeNotAligned { .. }));
    let (service, id) = (client.service(), client.client());
    assert!(refused(service.total_usage(id, cut).await.unwrap_err()));
    assert!(refused(service.delete_usage(id, cut).await.unwrap_err()));
    let zone = quota_core::zone("UTC").unwrap();
    let query = DailyQuery { range: cut, zone, by: quota_core::GroupBy::Day };
    assert!(refused(service.daily_usage(id, query).await.unwrap_err()));
    assert_eq!(client.total_in("2024-03-13T12:00:00Z", "2024-03-13T12:15:00Z").await, "3");
    if harness.keeps_entries().await {
        let kept = range("2024-03-15T12:00:00Z", "2024-03-15T12:05:00Z");
        assert_eq!(service.total_usage(id, kept).await.unwrap(), credits("8"), "what is not pruned can be cut");
    }
}

pub async fn what_was_pruned_can_be_deleted<F: StoreFactory>(harness: &Harness<F>) {
    let client = pruned(harness).await;
    assert_eq!(client.delete("2024-03-13T12:00:00Z", "2024-03-13T12:15:00Z").await, 2);
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["24", "28"]);
    assert_eq!(client.delete("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z").await, 3);
    assert_eq!(client.total().await, "0");
    assert_eq!(client.charge("100").await, "allowed");
}

pub async fn a_hold_that_is_settled_into_pruned_time_keeps_its_id<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Month, 1, "100")]).await;
    harness.clock().set(at("2024-03-13T12:00:00Z"));
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.hold("h", "5", Duration::from_secs(7 * 86_400)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:00:00Z"));
    let store = client.service().store();
    store.prune(at("2024-03-15T00:00:00Z")).await.unwrap();
    assert_eq!(client.settle("h", "4").await, "allowed");
    // From another process, which has to look.
    let other = harness.subject("a").await;
    assert_eq!(other.settle("h", "4").await, "replayed");
    assert_eq!(other.charge_as("h", "4").await, "replayed");
    assert_eq!(other.hold("h", "4", Duration::from_secs(60)).await, "id_conflict");
    assert_eq!((client.used().await, client.total().await), ("5".to_owned(), "5".to_owned()));
    if harness.keeps_entries().await {
        assert_eq!(other.ids().await, ["h"]);
    }
    store.prune(at("2024-03-15T00:00:00Z")).await.unwrap();
    assert_eq!((client.used().await, client.total().await), ("5".to_owned(), "5".to_owned()));
    assert_eq!(other.charge("95").await, "allowed");
    assert_eq!(other.charge("0.000001").await, "denied");
}

pub async fn pruning_again_takes_nothing_more<F: StoreFactory>(harness: &Harness<F>) {
    let client = pruned(harness).await;
    for before in ["2024-03-14T00:00:00Z", "2024-03-15T00:14:00Z"] {
        client.service().store().prune(at(before)).await.unwrap();
        assert_eq!(client.total().await, "31");
    }
    if harness.keeps_entries().await {
        assert_eq!(client.entries().await.len(), 2);
    }
    let late = client.backfill(&[("late", "2024-03-14T12:00:00Z", "1")]).await;
    if harness.keeps_entries().await {
        // It may be in the sum of its quarter already: it is left alone, and told.
        assert_eq!((late.added, late.conflicts.len()), (0, 1));
        assert_eq!(client.total().await, "31");
    } else {
        assert_eq!(late.added, 1);
        assert_eq!(client.total().await, "32");
    }
    let before = client.total().await;
    client.service().store().prune(at("2024-03-16T00:00:00Z")).await.unwrap();
    assert_eq!(client.total().await, before);
    let used = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).next_back();
    assert_eq!(used, Some(before));
}

pub async fn a_service_spares_the_ids_of_the_last_day<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Month, 1, "100")]).await;
    for (instant, id, amount) in
        [("2024-03-13T12:00:00Z", "old", "1"), ("2024-03-14T12:01:00Z", "h", "2"), ("2024-03-15T12:00:00Z", "i", "4")]
    {
        harness.clock().set(at(instant));
        assert_eq!(client.charge_as(id, amount).await, "allowed");
    }
    client.service().prune(Instant::MAX).await.unwrap();
    // From another process too, which has to look.
    for client in [&client, &harness.subject("a").await] {
        assert_eq!(client.charge_as("i", "4").await, "replayed");
        assert_eq!(client.charge_as("h", "2").await, "replayed");
        assert_eq!((client.used().await, client.total().await), ("7".to_owned(), "7".to_owned()));
    }
    if harness.keeps_entries().await {
        assert_eq!(client.ids().await, ["h", "i"], "what is older is folded");
    }
}

pub async fn the_accounts_time_outlives_a_pruning<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("10").await, "allowed");
    harness.clock().set(at("2024-03-17T12:00:00Z"));
    let done = client.service().prune(Instant::MAX).await.unwrap();
    if harness.keeps_entries().await {
        assert!(done.entries >= 1, "{done:?}");
    }
    harness.clock().set(at("2024-03-13T12:00:00Z"));
    for client in [&client, &harness.subject("a").await] {
        assert_eq!(client.charge("1").await, "denied", "by the day that was the account's latest");
        assert_eq!(client.record("1").await, "allowed");
    }
    assert_eq!(client.total_in("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, "12");
    assert_eq!(client.total().await, "12");
}

pub async fn pruning_while_charging_loses_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("100000"), quota(Unit::Month, 1, "100000")]).await;
    let pruning = {
        let service = other.service().clone();
        tokio::spawn(async move {
            for _ in 0..crate::scale(10, 200) {
                // All that has happened so far, and the next quarter of what will.
                service.store().prune(at("2024-03-15T12:30:00Z")).await.unwrap();
            }
        })
    };
    let times = crate::scale(40, 1_000);
    for number in 0..times {
        assert_eq!(client.charge_as(&format!("i{number}"), "1").await, "allowed");
    }
    pruning.await.unwrap();
    assert_eq!(other.charge("1").await, "allowed");
    let sum = (times + 1).to_string();
    let used: Vec<_> = other.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!((used, other.total().await), (vec![sum.clone(), sum.clone()], sum.clone()));
    let days = client.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
    assert_eq!(days, [("2024-03-15".to_owned(), sum, u64::try_from(times + 1).unwrap())]);
}

/// More entries than any store takes out at once, in one quarter.
pub async fn a_quarter_of_many_entries_is_pruned_whole<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("10000"), quota(Unit::Month, 1, "10000")]).await;
    let entry = |number: u32| {
        let after = Duration::from_millis(300).saturating_mul(number);
        past_entry(&format!("i{number}"), at("2024-03-14T12:00:00Z").saturating_add(after), credits("1"))
    };
    let entries: Vec<_> = (0..2_500).map(entry).collect();
    for page in entries.chunks(Operation::MAX_BACKFILL) {
        client.service().backfill(client.client(), page.to_vec()).await.unwrap();
    }
    let service = other.service().clone();
    let pruning = tokio::spawn(async move { service.store().prune(at("2024-03-15T00:00:00Z")).await });
    for number in 0..20 {
        assert_eq!(client.charge_as(&format!("new {number}"), "1").await, "allowed");
        assert_eq!(client.total().await, (2_501 + number).to_string());
    }
    let pruned = pruning.await.unwrap().unwrap();
    let used: Vec<_> = other.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["20", "2520"]);
    let days = client.days("2024-03-14T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
    let day = |day: &str, sum: &str, entries| (day.to_owned(), sum.to_owned(), entries);
    assert_eq!(days, [day("2024-03-14", "2500", 2_500), day("2024-03-15", "20", 20)]);
    if harness.keeps_entries().await {
        assert_eq!((pruned.entries, client.entries().await.len()), (2_500, 20));
    }
}
