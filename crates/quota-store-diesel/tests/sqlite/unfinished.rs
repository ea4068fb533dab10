//! Requests that meet the rows of a large deletion.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, Instant, Operation, Window};
use quota_service::{StoreError, UsageStore};
use quota_store_diesel::SqliteStore;

use crate::support::{
    File, allowed, at, backfill, charge, client, credits, hold, id, number, one, past, request, unlimited, used,
};

fn first() -> Instant {
    at("2024-03-01T00:00:00Z")
}

fn now() -> Instant {
    at("2024-03-01T12:00:00Z")
}

/// So many milliseconds after the first entry.
fn after(millis: u32) -> Instant {
    first().saturating_add(Duration::from_millis(millis.into()))
}

/// Gives a client these entries, one in each millisecond.
async fn fill(store: &SqliteStore, name: &str, entries: std::ops::Range<u32>) {
    let entries: Vec<u32> = entries.collect();
    for some in entries.chunks(5_000) {
        let some = some.iter().map(|number| past(&format!("id {number}"), after(*number), "1", None)).collect();
        one(store, request(name, backfill(some), now(), &unlimited())).await.unwrap();
    }
}

/// With many before it and behind it.
fn late() -> Operation {
    backfill(vec![past("late", after(3_000), "7", None)])
}

async fn delete(store: &SqliteStore, name: &str, from: u32, to: u32) {
    let range = Window::new(after(from), after(to)).unwrap();
    let deleted = one(store, request(name, Operation::Delete { range }, now(), &unlimited())).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(entries)) if entries == u64::from(to - from)), "{deleted:?}");
}

/// A store in which every row is slow to take out, and the client a with 12,000 that are deleted.
async fn slow(file: &File) -> SqliteStore {
    let store = file.store();
    fill(&store, "a", 0..12_000).await;
    delete(&store, "a", 0, 12_000).await;
    // SQLite is optimised where this is.
    let rows = if cfg!(debug_assertions) { 60 } else { 180 };
    let numbers = (0..rows).map(|number| format!("({number})")).collect::<Vec<_>>().join(",");
    file.execute(&format!(
        "CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES {numbers}; \
         CREATE TRIGGER slow BEFORE DELETE ON quota_entries BEGIN SELECT COUNT(*) FROM numbers a, numbers b; END"
    ));
    store
}

#[tokio::test]
async fn others_go_on_while_what_a_deletion_left_is_taken_out() {
    let file = File::new();
    let store = Arc::new(slow(&file).await);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { one(&store, request("a", late(), now(), &unlimited())).await }
    });
    let mut charged = 0;
    while !waiting.is_finished() {
        assert!(allowed(&one(&store, request("b", charge("1"), now(), &unlimited())).await));
        charged += 1;
    }
    assert!(charged > 2, "{charged} while all of it was taken out");
    assert!(matches!(waiting.await.unwrap(), Ok(Answer::Backfilled(answer)) if answer.added == 1));
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries WHERE client = 'a'"), 1);
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("7"));
}

#[tokio::test]
async fn others_of_a_batch_wait_a_moment_for_what_a_deletion_left() {
    let file = File::new();
    let store = slow(&file).await;
    assert!(!store.is_held(&client("a")));
    let batch = [("a", late()), ("b", charge("1"))].map(|(name, asked)| request(name, asked, now(), &unlimited()));
    let answers = store.apply(batch.into()).await;
    assert!(matches!(answers[0], Err(StoreError::NotDone { .. })), "{answers:?}");
    assert!(allowed(&answers[1]));
    assert!(store.is_held(&client("a")) && !store.is_held(&client("b")), "it has batches of its own from now on");
    let left = "SELECT COUNT(*) FROM quota_entries e JOIN quota_accounts a ON a.client = e.client \
         WHERE e.at >= deleted_from AND e.at < deleted_to";
    let rows = number(&mut file.connection(), left);
    assert!(0 < rows && rows < 11_999, "{rows} of them");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("0"));
    let again = one(&store, request("a", late(), now(), &unlimited())).await;
    assert!(matches!(again, Ok(Answer::Backfilled(answer)) if answer.added == 1));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("7"));
}

#[tokio::test]
async fn a_settlement_among_the_last_of_a_large_deletion_waits_for_few_of_its_rows() {
    let file = File::new();
    let store = file.store();
    fill(&store, "a", 0..5_000).await;
    let held = hold("9", "held", Duration::from_secs(3_600));
    assert!(allowed(&one(&store, request("a", held, after(4_600), &unlimited())).await));
    delete(&store, "a", 0, 5_000).await;
    let settle = || Operation::Settle { id: id("held"), credits: credits("5") };
    for _ in 0..2 {
        let settled = one(&store, request("a", settle(), after(5_000), &unlimited())).await;
        assert_eq!(used(&settled), "5", "the second is a replay");
        assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 4_601, "those before it wait");
    }
    // As another process finds it.
    let other = file.store();
    assert_eq!(used(&one(&other, request("a", charge("1"), now(), &unlimited())).await), "6");
    other.prune(Instant::MIN).await.unwrap();
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 2);
    assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap(), credits("6"));
}

#[tokio::test]
async fn requests_of_one_batch_that_meet_a_deletion_among_them_run_one_by_one() {
    let file = File::new();
    let store = file.store();
    fill(&store, "a", 0..8_000).await;
    let range = |from, to| Operation::Delete { range: Window::new(after(from), after(to)).unwrap() };
    let early = backfill(vec![past("early", after(4_500), "7", None)]);
    let asked = [charge("1"), range(0, 3_000), range(4_000, 8_000), early, charge("2")];
    let answers = store.apply(asked.map(|asked| request("a", asked, now(), &unlimited())).into()).await;
    assert!(matches!(answers[1], Ok(Answer::Deleted(3_000))), "{answers:?}");
    assert!(matches!(answers[2], Ok(Answer::Deleted(4_000))), "{answers:?}");
    assert!(matches!(&answers[3], Ok(Answer::Backfilled(answer)) if answer.added == 1), "{answers:?}");
    assert_eq!([used(&answers[0]), used(&answers[4])], ["8001", "1010"]);
    store.prune(Instant::MIN).await.unwrap();
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 1_003);
}
