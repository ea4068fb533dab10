//! Ids that are looked for no more, since the store knows all that the client has used.

use std::collections::HashSet;
use std::time::Duration;

use quota_core::{Answer, Credits, Decision, Detail, EntryId, Instant, Operation, OperationId, Window};
use quota_service::{Request, UsageStore};
use quota_store_redis::RedisStore;

use crate::requests::{Answered, PLENTY, charge_as, charge_one, client, one, request};
use crate::servers::{Place, calls, private};

const DETAILS: [Detail; 2] = [Detail::Quarters, Detail::Entries];

fn is_replayed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => allowed.replayed(),
        other => panic!("{other:?}"),
    }
}

/// Charges under ids that were not used before; how often the server looked for ids meanwhile.
async fn look_ups(place: &Place, store: &RedisStore, numbers: std::ops::Range<u32>) -> u64 {
    place.tell("CONFIG RESETSTAT").await;
    for number in numbers {
        assert!(!is_replayed(&charge_one(store, "a", &format!("id {number}")).await), "{number}");
    }
    calls(place, "hmget").await
}

async fn total(store: &RedisStore) -> String {
    store.total(&client("a"), Window::ALL).await.unwrap().to_string()
}

#[tokio::test]
async fn who_knows_all_ids_of_a_client_looks_for_no_other() {
    for detail in DETAILS {
        let Some((_server, place)) = private() else { return };
        let first = place.store(detail).await;
        assert_eq!(look_ups(&place, &first, 0..100).await, 0, "{detail:?}: it has seen all of them");
        // As after a restart: it learns them with the seventeenth.
        let second = place.store(detail).await;
        let looked_for = look_ups(&place, &second, 100..120).await;
        assert!((1..=17).contains(&looked_for), "{detail:?}: {looked_for}");
        assert_eq!(look_ups(&place, &second, 120..140).await, 0, "{detail:?}");
        // Those that were used are still found, and it knows all of them afterwards.
        for number in [3, 99, 100, 119, 139] {
            assert!(is_replayed(&charge_one(&second, "a", &format!("id {number}")).await), "{detail:?}: {number}");
        }
        assert_eq!(look_ups(&place, &second, 140..150).await, 0, "{detail:?}");
        // It was another's since.
        assert!(look_ups(&place, &first, 150..152).await > 0, "{detail:?}");
        assert_eq!(total(&second).await, "152");
    }
}

#[tokio::test]
async fn ids_that_another_process_has_used_are_found() {
    let Some(place) = Place::shared() else { return };
    for detail in DETAILS {
        let place = Place::at(&place.url);
        let stores = [place.store(detail).await, place.store(detail).await];
        let (mut used, mut state) = (HashSet::new(), 7_u32);
        for step in 0..600_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Each has the client for a while, so that it learns; now and then an id comes again.
            let store = &stores[usize::from(step / 40 % 2 == 1)];
            let number = if state >> 30 == 0 { (state >> 8) % step.max(1) } else { step };
            let id = format!("id {number}");
            let is_new = used.insert(id.clone());
            assert_eq!(is_replayed(&charge_one(store, "a", &id).await), !is_new, "{detail:?} {step} {id}");
            if state >> 28 == 0xf {
                let void = Operation::Void { id: OperationId::new(&id).unwrap(), at: None };
                one(store, request("a", void, PLENTY)).await.unwrap();
                used.remove(&id);
            }
        }
        assert_eq!(total(&stores[0]).await, used.len().to_string(), "{detail:?}");
    }
}

/// A batch whose last request moves the account's time beyond what ids are remembered for, and whose first asks again.
#[tokio::test]
async fn an_id_is_not_forgotten_by_a_commit_that_is_not_done() {
    let Some(place) = Place::shared() else { return };
    let hour = Duration::from_secs(3_600);
    let store = place.builder().with_detail(Detail::Quarters).with_ids_for(hour).connect().await.unwrap();
    let at = |operation: Operation, at: &str| {
        let at: Instant = at.parse().unwrap();
        Request { at, asked: at, ..request("a", operation, "2") }
    };
    assert!(!is_replayed(&one(&store, at(charge_as("paid", "2"), "2024-03-15T23:55:00Z")).await));
    let again = at(charge_as("paid", "2"), "2024-03-16T00:10:00Z");
    let id = EntryId::Given(OperationId::new("later").unwrap());
    let later = at(Operation::Record { credits: Credits::ONE, id, label: None }, "2024-03-16T01:30:00Z");
    let answers = store.apply(vec![again, later]).await;
    assert!(is_replayed(&answers[0]), "{answers:?}");
    assert_eq!(total(&store).await, "3");
}
