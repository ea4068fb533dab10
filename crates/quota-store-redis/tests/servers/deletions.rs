//! Many entries of a day that are deleted or pruned: whole at once, and taken out in steps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, Credits, Detail, Instant, Operation, OperationId, PastEntry, Window};
use quota_service::{EntriesQuery, Pruned, StoreError, UsageStore};
use quota_store_redis::RedisStore;
use redis::Value;

use crate::load::Load;
use crate::requests::{
    PLENTY, agreed_usage, allowed, charge, charge_as, charge_one, client, credits, is_unknown, one, request,
};
use crate::servers::{Place, calls, private};

/// The day of all requests, and its number.
const DAY: &str = "2024-03-15T00:00:00Z";
const NUMBER: u32 = 19_797;

fn at(seconds: u64) -> Instant {
    DAY.parse::<Instant>().unwrap().saturating_add(Duration::from_secs(seconds))
}

/// So many entries of one credit, an instant each.
async fn fill(store: &RedisStore, count: u32, between: Duration) {
    let entry = |number: u32| PastEntry {
        id: OperationId::new(format!("id {number}")).unwrap(),
        at: at(0).saturating_add(between.saturating_mul(number)),
        credits: credits("1"),
        label: None,
    };
    let entries: Vec<PastEntry> = (0..count).map(entry).collect();
    for some in entries.chunks(Operation::MAX_BACKFILL) {
        let backfill = Operation::Backfill { entries: some.to_vec(), not_after: Instant::MAX };
        one(store, request("a", backfill, PLENTY)).await.unwrap();
    }
}

async fn delete(store: &RedisStore, from: u64, to: u64) -> u64 {
    let range = Window::new(at(from), at(to)).unwrap();
    match one(store, request("a", Operation::Delete { range }, PLENTY)).await {
        Ok(Answer::Deleted(count)) => count,
        other => panic!("{other:?}"),
    }
}

fn void(id: &str) -> Operation {
    Operation::Void { id: OperationId::new(id).unwrap(), at: None }
}

/// How many entries and ids stand in the day's keys, and whether there is a note of dead ones.
async fn stands(place: &Place) -> (i64, i64, bool) {
    let count = async |command: &str, kind: &str| match place
        .tell(&format!("{command} {}", place.key(&format!("{{a}}:{kind}:{NUMBER}"))))
        .await
    {
        Value::Int(count) => count,
        other => panic!("{other:?}"),
    };
    let has_note = !place.beside("a").await[6].is_empty();
    (count("ZCARD", "e").await, count("HLEN", "i").await, has_note)
}

#[tokio::test]
async fn few_entries_of_a_cut_day_go_with_the_deletion() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    fill(&store, 2_100, Duration::from_secs(10)).await;
    assert_eq!(delete(&store, 1_000, 21_000).await, 2_000);
    assert_eq!(stands(&place).await, (100, 100, false));
    assert_eq!(agreed_usage(&store, "a").await, credits("100"));
}

#[tokio::test]
async fn many_entries_of_a_cut_day_are_gone_at_once_and_go_in_steps() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, place.store(Detail::Entries).await);
    fill(&store, 7_000, Duration::from_secs(10)).await;
    assert_eq!(delete(&store, 1_000, 68_000).await, 6_700);
    assert_eq!(stands(&place).await, (7_000, 7_000, true), "they wait");
    // What reads leaves them where they are.
    assert_eq!(agreed_usage(&other, "a").await, credits("300"));
    let cut = Window::new(at(995), at(68_005)).unwrap();
    assert_eq!(other.total(&client("a"), cut).await.unwrap(), credits("1"), "but for the one at 68,000 seconds");
    assert_eq!(stands(&place).await, (7_000, 7_000, true));
    other.finish_deletion(&client("a")).await.unwrap();
    assert_eq!(stands(&place).await, (300, 300, false));
    assert_eq!(agreed_usage(&store, "a").await, credits("300"));
    store.finish_deletion(&client("a")).await.unwrap();
    store.finish_deletion(&client("nobody")).await.unwrap();
}

#[tokio::test]
async fn who_charges_takes_out_what_a_killed_process_has_left() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, place.store(Detail::Entries).await);
    fill(&store, 7_000, Duration::from_secs(10)).await;
    // This one knows the account, as it was before.
    assert!(allowed(&charge_one(&other, "a", "before").await));
    assert_eq!(delete(&store, 1_000, 68_000).await, 6_700 + 1);
    assert!(allowed(&one(&other, request("a", charge_as("id 3000", "2"), PLENTY)).await), "and no replay");
    assert_eq!(stands(&place).await, (300, 300, false), "what was charged since stands beside the account");
    assert!(allowed(&one(&store, request("a", charge_as("id 3000", "2"), PLENTY)).await), "a replay");
    assert_eq!(agreed_usage(&store, "a").await, credits("302"));
}

