//! Deletions of more entries than are taken out at once: whole when they are answered, finished by whoever comes.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join;
use mongodb::bson::{DateTime, Document, doc};
use quota_core::{Answer, GroupBy, Operation, OperationId, PlanVersion, Tz, Window};
use quota_service::{DailyQuery, EntriesQuery, Request, StoreError, UsageStore};
use quota_store_mongo::MongoStore;

use crate::collections::{Collections, run};
use crate::requests::{
    Answered, DAY, after_noon, allowed, backfill, charge_as, client, credits, delete, noon, one, one_at, per_year,
    request, used, void,
};

/// As many as are taken out in three steps.
const MANY: i64 = 4_500;

/// Entries lie a second apart: over five quarters of an hour and a bit.
const APART: i64 = 1_000;

/// Entries `e0`, `e1`, … with one credit each.
async fn filled(collections: &Collections) -> MongoStore {
    let store = collections.store().await;
    add(&store, 0..MANY).await;
    store
}

/// In several commits: one of all would take what stands in for the server seconds, and a slow machine as long as it may take.
async fn add(store: &MongoStore, numbers: std::ops::Range<i64>) {
    let numbers: Vec<i64> = numbers.collect();
    for some in numbers.chunks(500) {
        let answer = ask(store, backfill(some.iter().map(|number| (format!("e{number}"), number * APART)))).await;
        assert!(
            matches!(&answer, Ok(Answer::Backfilled(done)) if usize::try_from(done.added) == Ok(some.len())),
            "{answer:?}"
        );
    }
}

/// On the day after, with a limit that is never reached.
async fn ask(store: &MongoStore, operation: Operation) -> Answered {
    one(store, asked(operation)).await
}

fn asked(operation: Operation) -> Request {
    Request { at: after_noon(DAY), ..request("a", operation, "100000") }
}

async fn deleted(store: &MongoStore, range: Window, entries: i64) {
    let mut answer = ask(store, delete(range)).await;
    // A slow server may take longer to finish another than a batch waits for that.
    while matches!(&answer, Err(StoreError::NotDone { message, .. }) if message.contains("still being finished")) {
        answer = ask(store, delete(range)).await;
    }
    assert!(matches!(&answer, Ok(Answer::Deleted(count)) if i64::try_from(*count) == Ok(entries)), "{answer:?}");
}

/// From one entry to before another; both ends cut a quarter of an hour.
fn between(from: i64, to: i64) -> Window {
    Window::new(after_noon(from * APART), after_noon(to * APART)).unwrap()
}

async fn pending(collections: &Collections) -> Option<Document> {
    collections.account("a").await.get_document("d").ok().cloned()
}

/// How many entries stand in the ledger, dead or alive.
async fn standing(collections: &Collections) -> usize {
    collections.all("entries", doc! { "c": "a", "gone": { "$exists": false } }).await.len()
}

/// Asserts that whatever is asked sees these entries, of one credit each, and no others.
async fn assert_seen(collections: &Collections, expected: &[String]) {
    let (store, name) = (collections.store().await, client("a"));
    let count = expected.len();
    assert_eq!(used(&ask(&store, Operation::Status).await), count.to_string());
    assert_eq!(store.total(&name, Window::ALL).await.unwrap().to_string(), count.to_string());
    // Each quarter is cut, so its entries are read.
    let mut cut = quota_core::Credits::ZERO;
    for third in 0..=3 * (MANY * APART / 900_000 + 1) {
        let window = Window::new(after_noon(third * 300_000), after_noon((third + 1) * 300_000)).unwrap();
        cut = cut.checked_add(store.total(&name, window).await.unwrap()).unwrap();
    }
    let early = expected.iter().filter(|id| id.starts_with('e')).count();
    assert_eq!(cut.to_string(), early.to_string());
    // Cut at both ends as well.
    let query = DailyQuery { range: between(1, MANY - 1), zone: Tz::UTC, by: GroupBy::Day };
    let days: u64 = store.daily(&name, &query).await.unwrap().iter().map(|day| day.entries).sum();
    let inside = |id: &&String| id.starts_with('e') && **id != "e0" && **id != format!("e{}", MANY - 1);
    assert_eq!(days, u64::try_from(expected.iter().filter(inside).count()).unwrap());
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.entries(&name, &EntriesQuery { range: Window::ALL, after, limit: 1_000 }).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(found == expected, "{} entries are seen, not {count}", found.len());
}

fn ids(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("e{number}")).collect()
}

