//! Amounts that are exact, and keys that others have written.

use quota_core::{Credits, Detail, EntryId, GroupBy, Operation, OperationId, Window};
use quota_service::{DailyQuery, StoreError, UsageStore};

use crate::requests::{agreed_usage, allowed, charge_as, charge_one, client, credits, one, request, used};
use crate::servers::Place;

/// Where doubles stop to count in ones: 2^53 + 1 millionths.
const BEYOND: &str = "9007199254.740993";
const LIMIT: &str = "9000000000000";

#[tokio::test]
async fn amounts_beyond_what_doubles_tell_apart_are_exact() {
    let Some(place) = Place::shared() else { return };
    for (name, detail) in [("entries", Detail::Entries), ("quarters", Detail::Quarters)] {
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
        let void = Operation::Void { id: OperationId::new("great").unwrap() };
        one(&other, request(name, void, LIMIT)).await.unwrap();
        assert_eq!(agreed_usage(&store, name).await, expected.checked_sub(credits(BEYOND)).unwrap());
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
        place.tell(&format!("DEL {key}")).await;
        place.tell(&make.replace("{}", &key)).await;
        let before = place.tell(&format!("DUMP {key}")).await;
        let batch = [name, "well"].map(|name| request(name, charge_as(name, "1"), "10"));
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
            assert_eq!(agreed_usage(&store, name).await, Credits::ONE, "{name}");
        }
    }
    assert_eq!(agreed_usage(&store, "well").await, Credits::ONE);
}
