//! Many ids that are looked for in the keys of many days.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, Backfilled, Credits, Detail, Instant, Operation, OperationId, PastEntry, Window};
use quota_service::UsageStore;
use quota_store_redis::RedisStore;

use crate::load::{Load, ask_again};
use crate::requests::{PLENTY, client, one, request};
use crate::servers::{Place, calls, private};

/// Before the day of all requests.
const DAYS: u32 = 300;
const A_DAY: u32 = 100;

fn entry(number: u32) -> PastEntry {
    let days_ago = 1 + number % DAYS;
    PastEntry {
        id: OperationId::new(format!("id {number}")).unwrap(),
        at: "2024-03-15T00:00:00Z".parse::<Instant>().unwrap().saturating_sub(Duration::from_secs(86_400) * days_ago),
        credits: Credits::ONE,
        label: None,
    }
}

async fn backfill(store: &RedisStore, entries: Vec<PastEntry>) -> Backfilled {
    let backfill = Operation::Backfill { entries, not_after: Instant::MAX };
    match one(store, request("a", backfill, PLENTY)).await {
        Ok(Answer::Backfilled(backfilled)) => backfilled,
        other => panic!("{other:?}"),
    }
}

/// So many entries each of so many days.
async fn fill(place: &Place) -> RedisStore {
    let store = place.store(Detail::Entries).await;
    let entries: Vec<PastEntry> = (0..DAYS * A_DAY).map(entry).collect();
    for some in entries.chunks(Operation::MAX_BACKFILL) {
        let wanted = u64::try_from(some.len()).unwrap();
        assert_eq!(backfill(&store, some.to_vec()).await, Backfilled { added: wanted, ..Backfilled::default() });
    }
    store
}

/// In credits, of which each entry has one.
async fn total(store: &RedisStore) -> u32 {
    store.total(&client("a"), Window::ALL).await.unwrap().to_string().parse().unwrap()
}

/// Every other one is there, and one of these with other credits.
fn mixed() -> (Vec<PastEntry>, Backfilled) {
    let mut entries: Vec<PastEntry> =
        (0..500).flat_map(|number| [number * 59, DAYS * A_DAY + number]).map(entry).collect();
    entries[0].credits = Credits::ZERO;
    let conflicts = vec![entries[0].id.clone()];
    (entries, Backfilled { added: 500, skipped: 499, conflicts })
}

#[tokio::test]
async fn many_ids_are_looked_for_in_many_days_in_steps() {
    let Some((_server, place)) = private() else { return };
    fill(&place).await;
    // Who knows which ids were used looks for fewer.
    let store = place.store(Detail::Entries).await;
    let (entries, expected) = mixed();
    place.tell("CONFIG RESETSTAT").await;
    assert_eq!(backfill(&store, entries.clone()).await, expected);
    // The account is read; then 1,000 in 150 days each, and the commit.
    assert_eq!(calls(&place, "evalsha").await, u64::from(DAYS / 150) + 2);
    let again = Backfilled { added: 0, skipped: 999, conflicts: expected.conflicts };
    assert_eq!(backfill(&store, entries).await, again);
    assert_eq!(total(&store).await, DAYS * A_DAY + 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_for_many_ids_has_its_turn_while_others_charge() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (fill(&place).await, Arc::new(place.store(Detail::Entries).await));
    let load = Load::begin(&[Arc::clone(&other)], &["a".to_owned()]);
    let (entries, expected) = mixed();
    assert_eq!(backfill(&store, entries).await, expected);
    let charged = load.end().await.remove("a").unwrap();
    ask_again(&other, "a", &charged).await;
    assert_eq!(total(&store).await, DAYS * A_DAY + 500 + u32::try_from(charged.len()).unwrap());
}
