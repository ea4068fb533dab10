//! Amounts that are exact, and keys that others have written.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, Credits, Detail, EntryId, GroupBy, Operation, OperationId, Window};
use quota_service::{DailyQuery, StoreError, UsageStore};
use redis::Value;

use crate::requests::{
    PLENTY, agreed_usage, allowed, at_quarter, charge, charge_as, charge_later, charge_one, client, credits, one,
    request, used,
};
use crate::servers::{Place, private, text_of};

/// Where doubles stop to count in ones: 2^53 + 1 millionths.
const BEYOND: &str = "9007199254.740993";
const LIMIT: &str = "9000000000000";

#[tokio::test]
async fn amounts_beyond_what_doubles_tell_apart_are_exact() {
    let Some(place) = Place::shared() else { return };
    for (name, detail) in [("entries", Detail::Entries), ("quarters", Detail::Quarters)] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        let id = EntryId::Given(OperationId::new("great").unwrap());
        let record = Operation::Record { credits: credits(BEYOND), id, label: None };
        let mut expected = credits(BEYOND);
        assert_eq!(used(&one(&store, request(name, record, LIMIT)).await), expected);
        for (id, cost) in [("1", "0.000001"), ("2", "0.000001"), ("3", BEYOND), ("4", "9007199254740.000001")] {
            let answer = one(&store, request(name, charge_as(id, cost), LIMIT)).await;
            assert_eq!(allowed(&answer), id != "4", "the last is more than is left");
            if id != "4" {
                expected = expected.checked_add(credits(cost)).unwrap();
            }
            assert_eq!(used(&answer), expected);
        }
        assert_eq!(expected, credits("18014398509.481988"));
        // Another process knows nothing but what is stored.
        let other = place.store(detail).await;
        assert_eq!(used(&one(&other, request(name, Operation::Status, LIMIT)).await), expected);
        assert_eq!(agreed_usage(&other, name).await, expected);
        let query = DailyQuery { range: Window::ALL, zone: quota_core::Tz::UTC, by: GroupBy::Day };
        let days = other.daily(&client(name), &query).await.unwrap();
        assert_eq!(days.iter().map(|day| day.credits).collect::<Vec<Credits>>(), [expected]);
        // Taken out again, what is left is exact as well.
        let void = Operation::Void { id: OperationId::new("great").unwrap(), at: None };
        one(&other, request(name, void, LIMIT)).await.unwrap();
        assert_eq!(agreed_usage(&store, name).await, expected.checked_sub(credits(BEYOND)).unwrap());
    }
}

#[tokio::test]
async fn who_only_reads_asks_nobody_for_room() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let (charges, reads) = (place.store(detail).await, place.store(detail).await);
        for id in ["1", "2", "3"] {
            assert!(allowed(&charge_one(&charges, "a", id).await));
            // What it keeps of the account is old each time but the first.
            assert_eq!(agreed_usage(&reads, "a").await, credits(id));
            let denied = one(&reads, request("a", charge("2"), "0.5")).await;
            assert!(!allowed(&denied), "{denied:?}");
            assert_eq!(place.queue("a").await, "", "{detail:?}");
        }
    }
}

#[tokio::test]
async fn usage_of_which_a_key_is_foreign_is_corrupt_and_the_connection_stays() {
    let Some((_server, place)) = private() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        for quarters in 0..2 {
            assert!(allowed(&charge_later(&store, "a", &quarters.to_string(), quarters).await));
        }
        store.total(&client("a"), Window::ALL).await.unwrap();
        let key = place.key("{a}:s:19797");
        place.tell(&format!("DEL {key}")).await;
        place.tell(&format!("SET {key} x")).await;
        let opened = place.tell("INFO stats").await;
        let total = store.total(&client("a"), Window::ALL).await;
        assert!(matches!(total, Err(StoreError::Corrupt { .. })), "{total:?}");
        let connections = |info: &Value| {
            text_of(info).lines().find_map(|line| line.strip_prefix("total_connections_received:").map(str::to_owned))
        };
        let before: u64 = connections(&opened).unwrap().trim().parse().unwrap();
        assert!(store.total(&client("a"), Window::ALL).await.is_err());
        let after: u64 = connections(&place.tell("INFO stats").await).unwrap().trim().parse().unwrap();
        assert_eq!(after - before, 1, "only the question itself has connected");
    }
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_let_go_with_the_next_charge() {
    let Some(place) = Place::shared() else { return };
    let retention = Duration::from_secs(400 * 86_400);
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let store = place.builder().with_detail(detail).with_retention(retention).connect().await.unwrap();
        assert!(allowed(&charge_one(&store, "a", "1").await));
        // In the newest quarter still: it rides in the account.
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), Credits::ONE);
        assert!(allowed(&charge_later(&store, "a", "2", 600 * 96).await));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), Credits::ONE, "the first one is forgotten");
        let old = place.tell(&format!("EXISTS {}", place.key("{a}:s:19797"))).await;
        assert_eq!(old, Value::Int(0), "no key of its day was made");
    }
}