#[tokio::test]
async fn charges_after_what_is_deleted_go_on_beside_it() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, place.store(Detail::Entries).await);
    fill(&store, 7_000, Duration::from_secs(6)).await;
    // To the end of the day: noon is in it, and nothing stands there yet.
    assert_eq!(delete(&store, 1_002, 86_400).await, 6_833);
    assert!(allowed(&charge_one(&other, "a", "new").await));
    assert!(allowed(&one(&store, request("a", charge("1"), PLENTY)).await));
    assert_eq!(stands(&place).await, (7_002, 7_001, true), "they wait");
    assert!(matches!(one(&other, request("a", void("new"), PLENTY)).await, Ok(Answer::Voided(true))));
    assert_eq!(stands(&place).await, (7_001, 7_000, true));
    assert_eq!(agreed_usage(&other, "a").await, credits("168"));
    // Another note would not say of what it is one.
    assert_eq!(delete(&other, 0, 900).await, 150);
    assert_eq!(stands(&place).await, (18, 17, false));
    assert_eq!(agreed_usage(&store, "a").await, credits("18"));
}

#[tokio::test]
async fn a_replica_that_is_missing_keeps_nothing_dead_there() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    fill(&store, 7_000, Duration::from_secs(10)).await;
    assert_eq!(delete(&store, 1_000, 68_000).await, 6_700);
    let builder = place.builder().with_detail(Detail::Entries).with_wait(1, Duration::from_millis(50));
    let Ok(waits) = builder.connect().await else { panic!("it waits for replicas when it commits") };
    let answer = one(&waits, request("a", charge_as("id 3000", "2"), PLENTY)).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert_eq!(stands(&place).await, (300, 300, false));
    assert_eq!(agreed_usage(&store, "a").await, credits("302"), "what is told as written is");
}

#[tokio::test]
async fn what_is_damaged_among_the_dead_goes_with_them() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    fill(&store, 7_000, Duration::from_secs(10)).await;
    let day = place.key(&format!("{{a}}:e:{NUMBER}"));
    assert_eq!(place.tell(&format!("ZADD {day} 0 30000001damaged")).await, Value::Int(1));
    assert_eq!(delete(&store, 1_800, 68_400).await, 6_660);
    assert_eq!(store.prune(Instant::MIN).await.unwrap(), Pruned::default(), "those ids were free before");
    assert_eq!(stands(&place).await, (340, 340, false));
    assert_eq!(agreed_usage(&store, "a").await, credits("340"));
}

#[tokio::test]
async fn a_damaged_account_stops_no_pruning_of_others_and_is_told() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    for name in ["a", "b", "c"] {
        assert!(allowed(&charge_one(&store, name, "1").await));
    }
    place.set_head("b", "damaged").await;
    let pruned = store.prune(at(86_400)).await;
    assert!(matches!(pruned, Err(StoreError::Corrupt { .. })), "{pruned:?}");
    for (name, left) in [("a", 0), ("c", 0)] {
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 9 };
        assert_eq!(store.entries(&client(name), &query).await.unwrap().entries.len(), left, "{name}");
        assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), Credits::ONE, "its sums are left");
    }
}

#[tokio::test]
async fn a_quarter_of_many_entries_is_folded_at_once_and_goes_in_steps() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, place.store(Detail::Entries).await);
    fill(&store, 7_000, Duration::from_millis(100)).await;
    assert_eq!(store.prune(at(3_600)).await.unwrap(), Pruned { entries: 7_000, ids: 7_000 });
    assert_eq!(stands(&place).await, (0, 0, false));
    assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap(), credits("7000"), "they are in the sums");
    assert!(allowed(&charge_one(&other, "a", "id 3000").await), "and their ids are free");
    assert_eq!(store.prune(at(3_600)).await.unwrap(), Pruned::default());
}

#[tokio::test]
async fn a_busy_quarter_is_cut_in_pages() {
    let Some((_server, place)) = private() else { return };
    let store = place.store(Detail::Entries).await;
    fill(&store, 20_000, Duration::from_millis(45)).await;
    // From now on the account knows what of the year is used.
    assert!(allowed(&charge_one(&store, "a", "noon").await));
    place.tell("CONFIG RESETSTAT").await;
    assert_eq!(delete(&store, 0, 225).await, 5_000);
    // To count them, what is left of the year, and to take them from their quarter's sum.
    let pages = calls(&place, "zrangebylex").await;
    assert_eq!(pages, 1 + 2 + 1, "of 10,000 members");
    assert_eq!(agreed_usage(&store, "a").await, credits("15001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_much_for_a_deletion_has_its_turn_while_others_charge() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, Arc::new(place.store(Detail::Entries).await));
    fill(&store, 20_000, Duration::from_millis(45)).await;
    let (mut left, mut charged) = (20_000, BTreeSet::new());
    // Of one caller nobody stands in the queue while it is answered.
    for (callers, from) in [(1, 0), (2, 225)] {
        let load = Load::by(std::iter::repeat_n(&other, callers), &["a".to_owned()]);
        assert_eq!(delete(&store, from, from + 225).await, 5_000, "beside {callers}");
        left -= 5_000;
        charged.extend(load.end().await.remove("a").unwrap());
        let expected = left + charged.len();
        assert_eq!(agreed_usage(&store, "a").await, credits(&expected.to_string()));
    }
}
