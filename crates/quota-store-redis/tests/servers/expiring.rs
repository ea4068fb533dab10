//! How long keys last.

use std::time::Duration;

use quota_core::{Credits, Detail, EntryId, Operation, OperationId};
use redis::Value;

use crate::requests::{PLENTY, allowed, at_quarter, charge_later, charge_one, made_of, one, put_in_place, request};
use crate::servers::{Place, text_of};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What was charged a moment ago, as a busy machine has it.
const LATELY: i64 = 10 * MINUTE;

/// In how many milliseconds a key goes; -1 where it is kept for ever.
async fn left(place: &Place, key: &str) -> i64 {
    match place.tell(&format!("PTTL {key}")).await {
        Value::Int(left @ -1..) => left,
        other => panic!("{key}: {other:?}"),
    }
}

async fn assert_lasts(place: &Place, rest: &str, wanted: i64) {
    let left = left(place, &place.key(rest)).await;
    assert!((wanted - LATELY..=wanted).contains(&left), "{rest}: {left} of {wanted}");
}

/// A charge of a caller who gave no id, as a service asks for it.
fn plain() -> Operation {
    Operation::Charge {
        credits: Credits::ONE,
        id: EntryId::Made(OperationId::new(made_of("block", '0')).unwrap()),
        label: None,
    }
}

#[tokio::test]
async fn keys_of_a_day_outlive_it_by_the_retention_and_a_day_also_where_they_were_emptied() {
    let Some(place) = Place::shared() else { return };
    let retention = Duration::from_secs(800 * 86_400);
    let builder = place.builder().with_detail(Detail::Entries).with_retention(retention);
    let store = builder.connect().await.unwrap();
    for id in ["1", "2"] {
        // At noon.
        assert!(allowed(&charge_one(&store, "a", id).await));
        put_in_place(&store, "a", 0).await;
        for kind in ["e", "i"] {
            assert_lasts(&place, &format!("{{a}}:{kind}:19797"), 801 * DAY + 12 * HOUR).await;
        }
        let void = Operation::Void { id: OperationId::new(id).unwrap(), at: None };
        one(&store, request("a", void, PLENTY)).await.unwrap();
    }
    for quarters in 0..2 {
        assert!(allowed(&charge_later(&store, "a", &quarters.to_string(), quarters).await));
    }
    assert_lasts(&place, "{a}:s:19797", 801 * DAY + 12 * HOUR - 15 * MINUTE).await;
    assert_eq!(left(&place, &place.key("{a}:a")).await, -1);
}

#[tokio::test]
async fn without_a_retention_nothing_expires_but_the_ids_of_quarters() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        for quarters in 0..2 {
            assert!(allowed(&charge_later(&store, "a", &quarters.to_string(), quarters).await));
        }
        assert!(allowed(&one(&store, at_quarter(request("a", plain(), PLENTY), 1)).await));
        put_in_place(&store, "a", 1).await;
        let Value::Array(keys) = place.tell(&format!("KEYS {}", place.key("*"))).await else { panic!("no keys") };
        let keys: Vec<String> = keys.iter().map(text_of).collect();
        // Account, sums, ids, entries or ids that were made; the list of clients, format and detail.
        assert_eq!(keys.len(), 7, "{keys:?}");
        let of_ids = |key: &&String| key.contains(":i:") || key.contains(":r:");
        for key in keys.iter().filter(|key| detail == Detail::Entries || !of_ids(key)) {
            assert_eq!(left(&place, key).await, -1, "{key}");
        }
        if detail == Detail::Quarters {
            // The day that they are written on, the one that they are remembered for, and one more.
            assert_lasts(&place, "{a}:i:19797", 3 * DAY).await;
            // 12:10 to 12:20, to be found until 12:30.
            assert_lasts(&place, "{a}:r:2850841", 30 * MINUTE).await;
        }
    }
}

#[tokio::test]
async fn a_key_of_ids_that_was_emptied_and_is_made_anew_goes_too() {
    let Some(place) = Place::shared() else { return };
    let builder = place.builder().with_detail(Detail::Quarters).with_ids_for(Duration::from_secs(3_600));
    let store = builder.connect().await.unwrap();
    let assert_counted = async |quarters, wanted: &str| {
        put_in_place(&store, "a", quarters).await;
        assert_eq!(place.beside("a").await[3], wanted);
        assert_lasts(&place, "{a}:i:19797", 2 * DAY + HOUR).await;
    };
    assert!(allowed(&charge_one(&store, "a", "x").await));
    assert_counted(0, "19797 12:1").await;
    // It is forgotten, and written in its own place.
    assert!(allowed(&charge_later(&store, "a", "x", 6).await));
    assert_counted(6, "19797 13:1").await;
    let void = Operation::Void { id: OperationId::new("x").unwrap(), at: None };
    one(&store, at_quarter(request("a", void, PLENTY), 6)).await.unwrap();
    assert!(allowed(&charge_later(&store, "a", "y", 8).await));
    assert_counted(8, "19797 14:1").await;
}
