//! Whoever writes an outbox twice, or wakes up late, changes no sum and brings nothing back.

use std::time::Duration;

use mongodb::bson::Bson;
use quota_core::{Answer, Operation, OperationId, PastEntry, Refusal, Window};
use quota_service::{StoreError, UsageStore};

use crate::collections::{Collections, run};
use crate::requests::{after_noon, allowed, charge_as, client, credits, delete, noon, one_at, used, void};

/// Charges, and gives what that leaves for the ledger.
async fn charged(collections: &Collections, id: &str, cost: &str, millis: i64) -> Bson {
    assert!(allowed(&one_at(&collections.store().await, "a", charge_as(id, cost), millis).await));
    collections.outbox("a").await
}

async fn done(collections: &Collections, operation: Operation, millis: i64) -> Bson {
    one_at(&collections.store().await, "a", operation, millis).await.unwrap();
    collections.outbox("a").await
}

#[test]
fn what_is_written_twice_counts_once() {
    run(async |collections| {
        let outbox = charged(collections, "h", "1", 0).await;
        for _ in 0..2 {
            collections.write_late("a", &outbox).await;
        }
        collections.assert_entries("a", &[("h", 1)]).await;
    });
}

#[test]
fn what_is_written_after_later_commits_counts_once() {
    run(async |collections| {
        let first = charged(collections, "h", "1", 0).await;
        let second = charged(collections, "i", "2", 0).await;
        charged(collections, "j", "4", 900_000).await;
        for outbox in [&first, &second, &first] {
            collections.write_late("a", outbox).await;
        }
        collections.assert_entries("a", &[("h", 1), ("i", 2), ("j", 4)]).await;
        charged(collections, "k", "8", 900_001).await;
        collections.write_late("a", &first).await;
        collections.assert_entries("a", &[("h", 1), ("i", 2), ("j", 4), ("k", 8)]).await;
    });
}

#[test]
fn what_is_written_after_its_range_was_deleted_stays_deleted() {
    for range in [Window::ALL, Window::new(noon(), after_noon(1)).unwrap()] {
        run(async |collections| {
            let charge = charged(collections, "h", "1", 0).await;
            let deletion = done(collections, delete(range), 2).await;
            collections.write_late("a", &charge).await;
            collections.assert_entries("a", &[]).await;
            // Its id is free.
            charged(collections, "h", "2", 3).await;
            for outbox in [&charge, &deletion, &charge] {
                collections.write_late("a", outbox).await;
            }
            collections.assert_entries("a", &[("h", 2)]).await;
        });
    }
}

#[test]
fn what_is_written_after_its_void_stays_out() {
    run(async |collections| {
        charged(collections, "h", "1", 0).await;
        let charge = charged(collections, "i", "2", 0).await;
        let taken = done(collections, void("i"), 0).await;
        collections.write_late("a", &charge).await;
        collections.assert_entries("a", &[("h", 1)]).await;
        // At the same instant, with the same id.
        charged(collections, "i", "2", 0).await;
        for outbox in [&taken, &charge, &taken] {
            collections.write_late("a", outbox).await;
        }
        collections.assert_entries("a", &[("h", 1), ("i", 2)]).await;
    });
}

#[test]
fn a_deletion_that_is_late_takes_nothing_newer() {
    run(async |collections| {
        charged(collections, "h", "1", 0).await;
        charged(collections, "x", "1", 900_000).await;
        let deletion = done(collections, delete(Window::ALL), 900_000).await;
        charged(collections, "i", "2", 900_000).await;
        charged(collections, "j", "4", 900_001).await;
        collections.write_late("a", &deletion).await;
        collections.assert_entries("a", &[("i", 2), ("j", 4)]).await;
        let again = one_at(&collections.store().await, "a", delete(Window::ALL), 900_002).await;
        assert!(matches!(again, Ok(Answer::Deleted(2))), "{again:?}");
    });
}

#[test]
fn what_is_written_after_it_was_folded_counts_once() {
    run(async |collections| {
        let charge = charged(collections, "h", "1", 0).await;
        let store = collections.store().await;
        assert_eq!(store.prune(after_noon(86_400_000)).await.unwrap().entries, 1);
        collections.write_late("a", &charge).await;
        collections.assert_sums("a", 1, 1).await;
        assert_eq!(used(&one_at(&store, "a", charge_as("i", "2"), 1).await), "3");
        collections.write_late("a", &charge).await;
        store.prune(after_noon(86_400_000)).await.unwrap();
        collections.assert_sums("a", 3, 2).await;
        assert!(collections.ledger_is_folded("a").await);
    });
}

#[test]
fn what_is_written_after_it_was_folded_and_deleted_is_nobodys() {
    run(async |collections| {
        let charge = charged(collections, "h", "1", 0).await;
        let store = collections.store().await;
        store.prune(after_noon(86_400_000)).await.unwrap();
        let deleted = one_at(&store, "a", delete(Window::ALL), 1).await;
        assert!(matches!(deleted, Ok(Answer::Deleted(1))), "{deleted:?}");
        collections.write_late("a", &charge).await;
        let voided = one_at(&store, "a", void("h"), 2).await;
        assert!(matches!(voided, Ok(Answer::Voided(false))), "{voided:?}");
        assert_eq!(used(&one_at(&store, "a", charge_as("i", "2"), 900_000).await), "2");
        collections.assert_sums("a", 2, 1).await;
    });
}

/// Entries that come between a pruning's commit and its deletion are not folded yet, so they must not go yet.
#[test]
fn a_pruning_that_slept_takes_no_entry_that_came_meanwhile() {
    run(async |collections| {
        charged(collections, "h", "1", 0).await;
        let (pruner, writer) = (collections.store().await, collections.store().await);
        let mut pruning = std::pin::pin!(pruner.prune(after_noon(86_400_000)));
        // A poll ends at the latest where a command waits for its answer: so its commit is there, and mostly it does not
        // know.
        while collections.account("a").await.get("f").is_none() {
            assert!(futures_util::poll!(pruning.as_mut()).is_pending());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let past = PastEntry {
            id: OperationId::new("i").unwrap(),
            at: after_noon(3_600_000 + 1_000),
            credits: credits("2"),
            label: None,
        };
        let backfill = Operation::Backfill { entries: vec![past], not_after: after_noon(86_400_000) };
        one_at(&writer, "a", backfill, 86_400_000).await.unwrap();
        // A reader empties the outbox, which would else bring the entry back.
        writer.total(&client("a"), Window::ALL).await.unwrap();
        assert_eq!(pruning.await.unwrap().entries, 2, "the other is folded in the step after");
        // So no range that cuts its quarter is told without it.
        let cut = Window::new(after_noon(3_600_000 + 500), after_noon(3_600_000 + 1_500)).unwrap();
        let total = writer.total(&client("a"), cut).await;
        assert!(matches!(total, Err(StoreError::Refused(Refusal::RangeNotAligned { .. }))), "{total:?}");
        collections.assert_sums("a", 3, 2).await;
    });
}
