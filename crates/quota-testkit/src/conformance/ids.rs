//! What makes retries safe.

use quota_core::{Decision, GroupBy, Label, OperationId, PastEntry};
use quota_service::Charge;

use crate::{Harness, StoreFactory, at, credits, minutes, operation_id, past_entry, per_day, seconds};

pub async fn the_same_id_and_credits_charge_once<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    for again in [&client, &other] {
        assert_eq!(again.charge_as("i", "4").await, "replayed");
        assert_eq!(again.record_as("i", "4").await, "replayed");
        assert_eq!(again.settle("i", "4").await, "replayed");
    }
    assert_eq!(client.stands().await, ("4".into(), "0".into(), "6".into()));
    assert_eq!(client.total().await, "4");
}

/// So that who tries again can take back what was done the first time.
pub async fn a_replay_tells_when_its_entry_counts<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    harness.clock().advance(minutes(1));
    let (service, id, cost) = (client.service(), operation_id("i"), credits("4"));
    let charge = || Charge::new(cost).with_id(id.clone());
    let again = [
        service.charge_with(client.client(), charge()).await,
        service.record(client.client(), charge()).await,
        service.settle(client.client(), &id, cost).await,
    ];
    for decision in again {
        let Ok(Decision::Allowed(allowed)) = decision else { panic!("{decision:?}") };
        assert!(allowed.replayed());
        assert_eq!((allowed.counted_at(), allowed.at()), (at("2024-03-15T12:00:00Z"), at("2024-03-15T12:01:00Z")));
    }
}

pub async fn the_same_id_with_other_credits_is_a_conflict<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    assert_eq!(client.charge_as("i", "4.000001").await, "id_conflict");
    assert_eq!(client.record_as("i", "0").await, "id_conflict");
    assert_eq!(client.settle("i", "5").await, "id_conflict");
    assert_eq!(client.hold("i", "4", minutes(1)).await, "id_conflict");
    assert_eq!(client.stands().await, ("4".into(), "0".into(), "6".into()));
}

pub async fn a_replay_is_answered_when_the_quota_is_spent_and_in_a_later_window<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-15T23:59:00Z"));
    assert_eq!(client.charge_as("i", "10").await, "allowed");
    assert_eq!(client.charge_as("i", "10").await, "replayed");
    harness.clock().set(at("2024-03-16T00:01:00Z"));
    client.plan(&[per_day("1")]).await;
    assert_eq!(client.charge_as("i", "10").await, "replayed");
    assert_eq!(client.used().await, "0");
    assert_eq!(client.total().await, "10");
}

pub async fn a_denied_id_can_be_tried_again<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "11").await, "denied");
    assert_eq!(client.hold("i", "11", minutes(1)).await, "denied");
    assert_eq!(client.charge_as("i", "9").await, "allowed");
    assert_eq!(client.charge_as("i", "9").await, "replayed");
}

pub async fn an_id_is_free_after_a_void<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    assert!(client.void("i").await);
    assert!(!client.void("i").await);
    assert_eq!(client.stands().await, ("0".into(), "0".into(), "10".into()));
    assert_eq!(client.total().await, "0");
    assert_eq!(client.charge_as("i", "5").await, "allowed");
    assert_eq!(client.used().await, "5");
}

pub async fn a_void_of_nothing_takes_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.hold("h", "2", minutes(5)).await, "allowed");
    assert!(!client.void("h").await, "a hold is no entry");
    assert!(!client.void("i").await);
    assert_eq!(client.stands().await, ("1".into(), "2".into(), "7".into()));
}

pub async fn a_void_of_another_instant_takes_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "1").await, "allowed");
    assert_eq!(client.hold("h", "2", minutes(5)).await, "allowed");
    harness.clock().advance(minutes(1));
    assert_eq!(client.settle("h", "2").await, "allowed");
    for id in ["i", "h"] {
        assert!(!client.void_at(id, "2024-03-15T12:00:00.001Z").await);
        assert!(!client.void_at(id, "2024-03-15T12:01:00Z").await);
    }
    assert_eq!(client.used().await, "3");
    // What was settled counts when it was held.
    assert!(client.void_at("i", "2024-03-15T12:00:00Z").await && client.void_at("h", "2024-03-15T12:00:00Z").await);
    assert_eq!(client.charge_as("i", "1").await, "allowed");
    assert!(!client.void_at("i", "2024-03-15T12:00:00Z").await);
    assert_eq!(client.stands().await, ("1".into(), "0".into(), "9".into()));
}

pub async fn a_void_gives_back_in_the_entrys_own_window<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("yesterday", "4").await, "allowed");
    harness.clock().set(at("2024-03-16T11:59:59Z"));
    assert_eq!(client.charge("3").await, "allowed");
    assert!(client.void("yesterday").await);
    assert_eq!(client.stands().await, ("3".into(), "0".into(), "7".into()));
    assert_eq!(client.total().await, "3");
}

