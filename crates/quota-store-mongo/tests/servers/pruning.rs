//! Prunings of more entries in one quarter than are taken out at once.

use std::pin::Pin;
use std::time::Duration;

use mongodb::bson::doc;
use quota_core::{Answer, Operation, Window};
use quota_service::{Pruned, Request, StoreError, UsageStore};

use crate::collections::{Collections, run};
use crate::requests::{
    DAY, after_noon, allowed, backfill, charge, client, credits, noon, one, one_at, request, used, void,
};

/// As many as are taken out in three steps.
const MANY: i64 = 4_500;

/// As many entries of one instant, in several commits.
async fn fill(collections: &Collections) {
    let store = collections.store().await;
    let numbers: Vec<i64> = (0..MANY).collect();
    for some in numbers.chunks(500) {
        let past = backfill(some.iter().map(|number| (format!("e{number}"), 500)));
        one(&store, asked(past)).await.unwrap();
    }
    // What the last commit left is written into the ledger.
    store.total(&client("a"), Window::ALL).await.unwrap();
}

fn asked(operation: Operation) -> Request {
    Request { at: after_noon(DAY), ..request("a", operation, "100000") }
}

async fn standing(collections: &Collections) -> i64 {
    let entries = collections.collection("entries");
    let standing = entries.count_documents(doc! { "c": "a", "gone": { "$exists": false } }).await.unwrap();
    standing.try_into().unwrap()
}

/// Goes on until a step has taken entries out, and stops there.
async fn one_step(
    collections: &Collections,
    left: i64,
    mut pruning: Pin<&mut impl Future<Output = Result<Pruned, StoreError>>>,
) {
    // A poll ends at the latest where a command waits for its answer.
    while standing(collections).await > left {
        assert!(futures_util::poll!(pruning.as_mut()).is_pending());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(standing(collections).await, left, "no more goes in one command");
}

async fn assert_all_counted(collections: &Collections) {
    let store = collections.store().await;
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits(&MANY.to_string()));
    assert_eq!(used(&one(&store, asked(Operation::Status)).await), MANY.to_string());
}

#[test]
fn a_quarter_of_many_entries_is_taken_out_in_steps_that_the_next_pruning_goes_on_with() {
    run(async |collections| {
        fill(collections).await;
        for left in [2_500, 500] {
            // The first is folded by this pruning; what it leaves was folded before the second.
            let store = collections.store().await;
            one_step(collections, left, std::pin::pin!(store.prune(after_noon(DAY)))).await;
            assert_all_counted(collections).await;
        }
        let pruned = collections.store().await.prune(after_noon(DAY)).await.unwrap();
        assert_eq!((pruned.entries, pruned.ids), (0, 0), "they were folded by the first, and are told by who folds");
        assert_eq!(standing(collections).await, 0);
        assert!(collections.ledger_is_folded("a").await);
        assert_all_counted(collections).await;
    });
}

#[test]
fn many_entries_of_one_quarter_are_all_told() {
    run(async |collections| {
        fill(collections).await;
        let pruned = collections.store().await.prune(after_noon(DAY)).await.unwrap();
        assert_eq!((pruned.entries, pruned.ids), (4_500, 4_500));
        assert!(collections.ledger_is_folded("a").await);
        assert_all_counted(collections).await;
    });
}

#[test]
fn what_is_left_to_the_next_pruning_keeps_its_sums() {
    run(async |collections| {
        let three_days_before = Window::new(after_noon(-3 * DAY), after_noon(-3 * DAY + 900_000)).unwrap();
        let store = collections.builder(collections.url()).with_retention(Duration::from_secs(86_400));
        let store = store.with_conflict_timeout(Duration::from_millis(1)).connect().await.unwrap();
        let past = || backfill([("x".to_owned(), -3 * DAY)]);
        one(&store, request("a", past(), "10")).await.unwrap();
        let used = async || store.total(&client("a"), three_days_before).await.unwrap();
        assert_eq!(used().await, credits("1"));
        // Others have their turns all the time.
        collections.change("a", doc! { "$set": { "q": ["another"] } }).await;
        assert_eq!(store.prune(noon()).await.unwrap().entries, 0);
        assert_eq!(used().await, credits("1"));
        collections.change("a", doc! { "$unset": { "q": "" } }).await;
        // Somebody forgets them all the same, as one with a shorter retention does in the moment in which the entry is added.
        let quarters = collections.collection("quarters");
        quarters.delete_many(doc! { "c": "a" }).await.unwrap();
        assert!(matches!(one(&store, request("a", void("x"), "10")).await, Ok(Answer::Voided(true))));
        assert_eq!(used().await, credits("0"), "no less than nothing");
        one(&store, request("a", past(), "10")).await.unwrap();
        assert_eq!(store.prune(noon()).await.unwrap().entries, 1);
        assert_eq!(used().await, credits("0"));
    });
}

#[test]
fn what_waits_for_the_ledger_and_cannot_be_read_stops_no_pruning_of_others() {
    run(async |collections| {
        let store = collections.store().await;
        for name in ["a", "b", "c"] {
            assert!(allowed(&one_at(&store, name, charge("1"), 0).await));
        }
        collections.set("a", doc! { "o": [{ "f": "no number" }] }).await;
        collections.set("b", doc! { "o": "no parts" }).await;
        // No client's.
        collections.collection("accounts").insert_one(doc! { "_id": 7, "v": "x" }).await.unwrap();
        let pruned = store.prune(after_noon(DAY)).await;
        assert!(matches!(pruned, Err(StoreError::Corrupt { .. })), "{pruned:?}");
        for (name, is_folded) in [("a", false), ("b", false), ("c", true)] {
            assert_eq!(collections.ledger_is_folded(name).await, is_folded, "{name}");
        }
    });
}
