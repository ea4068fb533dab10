//! What is written into the ledger behind the answers.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use mongodb::bson::{Bson, Document, doc};
use quota_core::Window;
use quota_service::UsageStore;

use crate::collections::{Collections, run};
use crate::requests::{allowed, charge, charge_as, client, credits, delete, noon, one_at, request, used, void};

const QUARTER: i64 = 900_000;

/// How many parts wait in the account `a`, and how many entries in them.
async fn waiting(collections: &Collections) -> (usize, usize) {
    let account = collections.account("a").await;
    let parts = account.get_array("o").map_or(&[][..], Vec::as_slice);
    let entries =
        |part: &Bson| part.as_document().unwrap().get_str("e").map_or(0, |text| text.matches("],[").count() + 1);
    (parts.len(), parts.iter().map(entries).sum())
}

/// What the quarters of `a` come to in the collection, as whoever looks there sees it.
async fn quarters(collections: &Collections) -> Vec<(i64, i64)> {
    let number = |quarter: &Document, field: &str| quarter.get(field).and_then(Bson::as_i64).unwrap();
    let of = collections.all("quarters", doc! { "c": "a" }).await;
    let mut sums: Vec<_> = of.iter().map(|one| (number(one, "q"), number(one, "m") / 1_000_000)).collect();
    sums.sort_unstable();
    sums
}

async fn charged(store: &impl UsageStore, millis: i64) {
    assert!(allowed(&one_at(store, "a", charge("1"), millis).await));
}

#[test]
fn entries_come_into_the_ledger_without_being_asked_for() {
    run(async |collections| {
        let store = collections.store().await;
        for _ in 0..50 {
            charged(&store, 0).await;
        }
        collections.written("a", 50).await;
        assert_eq!(quarters(collections).await, [], "the newest quarter stands beside the account");
        charged(&store, 1).await;
        let (parts, _) = waiting(collections).await;
        assert!(parts <= 2, "what stands in the ledger is not carried along: {parts}");
    });
}

#[test]
fn many_charges_at_once_wait_for_the_ledger_rather_than_in_the_account() {
    run(async |collections| {
        let store = collections.store().await;
        for round in 0..40 {
            let batch = (0..64).map(|_| request("a", charge("1"), "1000000")).collect();
            assert!(store.apply(batch).await.iter().all(allowed), "{round}");
            let (_, entries) = waiting(collections).await;
            assert!(entries <= 256 + 64, "{entries}");
        }
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("2560"));
        collections.written("a", 2_560).await;
    });
}

#[test]
fn a_quarter_that_is_over_stands_in_the_ledger_with_the_next_one() {
    run(async |collections| {
        let store = collections.store().await;
        let first = noon().millis();
        for _ in 0..3 {
            charged(&store, 0).await;
        }
        charged(&store, QUARTER).await;
        let until = Instant::now() + Duration::from_secs(10);
        while quarters(collections).await != [(first, 3)] {
            assert!(Instant::now() < until, "{:?}", quarters(collections).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(collections.store().await.total(&client("a"), Window::ALL).await.unwrap(), credits("4"));
        assert_eq!(quarters(collections).await, [(first, 3), (first + QUARTER, 1)], "who reads it has it written");
        // What stands there is not written again when it ends.
        charged(&store, 2 * QUARTER).await;
        collections.assert_sums("a", 5, 5).await;
    });
}

/// Of those who make it at once, each on the account as it found it, the one with the latest commit is heard.
#[test]
fn a_new_quarter_that_several_write_at_once_comes_to_what_the_latest_says() {
    run(async |collections| {
        let (store, reader) = (collections.store().await, collections.store().await);
        let (name, count) = (client("a"), 40);
        for quarter in 0..count {
            let charging = async {
                for _ in 0..4 {
                    charged(&store, quarter * QUARTER).await;
                    store.total(&name, Window::ALL).await.unwrap();
                }
            };
            let reading = join_all((0..8).map(|_| async { reader.total(&name, Window::ALL).await.unwrap() }));
            join(charging, reading).await;
        }
        collections.assert_sums("a", 4 * count, usize::try_from(4 * count).unwrap()).await;
        let first = noon().millis();
        let expected: Vec<_> = (0..count).map(|quarter| (first + quarter * QUARTER, 4)).collect();
        assert_eq!(quarters(collections).await, expected);
    });
}

/// A process that dies leaves what only its account has. Nobody reads it: those who go on charging write it.
#[test]
fn what_a_dead_process_left_comes_into_the_ledger_with_the_charges_of_others() {
    run(async |collections| {
        charged(&collections.store().await, 0).await;
        collections.written("a", 1).await;
        let left = collections.ledger("a").await;
        charged(&collections.store().await, 0).await;
        collections.written("a", 2).await;
        collections.put_back("a", left).await;
        let other = collections.store().await;
        for _ in 0..20 {
            charged(&other, 1).await;
        }
        collections.written("a", 22).await;
        collections.assert_sums("a", 22, 22).await;
    });
}

#[test]
fn processes_that_want_one_account_do_not_carry_each_others_entries_along() {
    run(async |collections| {
        let stores = join_all((0..4).map(|_| collections.store())).await;
        let charging = join_all(stores.iter().map(async |store| {
            let mut seen = Vec::new();
            for _ in 0..40 {
                charged(store, 0).await;
                seen.push(waiting(collections).await.0);
            }
            seen
        }));
        let mut seen: Vec<usize> = charging.await.into_iter().flatten().collect();
        seen.sort_unstable();
        // What is gathered until it is written, and what was, which goes with its process's next charge.
        assert!(seen[seen.len() - 1] <= 8 * stores.len(), "{seen:?}");
        collections.assert_sums("a", 160, 160).await;
        collections.written("a", 160).await;
    });
}

/// Whoever is late with what the newest quarter came to changes nothing: the ledger has seen a later commit.
#[test]
fn a_sum_that_is_late_is_not_taken_for_a_newer_one() {
    run(async |collections| {
        let store = collections.store().await;
        let mut late = Vec::new();
        let mut total = 0;
        for (id, cost) in [("h", "1"), ("i", "2"), ("j", "4")] {
            assert!(allowed(&one_at(&store, "a", charge_as(id, cost), 0).await));
            late.push(collections.account("a").await.get_document("u").unwrap().clone());
            total += cost.parse::<i64>().unwrap();
        }
        let sees = async |expected: i64| {
            for sums in &late {
                let now = collections.account("a").await.get_document("u").unwrap().clone();
                collections.set("a", doc! { "u": sums }).await;
                assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), expected.to_string());
                collections.set("a", doc! { "u": now }).await;
            }
            assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), expected.to_string());
        };
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), total.to_string());
        sees(total).await;
        one_at(&store, "a", void("j"), 0).await.unwrap();
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), "3");
        sees(3).await;
        one_at(&store, "a", delete(Window::ALL), 0).await.unwrap();
        sees(0).await;
        assert_eq!(used(&one_at(&store, "a", charge_as("k", "8"), 0).await), "8");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), "8");
        sees(8).await;
    });
}

#[test]
fn an_id_is_known_before_its_entry_stands_in_the_ledger() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        for number in 0..20 {
            let id = format!("i{number}");
            assert_eq!(used(&one_at(&store, "a", charge_as(&id, "1"), 0).await), (number + 1).to_string());
            for store in [&store, &other] {
                assert_eq!(used(&one_at(store, "a", charge_as(&id, "1"), 0).await), (number + 1).to_string());
            }
        }
        collections.assert_sums("a", 20, 20).await;
    });
}