/// Two processes, whose callers say different quarters: sums are open, closed, and added to when they are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn usage_is_exact_while_quarters_end() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let stores = [Arc::new(place.store(detail).await), Arc::new(place.store(detail).await)];
        let callers: Vec<_> = (0..8_u32)
            .map(|caller| {
                let store = Arc::clone(&stores[usize::try_from(caller).unwrap() % 2]);
                tokio::spawn(async move {
                    for number in 0..60_u32 {
                        let id = format!("{caller}.{number}");
                        // Some go on to the next day; some voids are of quarters that have ended.
                        assert!(allowed(&charge_later(&store, "a", &id, number + caller % 3).await));
                        if number % 5 == 0 {
                            let void = Operation::Void { id: OperationId::new(&id).unwrap(), at: None };
                            one(&store, request("a", void, PLENTY)).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let expected = credits(&(8 * 60 - 8 * 12).to_string());
        let other = place.store(detail).await;
        for store in [&*stores[0], &*stores[1], &other] {
            assert_eq!(agreed_usage(store, "a").await, expected);
            let query = DailyQuery { range: Window::ALL, zone: quota_core::Tz::UTC, by: GroupBy::Day };
            let days = store.daily(&client("a"), &query).await.unwrap();
            assert_eq!(days.iter().map(|day| day.entries).sum::<u64>(), 384);
            assert_eq!(days.len(), 2, "{days:?}");
        }
        let all = Operation::Delete { range: Window::ALL };
        let deleted = one(&other, request("a", all, PLENTY)).await.unwrap();
        assert!(matches!(deleted, Answer::Deleted(384)), "{deleted:?}");
        assert_eq!(agreed_usage(&stores[0], "a").await, Credits::ZERO);
        let sums = place.tell(&format!("KEYS {}", place.key("{a}:s:*"))).await;
        assert!(matches!(&sums, Value::Array(keys) if keys.is_empty()), "{sums:?}");
    }
}

#[tokio::test]
async fn a_foreign_key_is_its_clients_error_and_left_alone() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    assert!(allowed(&charge_one(&store, "sums", "0").await));
    let day = 19_797;
    for (name, key, make) in [
        ("account", "a".to_owned(), "SET {} x"),
        ("sums", format!("s:{day}"), "SET {} x"),
        ("ids", format!("i:{day}"), "RPUSH {} x"),
        ("entries", format!("e:{day}"), "HSET {} x y"),
    ] {
        let key = place.key(&format!("{{{name}}}:{key}"));
        let is_put_later = ["ids", "entries"].contains(&name);
        if is_put_later {
            assert!(allowed(&charge_one(&store, name, "before").await));
        }
        place.tell(&format!("DEL {key}")).await;
        place.tell(&make.replace("{}", &key)).await;
        let before = place.tell(&format!("DUMP {key}")).await;
        // Later, so that what was added before is to go to its day's key.
        let mut batch = [name, "well"].map(|name| at_quarter(request(name, charge_as(name, "1"), "10"), 1));
        if is_put_later {
            batch[0].operation = Operation::Void { id: OperationId::new("nobody's").unwrap(), at: None };
        }
        let answers = store.apply(batch.to_vec()).await;
        assert!(matches!(answers[0], Err(StoreError::Corrupt { .. })), "{name}: {:?}", answers[0]);
        assert!(
            answers[0].as_ref().unwrap_err().to_string().contains("not of this store's making"),
            "{:?}",
            answers[0]
        );
        assert!(allowed(&answers[1]));
        assert_eq!(place.tell(&format!("DUMP {key}")).await, before);
        // Without it the client is as it was.
        place.tell(&format!("DEL {key}")).await;
        if name != "sums" {
            assert!(allowed(&charge_one(&store, name, "again").await), "{name}");
            let used = credits(if is_put_later { "2" } else { "1" });
            assert_eq!(agreed_usage(&store, name).await, used, "{name}");
        }
    }
    assert_eq!(agreed_usage(&store, "well").await, Credits::ONE);
}