#[test]
fn a_large_deletion_is_whole_when_it_is_answered() {
    for (range, left) in [(Window::ALL, ids(0..0)), (between(10, MANY - 10), ids((0..10).chain(MANY - 10..MANY)))] {
        run(async |collections| {
            let store = filled(collections).await;
            deleted(&store, range, MANY - i64::try_from(left.len()).unwrap()).await;
            assert!(pending(collections).await.is_some());
            assert_eq!(standing(collections).await, usize::try_from(MANY).unwrap());
            assert_seen(collections, &left).await;
            store.finish_deletion(&client("a")).await.unwrap();
            assert_eq!(pending(collections).await, None);
            assert_eq!(standing(collections).await, left.len());
            assert_seen(collections, &left).await;
        });
    }
}

#[test]
fn a_small_deletion_leaves_nothing_to_finish() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(0, 2_000), 2_000).await;
        assert_eq!(pending(collections).await, None);
        assert_seen(collections, &ids(2_000..MANY)).await;
        store.finish_deletion(&client("a")).await.unwrap();
        store.finish_deletion(&client("nobody")).await.unwrap();
    });
}

#[test]
fn an_id_that_was_deleted_is_free_at_once() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, Window::ALL, MANY).await;
        let other = collections.store().await;
        let voided = ask(&other, void("e7")).await;
        assert!(matches!(voided, Ok(Answer::Voided(false))), "{voided:?}");
        for store in [&other, &store] {
            let answer = ask(store, charge_as("e7", "2")).await;
            assert_eq!(used(&answer), "2", "the second is a replay");
        }
        store.finish_deletion(&client("a")).await.unwrap();
        collections.assert_entries("a", &[("e7", 2)]).await;
        assert!(matches!(ask(&store, void("e7")).await, Ok(Answer::Voided(true))));
        collections.assert_entries("a", &[]).await;
    });
}

#[test]
fn what_is_written_between_dead_entries_lives() {
    run(async |collections| {
        let store = filled(collections).await;
        let again = || ids(100..110).into_iter().zip((100..110).map(|number| number * APART));
        let batch = [delete(Window::ALL), backfill(again()), charge_as("z", "1"), void("e100"), charge_as("e100", "1")];
        for answer in store.apply(batch.map(asked).to_vec()).await {
            answer.unwrap();
        }
        assert!(pending(collections).await.is_some());
        let mut seen = ids(101..110);
        seen.extend(["z".to_owned(), "e100".to_owned()]);
        let skipped = ask(&collections.store().await, backfill(again().skip(1))).await;
        assert!(matches!(&skipped, Ok(Answer::Backfilled(done)) if done.skipped == 9), "{skipped:?}");
        for _ in 0..2 {
            let store = collections.store().await;
            assert_eq!(store.total(&client("a"), between(105, 108)).await.unwrap(), credits("3"));
            assert_eq!(used(&ask(&store, Operation::Status).await), "11");
            let query = EntriesQuery { range: Window::ALL, after: None, limit: 100 };
            let page = store.entries(&client("a"), &query).await.unwrap();
            let found: Vec<_> = page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()).collect();
            assert_eq!(found, seen);
            store.finish_deletion(&client("a")).await.unwrap();
        }
        assert_eq!(standing(collections).await, 11);
    });
}

#[test]
fn another_deletion_finishes_the_one_before() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, Window::ALL, MANY).await;
        let first = pending(collections).await.unwrap();
        add(&store, 500..510).await;
        deleted(&collections.store().await, between(500, 505), 5).await;
        // It lies in the other, and is small. On a slow server that one may be finished as far as this lies, and no further.
        let from = |pending: &Document| pending.get_str("f").unwrap().to_owned();
        assert!(pending(collections).await.is_none_or(|left| from(&left) > from(&first)));
        assert_seen(collections, &ids(505..510)).await;
        add(&store, 1_000..MANY).await;
        deleted(&collections.store().await, Window::ALL, MANY - 1_000 + 5).await;
        let second = pending(collections).await.unwrap();
        assert!(second.get_i64("s").unwrap() > first.get_i64("s").unwrap());
        assert_seen(collections, &[]).await;
        deleted(&store, Window::ALL, 0).await;
        store.finish_deletion(&client("a")).await.unwrap();
        assert_eq!(standing(collections).await, 0);
    });
}

/// Whoever tries to finish the earlier deletion finds it begun anew, again and again.
#[test]
fn a_deletion_that_waits_for_another_too_long_fails_alone() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, Window::ALL, MANY).await;
        add(&store, 0..10).await;
        let first = pending(collections).await.unwrap();
        let again = async {
            loop {
                collections.set("a", doc! { "d": first.clone() }).await;
                tokio::task::yield_now().await;
            }
        };
        let batch = [charge_as("x", "1"), delete(Window::ALL), charge_as("y", "1")].map(asked).to_vec();
        let answers = tokio::select! {
            answers = store.apply(batch) => answers,
            () = again => Vec::new(),
        };
        let [before, late, behind] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(allowed(before) && allowed(behind), "{answers:?}");
        assert!(matches!(late, Err(StoreError::NotDone { message, .. }) if message.contains("still being finished")));
        store.finish_deletion(&client("a")).await.unwrap();
        let mut seen = ids(0..10);
        seen.extend(["x".to_owned(), "y".to_owned()]);
        assert_seen(collections, &seen).await;
    });
}

