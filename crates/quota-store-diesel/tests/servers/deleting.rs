//! Requests that meet the rows of a large deletion.

use std::ops::Range;
use std::time::Duration;

use quota_core::{Answer, EntryId, Instant, Operation, OperationId, PastEntry, Ttl, Window};
use quota_service::UsageStore;

use crate::database::Database;
use crate::requests::{allowed, charge, client, credits, is_not_done, noon, one, request, used};

fn id(name: &str) -> OperationId {
    OperationId::new(name).unwrap()
}

/// So many milliseconds after the first entry, all of them within a quarter of an hour.
fn after(millis: u32) -> Instant {
    noon().saturating_sub(Duration::from_secs(3_600)).saturating_add(Duration::from_millis(millis.into()))
}

/// One entry in each millisecond.
fn entries(numbers: Range<u32>) -> Operation {
    let entry =
        |number| PastEntry { id: id(&format!("id {number}")), at: after(number), credits: credits("1"), label: None };
    Operation::Backfill { entries: numbers.map(entry).collect(), not_after: Instant::MAX }
}

/// With many before it and behind it.
fn late() -> Operation {
    let entry = PastEntry { id: id("late"), at: after(3_500), credits: credits("7"), label: None };
    Operation::Backfill { entries: vec![entry], not_after: Instant::MAX }
}

fn delete(from: u32, to: u32) -> Operation {
    Operation::Delete { range: Window::new(after(from), after(to)).unwrap() }
}

/// Holds a row of the entries until the connection goes, or rolls back.
async fn hold_entry<D: Database>(database: &D, name: &str) -> D::Connection {
    let mut connection = database.connection().await;
    let hold = format!("BEGIN; SELECT 1 FROM {{p}}entries WHERE client = 'a' AND id = '{name}' FOR UPDATE");
    database.execute_on(&mut connection, &database.fill(&hold)).await;
    connection
}

pub(crate) async fn others_of_a_batch_wait_a_moment_for_what_a_deletion_left<D: Database>(database: &D) {
    let store = database.store().await;
    for asked in [entries(0..7_000), delete(0, 7_000)] {
        one(&store, request("a", asked, "10000")).await.unwrap();
    }
    assert!(!store.is_held(&client("a")));
    // It is among those that are in the way.
    let mut holder = hold_entry(database, "id 5000").await;
    let batch = [("a", late()), ("b", charge("1"))].map(|(name, asked)| request(name, asked, "10000"));
    let began = std::time::Instant::now();
    let answers = store.apply(batch.into()).await;
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
    assert!(is_not_done(&answers[0]), "{answers:?}");
    assert!(allowed(&answers[1]));
    assert!(store.is_held(&client("a")) && !store.is_held(&client("b")), "it has batches of its own from now on");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("0"));
    database.execute_on(&mut holder, "ROLLBACK").await;
    let again = one(&store, request("a", late(), "10000")).await;
    assert!(matches!(again, Ok(Answer::Backfilled(answer)) if answer.added == 1));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("7"));
    let rows = database.number("SELECT COUNT(*) FROM {p}entries WHERE client = 'a'").await;
    assert_eq!(rows, 3_501, "those before it wait");
}

pub(crate) async fn a_settlement_among_the_last_of_a_large_deletion_waits_for_few_of_its_rows<D: Database>(
    database: &D,
) {
    let store = database.store().await;
    let asked = |operation, at| {
        let mut request = request("a", operation, "10000");
        request.at = at;
        one(&store, request)
    };
    asked(entries(0..5_000), noon()).await.unwrap();
    let ttl = Ttl::new(Duration::from_secs(3_600)).unwrap();
    let hold = Operation::Hold { credits: credits("9"), id: EntryId::Given(id("held")), ttl, label: None, asker: None };
    assert!(allowed(&asked(hold, after(4_600)).await));
    assert!(matches!(asked(delete(0, 5_000), noon()).await, Ok(Answer::Deleted(5_000))));
    for _ in 0..2 {
        let settle = Operation::Settle { id: id("held"), credits: credits("5") };
        assert_eq!(used(&asked(settle, after(5_000)).await), "5", "the second is a replay");
        assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 4_601, "those before it wait");
    }
    store.prune(Instant::MIN).await.unwrap();
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 1);
    assert_eq!(used(&asked(Operation::Status, noon()).await), "5");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("5"));
}

/// Who holds a row that the first of them has left is in the way of the second alone.
pub(crate) async fn two_large_deletions_of_one_batch_are_two_transactions<D: Database>(database: &D) {
    let store = database.connect_impatient().await.unwrap();
    one(&store, request("a", entries(0..8_000), "10000")).await.unwrap();
    let holder = hold_entry(database, "id 1000").await;
    let batch = [delete(0, 3_000), delete(4_000, 8_000), charge("2")].map(|asked| request("a", asked, "10000"));
    let answers = store.apply(batch.into()).await;
    assert!(matches!(answers[0], Ok(Answer::Deleted(3_000))), "{answers:?}");
    assert!(is_not_done(&answers[1]), "{answers:?}");
    assert_eq!(used(&answers[2]), "5002", "{answers:?}");
    drop(holder);
    let batch = [delete(4_000, 8_000), late(), charge("3")].map(|asked| request("a", asked, "10000"));
    let answers = store.apply(batch.into()).await;
    assert!(matches!(answers[0], Ok(Answer::Deleted(4_000))), "{answers:?}");
    assert!(matches!(&answers[1], Ok(Answer::Backfilled(answer)) if answer.added == 1), "{answers:?}");
    assert_eq!(used(&answers[2]), "1012");
    store.prune(Instant::MIN).await.unwrap();
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 1_003);
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1012"));
}
