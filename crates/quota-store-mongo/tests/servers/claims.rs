//! Several processes that want one account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use mongodb::bson::doc;
use quota_core::{Answer, Operation, PastEntry, Window};
use quota_service::{StoreError, UsageStore};
use quota_store_mongo::MongoStore;

use crate::between::Between;
use crate::collections::{Collections, run};
use crate::dying::an_operation_is_left;
use crate::requests::{
    DAY, after_noon, allowed, charge, charge_as, client, credits, delete, noon, one, one_at, request, used,
};

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

/// Each has to write first what a deletion left, which takes longer than the others wait for it.
#[test]
fn all_have_their_turns_where_each_takes_longer_than_it_is_waited_for() {
    run(async |collections| {
        an_operation_is_left(collections, delete(Window::ALL)).await;
        let slow = Between::new(collections);
        let stores = [slow.store(collections).await, slow.store(collections).await, slow.store(collections).await];
        collections.set("a", doc! { "q": [AT_WORK] }).await;
        slow.delay(Duration::from_millis(300));
        for answer in join_all(stores.iter().map(|store| one_at(store, "a", charge("1"), 3))).await {
            assert!(allowed(&answer), "{answer:?}");
        }
        slow.delay(Duration::ZERO);
        assert_eq!(waiting(collections).await, Vec::<String>::new());
        collections.assert_sums("a", 3, 3).await;
    });
}

/// Does something to `a` in turn, loses its place to others before its commit reaches the server, and leaves them theirs.
async fn loses_its_place(collections: &Collections, does: impl AsyncFnOnce(&MongoStore)) {
    let slow = Between::new(collections);
    let store = slow.store(collections).await;
    collections.set("a", doc! { "q": [AT_WORK] }).await;
    let loses = async {
        let token = loop {
            if let [_, token] = waiting(collections).await.as_slice() {
                break token.clone();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let before = slow.updates();
        slow.delay(Duration::from_secs(60));
        collections.set("a", doc! { "q": [token, AT_WORK] }).await;
        while slow.updates() == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        collections.set("a", doc! { "q": ["next", AT_WORK] }).await;
        slow.delay(Duration::ZERO);
    };
    join(does(&store), loses).await;
    assert_eq!(waiting(collections).await, ["next", AT_WORK]);
    collections.set("a", doc! { "q": [] }).await;
}

#[test]
fn who_loses_its_place_in_its_turn_commits_and_takes_nobody_elses() {
    run(async |collections| {
        let other = collections.store().await;
        assert!(allowed(&one(&other, request("a", charge("1"), "10")).await));
        other.total(&client("a"), Window::ALL).await.unwrap();
        loses_its_place(collections, async |store| {
            assert_eq!(used(&one(store, request("a", charge("2"), "10")).await), "3");
        })
        .await;
        collections.assert_sums("a", 3, 2).await;
        loses_its_place(collections, async |store| {
            assert_eq!(store.prune(after_noon(DAY)).await.unwrap().entries, 2);
        })
        .await;
        collections.assert_sums("a", 3, 2).await;
        assert!(collections.ledger_is_folded("a").await);
    });
}

/// So that its requests go apart from others', who would wait for its turn.
#[test]
fn who_was_waited_for_is_said_to_be_held() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        let batch = || ["a", "b"].map(|name| request(name, charge("1"), "10")).to_vec();
        for store in [&store, &other, &store] {
            assert!(store.apply(batch()).await.iter().all(allowed));
            assert!(!store.is_held(&client("a")), "another was quicker, but nobody was waited for");
        }
        collections.set("a", doc! { "q": [AT_WORK] }).await;
        assert!(store.apply(batch()).await.iter().all(allowed));
        assert!(store.is_held(&client("a")) && !store.is_held(&client("b")));
        assert!(!other.is_held(&client("a")));
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