#[test]
fn a_small_deletion_beside_a_pending_one_does_not_wait() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(0, 4_000), 4_000).await;
        let before = pending(collections).await.unwrap();
        deleted(&store, between(4_000, 4_010), 10).await;
        assert_eq!(pending(collections).await, Some(before));
        assert_seen(collections, &ids(4_010..MANY)).await;
        store.finish_deletion(&client("a")).await.unwrap();
        assert_seen(collections, &ids(4_010..MANY)).await;
    });
}

#[test]
fn entries_of_one_instant_are_taken_out_in_steps() {
    run(async |collections| {
        let store = collections.store().await;
        ask(&store, backfill((0..MANY).map(|number| (format!("e{number}"), 500)))).await.unwrap();
        ask(&store, backfill([("left".to_owned(), 501)])).await.unwrap();
        let instant = Window::new(after_noon(500), after_noon(501)).unwrap();
        deleted(&store, instant, MANY).await;
        ask(&store, backfill([("right".to_owned(), 500)])).await.unwrap();
        for _ in 0..2 {
            assert_eq!(store.total(&client("a"), instant).await.unwrap(), credits("1"));
            assert_eq!(used(&ask(&store, Operation::Status).await), "2");
            store.finish_deletion(&client("a")).await.unwrap();
        }
        assert_eq!(pending(collections).await, None);
        collections.assert_entries("a", &[("left", 1), ("right", 1)]).await;
    });
}

/// Goes on until something is taken out, and stops there.
async fn one_step(collections: &Collections, mut finishing: Pin<&mut impl Future<Output = Result<(), StoreError>>>) {
    let begun = pending(collections).await.unwrap();
    // A poll ends at the latest where a command waits for its answer.
    while pending(collections).await.unwrap() == begun {
        assert!(futures_util::poll!(finishing.as_mut()).is_pending());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_pruning_finishes_what_a_dropped_process_began() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(10, MANY), MANY - 10).await;
        {
            let name = client("a");
            let mut finishing = std::pin::pin!(store.finish_deletion(&name));
            one_step(collections, finishing.as_mut()).await;
        }
        assert_seen(collections, &ids(0..10)).await;
        let pruned = collections.store().await.prune(noon()).await.unwrap();
        assert_eq!((pruned.entries, pruned.ids), (0, 0));
        assert_eq!(pending(collections).await, None);
        assert_eq!(standing(collections).await, 10);
        assert_seen(collections, &ids(0..10)).await;
    });
}

#[test]
fn a_pruning_folds_nothing_that_is_dead() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(10, MANY), MANY - 10).await;
        let pruned = collections.store().await.prune(after_noon(DAY)).await.unwrap();
        assert_eq!((pruned.entries, pruned.ids), (10, 10));
        assert_eq!(used(&ask(&store, Operation::Status).await), "10");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("10"));
        assert_eq!(standing(collections).await, 0);
    });
}

#[test]
fn two_that_finish_at_once_beside_charges_take_out_what_is_dead() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(0, MANY - 10), MANY - 10).await;
        let (first, second) = (collections.store().await, collections.store().await);
        let name = client("a");
        let charging = async {
            for number in 0..20 {
                let past = vec![(format!("e{number}"), number * 10 * APART)];
                ask(&store, backfill(past)).await.unwrap();
            }
        };
        let (finished, ()) = join(join(first.finish_deletion(&name), second.finish_deletion(&name)), charging).await;
        finished.0.unwrap();
        finished.1.unwrap();
        assert_eq!(pending(collections).await, None);
        assert_eq!(standing(collections).await, 30);
        let seen = ids((0..20).chain(MANY - 10..MANY));
        assert_seen(collections, &seen).await;
    });
}

#[test]
fn a_late_finisher_takes_nothing_newer() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, Window::ALL, MANY).await;
        let begun = pending(collections).await.unwrap();
        store.finish_deletion(&client("a")).await.unwrap();
        add(&store, 0..30).await;
        assert!(allowed(&one_at(&store, "a", charge_as("z", "1"), DAY).await));
        // As though it had read this, and then slept.
        collections.set("a", doc! { "d": begun }).await;
        assert_eq!(used(&ask(&collections.store().await, Operation::Status).await), "31");
        collections.store().await.finish_deletion(&client("a")).await.unwrap();
        assert_eq!(standing(collections).await, 31);
        let mut seen = ids(0..30);
        seen.push("z".to_owned());
        assert_seen(collections, &seen).await;
    });
}