pub async fn an_id_is_free_after_a_deletion<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    assert_eq!(client.delete("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, 1);
    assert!(!client.void("i").await);
    assert_eq!(client.charge_as("i", "5").await, "allowed");
    assert_eq!(client.used().await, "5");
}

pub async fn an_id_is_free_after_its_hold_was_released_or_has_expired<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("released", "4", seconds(60)).await, "allowed");
    assert_eq!(client.release("released").await, "allowed");
    assert_eq!(client.charge_as("released", "1").await, "allowed");
    assert_eq!(client.hold("expired", "4", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:01:00Z"));
    assert_eq!(client.hold("expired", "2", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:02:00Z"));
    assert_eq!(client.charge_as("expired", "3").await, "allowed");
    assert_eq!(client.stands().await, ("4".into(), "0".into(), "6".into()));
}

pub async fn an_active_holds_id_is_taken<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "4", minutes(5)).await, "allowed");
    assert_eq!(client.charge_as("h", "4").await, "id_conflict");
    assert_eq!(client.record_as("h", "4").await, "id_conflict");
    assert_eq!(client.hold("h", "3", minutes(5)).await, "id_conflict");
    assert_eq!(client.hold("h", "4", minutes(5)).await, "replayed");
    assert_eq!(client.stands().await, ("0".into(), "4".into(), "6".into()));
}

pub async fn a_replayed_hold_is_not_prolonged<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "4", seconds(60)).await, "allowed");
    harness.clock().set(at("2024-03-15T12:00:30Z"));
    assert_eq!(client.hold("h", "4", seconds(600)).await, "replayed");
    harness.clock().set(at("2024-03-15T12:01:00Z"));
    assert_eq!(client.held().await, "0");
}

pub async fn a_settlement_again_is_replayed_or_a_conflict<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.hold("h", "4", minutes(5)).await, "allowed");
    assert_eq!(client.settle("h", "3").await, "allowed");
    assert_eq!(client.settle("h", "3").await, "replayed");
    assert_eq!(client.settle("h", "4").await, "id_conflict");
    assert_eq!(client.release("h").await, "hold_not_active");
    assert_eq!(client.extend("h", minutes(1)).await, "hold_not_active");
    assert_eq!(client.hold("h", "3", minutes(5)).await, "id_conflict");
    assert_eq!(client.stands().await, ("3".into(), "0".into(), "7".into()));
    assert!(client.void("h").await);
    assert_eq!(client.settle("h", "3").await, "hold_not_active");
}

pub async fn ids_of_one_client_are_not_anothers<F: StoreFactory>(harness: &Harness<F>) {
    let (one, other) = (harness.subject("one").await, harness.subject("other").await);
    one.plan(&[per_day("10")]).await;
    other.plan(&[per_day("10")]).await;
    assert_eq!(one.charge_as("i", "4").await, "allowed");
    assert_eq!(other.charge_as("i", "4").await, "allowed");
    assert!(one.void("i").await);
    assert_eq!(other.charge_as("i", "4").await, "replayed");
}

/// Ids that a store might take for something else, or for one another.
fn odd_ids() -> [String; 16] {
    let long = "é".repeat(127);
    [
        "Order",
        "order",
        "order ",
        " order",
        "caf\u{e9}",
        "cafe\u{301}",
        "o'rder\"%_\\",
        "{order}:1/2",
        "$order.`1`",
        "0",
        "00",
        "\u{feff}order",
        "\u{202e}\u{2028}",
        "\u{10ffff}",
        &format!("{long}x"),
        &format!("{long}y"),
    ]
    .map(str::to_owned)
}

pub async fn ids_are_compared_by_bytes<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("1000")]).await;
    let names = odd_ids();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(client.charge_as(name, &(number + 1).to_string()).await, "allowed", "{name:?}");
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(client.charge_as(name, &(number + 1).to_string()).await, "replayed", "{name:?}");
    }
    assert_eq!(client.used().await, "136");
    if harness.keeps_entries().await {
        let mut sorted = names;
        sorted.sort();
        assert_eq!(client.ids().await, sorted);
    }
}

