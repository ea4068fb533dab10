//! Several processes that want one account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use mongodb::bson::doc;
use quota_core::{Answer, Operation, PastEntry, Window};
use quota_service::{StoreError, UsageStore};

use crate::collections::{Collections, run};
use crate::requests::{after_noon, allowed, charge, charge_as, client, credits, noon, one, one_at, request, used};

/// What a claim may cost on a busy machine: far less than the ten seconds after which a charge is given up.
const SOON: Duration = Duration::from_secs(6);

/// Another process, of which nothing more is heard.
const AT_WORK: &str = "another";

/// Who waits for a turn at `a`.
async fn waiting(collections: &Collections) -> Vec<String> {
    let account = collections.account("a").await;
    let queue = account.get_array("q").map_or(&[][..], Vec::as_slice);
    queue.iter().map(|token| token.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_claim_that_a_dead_process_left_delays_a_charge_and_refuses_none() {
    run(async |collections| {
        let keeps = collections.store().await;
        assert!(allowed(&one(&keeps, request("a", charge("1"), "10")).await));
        for store in [keeps, collections.store().await] {
            collections.set("a", doc! { "q": [AT_WORK] }).await;
            let began = Instant::now();
            assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
            assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
            assert_eq!(
                waiting(collections).await,
                Vec::<String>::new(),
                "it was taken out, and so was who took it out"
            );
        }
        assert_eq!(collections.store().await.total(&client("a"), Window::ALL).await.unwrap(), credits("3"));
    });
}

#[test]
fn a_claim_that_a_dead_process_left_does_not_stop_a_pruning() {
    run(async |collections| {
        let store = collections.store().await;
        assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
        collections.set("a", doc! { "q": [AT_WORK] }).await;
        assert_eq!(store.prune(after_noon(86_400_000)).await.unwrap().entries, 1);
        assert_eq!(waiting(collections).await, Vec::<String>::new());
        collections.assert_sums("a", 1, 1).await;
    });
}

#[test]
fn who_waits_for_an_account_has_its_turn_in_order() {
    run(async |collections| {
        let stores = [collections.store().await, collections.store().await, collections.store().await];
        assert!(allowed(&one(&stores[0], request("a", charge("1"), "10")).await));
        collections.set("a", doc! { "q": [AT_WORK] }).await;
        let finished = AtomicUsize::new(0);
        let joined = async |count: usize| {
            while waiting(collections).await.iter().filter(|token| *token != AT_WORK).count()
                + finished.load(Ordering::SeqCst)
                < count
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        // The last one knows the account already and needs not read it: all the same it comes last.
        let asking = ["first", "second", "third"].into_iter().zip(stores.iter().rev()).enumerate();
        let asking = join_all(asking.map(async |(place, (id, store))| {
            joined(place).await;
            assert!(allowed(&one(store, request("a", charge_as(id, "1"), "10")).await));
            finished.fetch_add(1, Ordering::SeqCst);
        }));
        let release = async {
            joined(3).await;
            collections.change("a", doc! { "$pull": { "q": AT_WORK } }).await;
        };
        join(asking, release).await;
        collections.written("a", 4).await;
        let mut entries = collections.all("entries", doc! { "i": { "$exists": true } }).await;
        entries.sort_by_key(|entry| entry.get_i64("s").unwrap());
        let ids: Vec<_> = entries.iter().map(|entry| entry.get_str("i").unwrap()).collect();
        assert_eq!(ids, ["a\tfirst", "a\tsecond", "a\tthird"]);
        assert_eq!(waiting(collections).await, Vec::<String>::new());
    });
}

#[test]
fn two_stores_on_one_client_admit_the_limit_exactly() {
    run(async |collections| {
        let stores = [Arc::new(collections.store().await), Arc::new(collections.store().await)];
        let tasks = (0..8).map(|task: usize| {
            let store = Arc::clone(&stores[task % 2]);
            tokio::spawn(async move {
                let mut admitted = 0;
                for _ in 0..5 {
                    let batch = ["a", "b", "a", "c", "a"].map(|name| request(name, charge("1"), "100"));
                    admitted += store.apply(batch.to_vec()).await.iter().filter(|answer| allowed(answer)).count();
                }
                admitted
            })
        });
        let admitted: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
        // 120 were asked of a, 40 of b and of c.
        assert_eq!(admitted, 100 + 40 + 40);
        for (name, sum) in [("a", "100"), ("b", "40"), ("c", "40")] {
            assert_eq!(stores[0].total(&client(name), Window::ALL).await.unwrap(), credits(sum));
        }
    });
}

#[test]
fn two_stores_that_make_the_same_clients_agree() {
    run(async |collections| {
        let stores = [collections.store().await, collections.store().await];
        for round in 0..5 {
            let batch = || (0..20).map(|n| request(&format!("{round}-{n}"), charge_as("i", "1"), "10")).collect();
            let (first, second) = join(stores[0].apply(batch()), stores[1].apply(batch())).await;
            for answer in first.iter().chain(&second) {
                assert!(allowed(answer), "one is charged, the other replayed");
                assert_eq!(used(answer), "1");
            }
        }
        for n in (0..5).flat_map(|round| (0..20).map(move |n| format!("{round}-{n}"))) {
            collections.written(&n, 1).await;
        }
    });
}

#[test]
fn a_batch_that_is_dropped_leaves_ledger_and_account_one() {
    run(async |collections| {
        let store = collections.store().await;
        for micros in 0..40 {
            let batch = ["a", "b"].map(|name| request(name, charge("1"), "1000")).to_vec();
            let _ = tokio::time::timeout(Duration::from_micros(micros * 100), store.apply(batch)).await;
        }
        for name in ["a", "b"] {
            assert!(allowed(&one(&store, request(name, charge("1"), "1000")).await));
            let total = store.total(&client(name), Window::ALL).await.unwrap();
            assert_eq!(total.to_string(), used(&one(&store, request(name, Operation::Status, "1000")).await));
        }
    });
}

#[test]
fn a_pruning_beside_backfills_leaves_every_range_exact_or_refused() {
    run(async |collections| {
        const QUARTER: i64 = 900_000;
        let (pruner, writer) = (collections.store().await, collections.store().await);
        let (mut exact, entries) = (0, 80);
        let writing = async {
            for number in 0..entries {
                let id = quota_core::OperationId::new(format!("i{number}")).unwrap();
                let at = after_noon(number * QUARTER + 1_000);
                let past = vec![PastEntry { id, at, credits: credits("1"), label: None }];
                let operation = Operation::Backfill { entries: past, not_after: after_noon(entries * QUARTER) };
                let answer = one_at(&writer, "a", operation, entries * QUARTER).await;
                assert!(matches!(&answer, Ok(Answer::Backfilled(done)) if done.added == 1), "{answer:?}");
            }
        };
        let pruning = async {
            loop {
                pruner.prune(after_noon((entries + 8) * QUARTER)).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = writing => {}
            () = pruning => {}
        }
        for number in 0..entries {
            let from = number * QUARTER + 500;
            let cut = Window::new(after_noon(from), after_noon(from + 1_000)).unwrap();
            match writer.total(&client("a"), cut).await {
                Ok(total) => {
                    exact += 1;
                    assert_eq!(total, credits("1"), "{number}");
                }
                Err(StoreError::Refused(_)) => assert_eq!(exact, 0, "older ones are not folded, {number} is"),
                Err(error) => panic!("{error:?}"),
            }
        }
        let all = Window::new(noon(), after_noon(entries * QUARTER)).unwrap();
        assert_eq!(writer.total(&client("a"), all).await.unwrap().to_string(), entries.to_string());
    });
}