#[test]
fn a_finisher_that_slept_leaves_the_next_deletion_whole() {
    run(async |collections| {
        let (store, other, name) = (filled(collections).await, collections.store().await, client("a"));
        deleted(&store, Window::ALL, MANY).await;
        let mut finishing = std::pin::pin!(other.finish_deletion(&name));
        one_step(collections, finishing.as_mut()).await;
        store.finish_deletion(&name).await.unwrap();
        add(&store, 0..MANY).await;
        deleted(&store, between(0, MANY - 1), MANY - 1).await;
        finishing.await.unwrap();
        assert_seen(collections, &ids(MANY - 1..MANY)).await;
        store.finish_deletion(&name).await.unwrap();
        assert_eq!((pending(collections).await, standing(collections).await), (None, 1));
        assert_seen(collections, &ids(MANY - 1..MANY)).await;
    });
}

#[test]
fn an_outbox_that_is_late_brings_back_nothing_of_a_large_deletion() {
    run(async |collections| {
        let store = filled(collections).await;
        let made = collections.outbox("a").await;
        deleted(&store, Window::ALL, MANY).await;
        let deletion = collections.outbox("a").await;
        collections.write_late("a", &made).await;
        assert_seen(collections, &[]).await;
        store.finish_deletion(&client("a")).await.unwrap();
        add(&store, 5..10).await;
        for outbox in [&made, &deletion, &made] {
            collections.write_late("a", outbox).await;
        }
        assert_eq!(standing(collections).await, 5);
        assert_seen(collections, &ids(5..10)).await;
    });
}

#[test]
fn a_large_deletion_that_a_dead_process_left_is_done() {
    run(async |collections| {
        let store = filled(collections).await;
        let before = collections.ledger("a").await;
        deleted(&store, between(10, MANY), MANY - 10).await;
        collections.outbox("a").await;
        collections.put_back("a", before).await;
        assert_seen(collections, &ids(0..10)).await;
    });
}

#[test]
fn what_is_taken_out_is_dated() {
    run(async |collections| {
        let store = filled(collections).await;
        deleted(&store, between(0, 10), 10).await;
        deleted(&store, Window::ALL, MANY - 10).await;
        store.finish_deletion(&client("a")).await.unwrap();
        // A client that has nothing any more.
        let set = Operation::SetPlan { plan: per_year("1"), version: 7.try_into().map(PlanVersion::new).unwrap() };
        one_at(&store, "b", set, 0).await.unwrap();
        let removed = Request { client: client("b"), ..asked(Operation::RemovePlan) };
        assert!(matches!(one(&store, removed).await, Ok(Answer::PlanRemoved)));
        let now = DateTime::now().timestamp_millis();
        for (name, of) in
            [("entries", doc! { "c": "a" }), ("quarters", doc! { "c": "a" }), ("accounts", doc! { "_id": "b" })]
        {
            let found = collections.all(name, of).await;
            assert!(!found.is_empty());
            for document in found {
                // By the clock of the server, which runs on this machine.
                let age = now - document.get_datetime("gone").unwrap().timestamp_millis();
                assert!((-1_000..DAY).contains(&age), "{document}");
            }
        }
    });
}

#[test]
fn a_damaged_account_stops_no_pruning_of_others() {
    run(async |collections| {
        let store = collections.store().await;
        for name in ["a", "b", "c"] {
            let id = OperationId::new("i").unwrap();
            assert!(allowed(&one_at(&store, name, charge_as(id.as_str(), "1"), 0).await));
        }
        collections.set("a", doc! { "d": { "s": 1_i64, "f": "b\t0", "l": "b\t9" } }).await;
        collections.set("b", doc! { "s": "no number" }).await;
        let pruned = store.prune(after_noon(DAY)).await;
        assert!(matches!(pruned, Err(StoreError::Corrupt { .. })), "{pruned:?}");
        for (name, is_folded) in [("a", false), ("b", false), ("c", true)] {
            assert_eq!(collections.ledger_is_folded(name).await, is_folded, "{name}");
        }
    });
}

/// Such an account says nothing, but others may be late with what it took out.
#[test]
fn an_account_that_took_something_out_is_never_swept_up() {
    run(async |collections| {
        let store = collections.store().await;
        let first = ask(&store, backfill([("h".to_owned(), -noon().millis())])).await;
        assert!(matches!(&first, Ok(Answer::Backfilled(done)) if done.added == 1), "{first:?}");
        deleted(&store, Window::ALL, 1).await;
        assert_eq!(collections.account("a").await.get("gone"), None);
        collections.assert_sums("a", 0, 0).await;
    });
}