pub async fn ids_of_any_text_are_backfilled_labelled_listed_and_voided<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    let names = odd_ids();
    // All of one instant, so that a page ends at an id.
    let past = |(number, name): (usize, &String)| {
        let entry = past_entry(name, at("2024-03-14T12:00:00Z"), credits(&(number + 1).to_string()));
        PastEntry { label: Label::new(name).ok(), ..entry }
    };
    let entries: Vec<_> = names.iter().enumerate().map(past).collect();
    let backfill = async |entries: &[PastEntry]| {
        let done = client.service().backfill(client.client(), entries.to_vec()).await.unwrap();
        (done.added, done.skipped, done.conflicts)
    };
    assert_eq!(backfill(&entries).await, (16, 0, Vec::new()));
    assert_eq!(backfill(&entries).await, (0, 16, Vec::new()));
    let dearer: Vec<_> = entries.iter().map(|entry| PastEntry { credits: credits("100"), ..entry.clone() }).collect();
    assert_eq!(backfill(&dearer).await, (0, 0, entries.iter().map(|entry| entry.id.clone()).collect()));
    let (from, to) = ("2024-03-14T00:00:00Z", "2024-03-15T00:00:00Z");
    let days = client.days_by(from, to, "UTC", GroupBy::DayAndLabel).await;
    let labels: Vec<_> = days.into_iter().map(|day| (day.label, day.credits)).collect();
    // The two longest are no labels.
    let mut expected: Vec<_> =
        entries[..14].iter().map(|entry| (entry.label.clone(), entry.credits)).chain([(None, credits("31"))]).collect();
    expected.sort();
    assert_eq!(labels, expected);

    let mut left = names.to_vec();
    left.sort();
    let is_listed = harness.keeps_entries().await;
    for (number, name) in names.iter().enumerate() {
        assert!(client.void(name).await, "{name:?}");
        assert!(!client.void(name).await, "{name:?}");
        left.retain(|other| other != name);
        let rest: usize = (number + 2..=16).sum();
        assert_eq!(client.total().await, rest.to_string(), "{name:?}");
        assert!(!is_listed || client.ids().await == left, "{name:?}");
    }
    assert_eq!(backfill(&entries).await, (16, 0, Vec::new()), "all of them are free again");
    assert_eq!(client.delete(from, to).await, 16);
    assert_eq!(backfill(&entries).await, (16, 0, Vec::new()), "and after a deletion");
}

pub async fn ids_are_remembered_for_a_day_where_only_quarters_are_kept<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    harness.clock().set(at("2024-03-16T11:59:59.999Z"));
    assert_eq!(client.charge_as("i", "4").await, "replayed");
    harness.clock().set(at("2024-03-17T12:00:00Z"));
    let expected = if harness.keeps_entries().await { "replayed" } else { "allowed" };
    assert_eq!(client.charge_as("i", "4").await, expected);
}

/// Such as by who counts events that come late, and each at least once.
pub async fn an_id_of_long_ago_is_remembered_from_when_it_was_written<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    harness.clock().set(at("2024-03-11T12:00:00Z"));
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-15T12:00:00Z"));
    let event = || {
        let id = OperationId::new("event").unwrap();
        Charge::new(credits("2")).with_id(id).with_at(at("2024-03-12T12:00:00Z"))
    };
    assert_eq!(client.record_with(event()).await, "allowed");
    assert_eq!(client.charge("1").await, "allowed");
    for again in [&client, &other] {
        assert_eq!(again.record_with(event()).await, "replayed");
    }
    assert_eq!(other.total().await, "3");
    assert!(other.void("event").await);
    assert_eq!(client.total().await, "1");
}

pub async fn a_look_at_the_future_forgets_no_id<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    harness.clock().set(at("2024-03-16T13:00:00Z"));
    assert_eq!(client.used().await, "0");
    assert_eq!(client.charge("11").await, "denied");
    // Neither a status nor a denial moves the account's time: whoever asked may have a clock that is wrong.
    harness.clock().set(at("2024-03-15T12:05:00Z"));
    assert_eq!(client.charge_as("i", "4").await, "replayed");
    assert_eq!((client.used().await, client.total().await), ("4".into(), "4".into()));
}

pub async fn no_more_than_100_000_ids_are_remembered_where_only_quarters_are_kept<F: StoreFactory>(
    harness: &Harness<F>,
) {
    if harness.keeps_entries().await {
        return;
    }
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let entry = |number: usize| past_entry(&number.to_string(), at("2024-03-14T12:00:00Z"), credits("1"));
    for batch in 0..10_usize {
        let entries = (batch * 10_000..(batch + 1) * 10_000).map(entry).collect();
        assert_eq!(client.service().backfill(client.client(), entries).await.unwrap().added, 10_000);
    }
    assert_eq!(client.charge_as("one more", "1").await, "too_many_ids");
    assert_eq!(client.charge_as("0", "1").await, "replayed");
    assert_eq!(client.charge("1").await, "allowed");
    assert!(client.void("0").await);
    assert_eq!(client.charge_as("one more", "1").await, "allowed");
    assert_eq!(client.used().await, "2");
}
