//! A process that dies between the account's write and the ledger's: whoever comes next sees the commit once.

use quota_core::{Answer, Decision, GroupBy, Tz, Window};
use quota_service::{DailyQuery, EntriesQuery, UsageStore};

use crate::collections::{Collections, run};
use crate::requests::{after_noon, allowed, charge_as, client, delete, noon, one_at, used, void};

/// The entry `h`, and the entry `i` that stands in the outbox alone.
async fn a_charge_is_left(collections: &Collections) {
    let store = collections.store().await;
    assert!(allowed(&one_at(&store, "a", charge_as("h", "1"), 0).await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), "1");
    let before = collections.ledger("a").await;
    assert!(allowed(&one_at(&store, "a", charge_as("i", "2"), 1).await));
    collections.outbox("a").await;
    collections.written("a", 2).await;
    collections.put_back("a", before).await;
}

/// The same, of an operation on the entries `h` and `i`.
pub(crate) async fn an_operation_is_left(collections: &Collections, operation: quota_core::Operation) {
    let store = collections.store().await;
    assert!(allowed(&one_at(&store, "a", charge_as("h", "1"), 0).await));
    assert!(allowed(&one_at(&store, "a", charge_as("i", "2"), 1).await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), "3");
    let before = collections.ledger("a").await;
    one_at(&store, "a", operation, 2).await.unwrap();
    collections.outbox("a").await;
    collections.put_back("a", before).await;
}

fn head() -> Window {
    Window::new(noon(), after_noon(1)).unwrap()
}

#[test]
fn the_next_charge_counts_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let answer = one_at(&collections.store().await, "a", charge_as("j", "4"), 2).await;
        assert_eq!(used(&answer), "7");
        collections.assert_entries("a", &[("h", 1), ("i", 2), ("j", 4)]).await;
    });
}

#[test]
fn a_client_whose_first_charge_was_left_has_it() {
    run(async |collections| {
        let store = collections.store().await;
        let before = collections.ledger("a").await;
        assert!(allowed(&one_at(&store, "a", charge_as("h", "1"), 0).await));
        collections.written("a", 1).await;
        collections.put_back("a", before).await;
        assert_eq!(used(&one_at(&collections.store().await, "a", charge_as("i", "2"), 1).await), "3");
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn a_total_counts_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let cut = Window::new(after_noon(1), after_noon(2)).unwrap();
        assert_eq!(collections.store().await.total(&client("a"), cut).await.unwrap().to_string(), "2");
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn days_count_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
        let days = collections.store().await.daily(&client("a"), &query).await.unwrap();
        assert_eq!((days[0].credits.to_string().as_str(), days[0].entries), ("3", 2));
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn a_listing_shows_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
        let page = collections.store().await.entries(&client("a"), &query).await.unwrap();
        assert_eq!(page.entries.len(), 2);
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn a_retry_of_what_a_dead_process_left_is_a_replay() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let answer = one_at(&collections.store().await, "a", charge_as("i", "2"), 3).await;
        let Ok(Answer::Decision(Decision::Allowed(allowed))) = &answer else { panic!("{answer:?}") };
        assert!(allowed.replayed());
        assert_eq!(used(&answer), "3");
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn a_void_takes_out_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let answer = one_at(&collections.store().await, "a", void("i"), 3).await;
        assert!(matches!(answer, Ok(Answer::Voided(true))), "{answer:?}");
        collections.assert_entries("a", &[("h", 1)]).await;
    });
}

#[test]
fn a_deletion_takes_out_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let tail = Window::new(after_noon(1), after_noon(1_000)).unwrap();
        let answer = one_at(&collections.store().await, "a", delete(tail), 3).await;
        assert!(matches!(answer, Ok(Answer::Deleted(1))), "{answer:?}");
        collections.assert_entries("a", &[("h", 1)]).await;
    });
}

#[test]
fn a_pruning_folds_what_a_dead_process_left() {
    run(async |collections| {
        a_charge_is_left(collections).await;
        let pruned = collections.store().await.prune(after_noon(86_400_000)).await.unwrap();
        assert_eq!((pruned.entries, pruned.ids), (2, 2));
        collections.assert_sums("a", 3, 2).await;
        assert!(collections.ledger_is_folded("a").await);
    });
}

#[test]
fn a_void_that_a_dead_process_left_is_done() {
    run(async |collections| {
        an_operation_is_left(collections, void("i")).await;
        let answer = one_at(&collections.store().await, "a", charge_as("i", "5"), 3).await;
        assert_eq!(used(&answer), "6", "its id is free again");
        collections.assert_entries("a", &[("h", 1), ("i", 5)]).await;
    });
}

#[test]
fn a_deletion_that_a_dead_process_left_is_done() {
    for range in [Window::ALL, Window::new(noon(), after_noon(900_000)).unwrap()] {
        run(async |collections| {
            an_operation_is_left(collections, delete(range)).await;
            assert!(collections.store().await.total(&client("a"), Window::ALL).await.unwrap().is_zero());
            collections.assert_entries("a", &[]).await;
        });
    }
}

#[test]
fn a_deletion_of_a_part_that_a_dead_process_left_is_done_once() {
    run(async |collections| {
        an_operation_is_left(collections, delete(head())).await;
        assert_eq!(used(&one_at(&collections.store().await, "a", charge_as("j", "4"), 3).await), "6");
        collections.assert_entries("a", &[("i", 2), ("j", 4)]).await;
    });
}

#[test]
fn a_deletion_that_ended_half_way_is_finished() {
    run(async |collections| {
        an_operation_is_left(collections, delete(Window::ALL)).await;
        // The entries are gone, their sums are not.
        collections.collection("entries").delete_one(mongodb::bson::doc! { "c": "a" }).await.unwrap();
        collections.assert_entries("a", &[]).await;
    });
}
