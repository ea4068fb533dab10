//! What is written, by whatever URL, and what of it is damaged.

use mongodb::bson::{Bson, doc};
use quota_core::{Operation, Window};
use quota_service::{Request, StoreError, UsageStore};

use crate::collections::run;
use crate::requests::{DAY, after_noon, allowed, backfill, charge, charge_as, client, credits, one, request, used};

#[test]
fn a_charge_is_there_whatever_the_url_says_of_reads_and_writes() {
    run(async |collections| {
        for options in ["w=0", "readPreference=secondary", "w=1&journal=false&readPreference=secondaryPreferred"] {
            let store = collections.builder(&collections.url_with(options)).connect().await.unwrap();
            for round in 1..3 {
                assert_eq!(used(&one(&store, request(options, charge("1"), "10")).await), round.to_string());
            }
            let total = collections.store().await.total(&client(options), Window::ALL).await.unwrap();
            assert_eq!(total, credits("2"), "{options}");
            assert_eq!(store.total(&client(options), Window::ALL).await.unwrap(), credits("2"), "{options}");
            assert_eq!(store.prune(after_noon(86_400_000)).await.unwrap().entries, 2, "{options}");
            store.health().await.unwrap();
        }
    });
}

#[test]
fn a_damaged_or_newer_account_is_its_clients_error() {
    run(async |collections| {
        let batch = || ["a", "b", "c", "d", "e"].map(|name| request(name, charge("1"), "10")).to_vec();
        let keeps = collections.store().await;
        for answer in keeps.apply(batch()).await {
            assert!(allowed(&answer));
        }
        let damages = [
            ("b", doc! { "a": "nonsense", "v": "x" }),
            ("c", doc! { "a": "{\"format\":99}", "v": "x" }),
            ("e", doc! { "o": [{ "s": "nonsense" }], "v": "x" }),
        ];
        for (name, fields) in damages {
            collections.set(name, fields).await;
        }
        // One that has seen the accounts before, and one that has not.
        for store in [keeps, collections.store().await] {
            let answers = store.apply(batch()).await;
            assert!(allowed(&answers[0]) && allowed(&answers[3]), "{answers:?}");
            assert!(matches!(answers[1], Err(StoreError::Corrupt { .. })), "{:?}", answers[1]);
            assert!(matches!(answers[2], Err(StoreError::UpgradeNeeded { found: 99, .. })), "{:?}", answers[2]);
            assert!(matches!(answers[4], Err(StoreError::Corrupt { .. })), "{:?}", answers[4]);
        }
        for (name, text) in [("b", "nonsense"), ("c", "{\"format\":99}")] {
            let account = collections.account(name).await;
            assert_eq!(account.get_str("a").unwrap(), text, "what cannot be read is not overwritten");
        }
        // Its usage can be read all the same.
        let store = collections.store().await;
        assert_eq!(store.total(&client("b"), Window::ALL).await.unwrap(), credits("1"));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("3"));
    });
}

#[test]
fn what_a_batch_leaves_goes_into_the_ledger_though_one_clients_cannot() {
    run(async |collections| {
        // A quarter of an hour ago: that is added to what stands there.
        let past = |id: &str| backfill([(format!("p{id}"), -900_000)]);
        let batch = |id: &str| {
            let asked = |name| {
                let charge = request(name, charge("1"), "10");
                [charge, Request { at: after_noon(DAY), ..request(name, past(id), "10") }]
            };
            ["a", "b", "c"].into_iter().flat_map(asked).collect()
        };
        let keeps = collections.store().await;
        let first = keeps.apply(batch("1")).await;
        assert!(first.iter().all(Result::is_ok), "{first:?}");
        // A sum that is no number takes nothing up.
        let of_b = async |sum: Bson| {
            let quarters = collections.collection("quarters");
            let past = doc! { "c": "b", "q": after_noon(-900_000).millis() };
            let set = quarters.update_one(past, doc! { "$set": { "m": sum } }).await.unwrap();
            assert_eq!(set.matched_count, 1);
        };
        of_b("nonsense".into()).await;
        let second = keeps.apply(batch("2")).await;
        assert!(second.iter().all(Result::is_ok), "they are made, whatever the ledger takes: {second:?}");
        for store in [&keeps, &collections.store().await] {
            for name in ["a", "c"] {
                assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits("4"), "{name}");
            }
            assert!(
                store.total(&client("b"), Window::ALL).await.is_err(),
                "what is not there is not read as if it were"
            );
        }
        let third = keeps.apply(batch("3")).await;
        assert_eq!([&third[0], &third[4]].map(used), ["5", "5"]);
        assert!(third[2].is_err(), "its commit before has to stand in the ledger first: {:?}", third[2]);
        of_b(1_000_000_i64.into()).await;
        let last = keeps.apply(batch("4")).await;
        assert_eq!([&last[0], &last[2], &last[4]].map(used), ["7", "5", "7"]);
        for (name, sum) in [("a", "8"), ("b", "6"), ("c", "8")] {
            assert_eq!(keeps.total(&client(name), Window::ALL).await.unwrap(), credits(sum), "{name}");
            assert_eq!(collections.all("entries", doc! { "c": name }).await.len().to_string(), sum, "{name}");
        }
    });
}

#[test]
fn an_unknown_client_leaves_no_document() {
    run(async |collections| {
        let store = collections.store().await;
        let mut stranger = request("s", charge_as("i", "1"), "10");
        stranger.plan.plan = None;
        let denied = request("d", charge_as("i", "11"), "10");
        let answers = store.apply(vec![stranger, denied, request("t", Operation::Status, "10")]).await;
        assert!(matches!(answers[0], Err(StoreError::Refused(_))), "{:?}", answers[0]);
        assert!(!allowed(&answers[1]));
        assert_eq!(used(&answers[2]), "0");
        for collection in ["accounts", "entries", "quarters"] {
            assert_eq!(collections.all(collection, doc! {}).await, []);
        }
    });
}
