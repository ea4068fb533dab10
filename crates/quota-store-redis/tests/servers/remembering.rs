//! Which ids of quarters are remembered, and what goes with the sums that are not.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use quota_core::{
    Answer, Credits, Decision, Detail, EntryId, GroupBy, Instant, Operation, OperationId, PastEntry, Refusal, Ttl, Tz,
    Window,
};
use quota_service::{DailyQuery, Receipt, Request, StoreError, UsageStore};
use quota_store_redis::RedisStore;
use redis::Value;

use crate::requests::{
    Answered, PLENTY, allowed, at_quarter, charge, charge_as, charge_later, charge_one, client, credits, made_of, one,
    put_in_place, request,
};
use crate::servers::{Place, text_of};

/// The day of all requests.
const TODAY: &str = "2024-03-15T00:00:00Z";
const DAY: Duration = Duration::from_secs(86_400);

fn id(text: &str) -> OperationId {
    OperationId::new(text).unwrap()
}

/// As a service makes them, the first of a block.
fn made_name(text: &str) -> String {
    made_of(text, '0')
}

fn made(text: &str) -> Request {
    request(
        "a",
        Operation::Charge { credits: Credits::ONE, id: EntryId::Made(id(&made_name(text))), label: None },
        PLENTY,
    )
}

fn replayed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => allowed.replayed(),
        other => panic!("{other:?}"),
    }
}

async fn backfill(store: &RedisStore, entries: Vec<PastEntry>) {
    backfill_later(store, entries, 0).await;
}

/// The same, so many quarters of an hour later.
async fn backfill_later(store: &RedisStore, entries: Vec<PastEntry>, quarters: u32) {
    let wanted = u64::try_from(entries.len()).unwrap();
    let backfill = Operation::Backfill { entries, not_after: Instant::MAX };
    match one(store, at_quarter(request("a", backfill, PLENTY), quarters)).await {
        Ok(Answer::Backfilled(backfilled)) => assert_eq!(backfilled.added, wanted),
        other => panic!("{other:?}"),
    }
}

/// Remembers so many ids, of entries of no credits.
async fn remember(store: &RedisStore, count: u32) {
    remember_later(store, 0..count, 0).await;
}

async fn remember_later(store: &RedisStore, numbers: Range<u32>, quarters: u32) {
    let entry = |number: u32| PastEntry {
        id: id(&format!("id {number}")),
        at: TODAY.parse().unwrap(),
        credits: Credits::ZERO,
        label: None,
    };
    for first in numbers.clone().step_by(10_000) {
        backfill_later(store, (first..numbers.end.min(first + 10_000)).map(entry).collect(), quarters).await;
    }
}

async fn total(store: &RedisStore) -> Credits {
    store.total(&client("a"), Window::ALL).await.unwrap()
}

#[tokio::test]
async fn an_id_that_was_made_for_who_gave_none_needs_no_room_and_keeps_what_it_promises() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    remember(&store, 99_990).await;
    let names: Vec<String> = (0..11).map(|number| format!("made {number}")).collect();
    for answer in store.apply(names.iter().map(|name| made(name)).collect()).await {
        assert!(allowed(&answer));
    }
    assert_eq!(total(&store).await, credits("11"));
    for name in &names {
        assert!(replayed(&charge_one(&store, "a", &made_name(name)).await), "{name}");
    }
    assert_eq!(total(&store).await, credits("11"));
}

/// So many charges under made ids, each a batch of its own whose answer is received, but for one.
async fn charge_but_lose(store: &RedisStore, count: u32, lost: Option<u32>) {
    for number in 0..count {
        let receipt = Receipt::new();
        let answers = store.apply_with_receipt(vec![made(&format!("made {number}"))], &receipt).await;
        assert!(allowed(&answers[0]));
        if lost != Some(number) {
            receipt.confirm();
        }
    }
}

#[tokio::test]
async fn an_id_that_was_made_is_remembered_where_its_answer_was_not_received() {
    let Some(place) = Place::shared() else { return };
    for lost in [None, Some(0), Some(7), Some(199)] {
        let store = place.store(Detail::Quarters).await;
        charge_but_lose(&store, 200, lost).await;
        // Also where it is read from the server, behind snapshots.
        for store in [store, place.store(Detail::Quarters).await] {
            let Some(lost) = lost else { continue };
            assert!(replayed(&charge_one(&store, "a", &made_name(&format!("made {lost}"))).await), "{lost}");
        }
        let store = place.store(Detail::Quarters).await;
        assert_eq!(total(&store).await, credits("200"));
        // Those of which nobody knows take no room: of 200 no more than stood beside the account lately.
        put_in_place(&store, "a", 0).await;
        let Value::Array(keys) = place.tell(&format!("KEYS {}", place.key("{a}:r:*"))).await else { panic!("no keys") };
        let mut kept = HashSet::new();
        for key in keys {
            let Value::Array(ids) = place.tell(&format!("HKEYS {}", text_of(&key))).await else { panic!("no ids") };
            kept.extend(ids.iter().map(text_of));
        }
        assert!(kept.len() < 80, "{} are kept", kept.len());
        let is_kept = |number: u32| kept.contains(&made_name(&format!("made {number}")));
        assert_eq!((is_kept(0), is_kept(7)), (lost == Some(0), lost == Some(7)));
        let everything = Operation::Delete { range: Window::ALL };
        assert!(matches!(one(&store, request("a", everything, PLENTY)).await, Ok(Answer::Deleted(_))));
    }
}

/// A charge under a made id of the block, by its last digit, so many quarters of an hour after noon.
fn made_in_block(last: char, quarters: u32) -> Request {
    let id = EntryId::Made(id(&made_of("block", last)));
    at_quarter(request("a", Operation::Charge { credits: Credits::ONE, id, label: None }, PLENTY), quarters)
}

/// So many charges of one batch, of one block.
async fn charge_block(store: &RedisStore, last: &str) {
    for answer in store.apply(last.chars().map(|last| made_in_block(last, 0)).collect()).await {
        assert!(allowed(&answer));
    }
}

#[tokio::test]
async fn made_ids_of_a_block_are_told_apart_by_whatever_batch_they_came() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    for last in ["31", "0F", "A5"] {
        charge_block(&store, last).await;
    }
    for last in "0135AF".chars() {
        assert!(replayed(&charge_one(&store, "a", &made_of("block", last)).await), "{last}");
    }
    let other_cost = request("a", charge_as(&made_of("block", 'F'), "2"), PLENTY);
    assert!(matches!(one(&store, other_cost).await, Err(StoreError::Refused(Refusal::IdConflict { .. }))));
    for last in "246E".chars() {
        assert!(!replayed(&charge_one(&store, "a", &made_of("block", last)).await), "{last}");
        assert!(replayed(&charge_one(&store, "a", &made_of("block", last)).await), "{last}");
    }
    assert_eq!(total(&store).await, credits("10"));
}

#[tokio::test]
async fn a_made_id_is_taken_out_of_its_block_alone() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    charge_block(&store, "013").await;
    for (gone, left) in [('0', "13"), ('3', "1"), ('1', "")] {
        let void = Operation::Void { id: id(&made_of("block", gone)), at: None };
        assert!(matches!(one(&store, request("a", void, PLENTY)).await, Ok(Answer::Voided(true))), "{gone}");
        for last in left.chars() {
            assert!(replayed(&charge_one(&store, "a", &made_of("block", last)).await), "{last} after {gone}");
        }
        assert_eq!(total(&store).await, credits(&left.len().to_string()));
    }
    let answer = charge_one(&store, "a", &made_of("block", '3')).await;
    assert!(!replayed(&answer), "its id is free again");
}

#[tokio::test]
async fn several_made_ids_of_a_block_are_taken_out_in_one_batch() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    charge_block(&store, "0123").await;
    let void = |last| request("a", Operation::Void { id: id(&made_of("block", last)), at: None }, PLENTY);
    let answers = store.apply(vec![void('0'), void('2'), void('0')]).await;
    for (answer, expected) in answers.iter().zip([true, true, false]) {
        assert!(matches!(answer, Ok(Answer::Voided(voided)) if *voided == expected), "{answer:?}");
    }
    for (last, is_there) in [('0', false), ('1', true), ('2', false), ('3', true)] {
        assert_eq!(replayed(&charge_one(&store, "a", &made_of("block", last)).await), is_there, "{last}");
    }
    // What is left of the block still goes by itself.
    let millis = place.tell(&format!("PTTL {}", place.key("{a}:r:2850840"))).await;
    assert!(matches!(millis, Value::Int(left) if left > 0), "{millis:?}");
}

#[tokio::test]
async fn made_ids_of_a_block_are_found_in_the_ten_minutes_before_too() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    charge_block(&store, "03").await;
    // A quarter of an hour later stands in another key.
    assert!(allowed(&one(&store, made_in_block('1', 1)).await));
    for last in "013".chars() {
        assert!(replayed(&charge_later(&store, "a", &made_of("block", last), 1).await), "{last}");
    }
    assert_eq!(total(&store).await, credits("3"));
}

#[tokio::test]
async fn an_id_that_looks_made_and_was_given_is_remembered_as_given_ones_are() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    assert!(allowed(&charge_one(&store, "a", &made_of("block", '5')).await));
    let at = made_in_block('0', 0).at;
    backfill(&store, vec![PastEntry { id: id(&made_of("block", '6')), at, credits: Credits::ONE, label: None }]).await;
    let (held, ttl) = (EntryId::Made(id(&made_of("block", '7'))), Ttl::DEFAULT);
    let hold = Operation::Hold { credits: Credits::ONE, id: held, ttl, label: None, asker: None };
    let settle = Operation::Settle { id: id(&made_of("block", '7')), credits: Credits::ONE };
    for operation in [hold, settle] {
        assert!(allowed(&one(&store, request("a", operation, PLENTY)).await));
    }
    for last in "567".chars() {
        assert!(replayed(&charge_later(&store, "a", &made_of("block", last), 95).await), "{last}");
    }
    assert_eq!(total(&store).await, credits("3"));
}

#[tokio::test]
async fn a_made_id_and_its_retry_in_one_batch_are_charged_once() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    let retry = request("a", charge_as(&made_of("block", '3'), "1"), PLENTY);
    let answers = store.apply(vec![made_in_block('1', 0), made_in_block('3', 0), retry]).await;
    assert!(allowed(&answers[0]) && allowed(&answers[1]) && replayed(&answers[2]));
    for last in "13".chars() {
        assert!(replayed(&charge_one(&store, "a", &made_of("block", last)).await), "{last}");
    }
    assert_eq!(total(&store).await, credits("2"));
}

#[tokio::test]
async fn a_deletion_frees_the_made_ids_of_its_range_alone() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    // One batch, of which the last two are a quarter of an hour later.
    let answers = store
        .apply(vec![made_in_block('0', 0), made_in_block('1', 0), made_in_block('2', 1), made_in_block('3', 1)])
        .await;
    assert!(answers.iter().all(allowed));
    let range = Window::new(made_in_block('0', 0).at, made_in_block('2', 1).at).unwrap();
    let delete = at_quarter(request("a", Operation::Delete { range }, PLENTY), 1);
    assert!(one(&store, delete).await.is_ok());
    for (last, is_there) in [('0', false), ('1', false), ('2', true), ('3', true)] {
        let again = at_quarter(request("a", charge_as(&made_of("block", last), "1"), PLENTY), 1);
        assert_eq!(replayed(&one(&store, again).await), is_there, "{last}");
    }
    assert_eq!(total(&store).await, credits("4"));
}

#[tokio::test]
async fn who_gave_no_id_is_charged_where_another_process_has_used_all_the_room() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Quarters).await, place.store(Detail::Quarters).await);
    assert!(allowed(&one(&store, request("a", charge("1"), PLENTY)).await));
    remember(&other, 100_000).await;
    assert!(allowed(&one(&store, made("made")).await));
    assert!(charge_one(&other, "a", "given").await.is_err(), "there is no room");
    assert_eq!(total(&store).await, credits("2"));
}

#[tokio::test]
async fn ids_take_room_for_as_long_as_they_are_remembered_and_an_hour() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    // Half past midnight, and 23 hours after the next midnight.
    for (numbers, quarters) in [(0..60_000, 50), (60_000..120_000, 236)] {
        remember_later(&store, numbers, quarters).await;
    }
    let place = Place::at(place.url.clone());
    let builder = place.builder().with_detail(Detail::Quarters).with_ids_for(DAY / 24);
    let store = builder.connect().await.unwrap();
    // At noon and, the same day, two and two and a half hours later.
    for (numbers, quarters) in [(0..60_000, 0), (60_000..120_000, 8), (120_000..160_000, 10)] {
        remember_later(&store, numbers, quarters).await;
    }
    assert!(charge_later(&store, "a", "given", 11).await.is_err(), "there is no room");
    assert!(allowed(&charge_later(&store, "a", "given", 16).await));
}

#[tokio::test]
async fn ids_of_which_an_account_counts_only_the_day_are_found() {
    let Some(place) = Place::shared() else { return };
    assert!(allowed(&charge_one(&place.store(Detail::Quarters).await, "a", "early").await));
    put_in_place(&place.store(Detail::Quarters).await, "a", 0).await;
    let head = place.account("a").await.remove(0);
    assert!(head.contains("\u{4}19797 12:1\u{4}"), "{head:?}");
    place.set_head("a", &head.replace("19797 12:1", "19797:1")).await;
    assert!(allowed(&charge_one(&place.store(Detail::Quarters).await, "a", "late").await));
    let store = place.store(Detail::Quarters).await;
    for id in ["early", "late"] {
        assert!(replayed(&charge_later(&store, "a", id, 95).await), "{id}");
    }
    assert_eq!(total(&store).await, credits("2"));
}

/// As one log has them that is read again.
#[tokio::test]
async fn a_retry_finds_what_it_asked_for_beside_one_of_days_later() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    for (name, later, quarters) in [("a", "given", 192), ("b", "given", 2)] {
        assert!(allowed(&charge_one(&store, name, "e1").await));
        let retry = request(name, charge_as("e1", "1"), PLENTY);
        let answers =
            store.apply(vec![retry, at_quarter(request(name, charge_as(later, "1"), PLENTY), quarters)]).await;
        assert!(replayed(&answers[0]) && allowed(&answers[1]), "{name}");
        assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits("2"), "{name}");
    }
    // One that was made for who gave none.
    assert!(allowed(&one(&store, Request { client: client("c"), ..made("e1") }).await));
    let later = at_quarter(request("c", charge("1"), PLENTY), 2);
    let answers = store.apply(vec![request("c", charge_as(&made_name("e1"), "1"), PLENTY), later]).await;
    assert!(replayed(&answers[0]) && allowed(&answers[1]));
    assert_eq!(store.total(&client("c"), Window::ALL).await.unwrap(), credits("2"));
}

#[tokio::test]
async fn an_id_is_remembered_for_as_long_as_was_chosen() {
    let Some(place) = Place::shared() else { return };
    for (ids_for, quarters) in [(DAY / 24, 4), (3 * DAY, 3 * 96)] {
        let place = Place::at(place.url.clone());
        let store = place.builder().with_detail(Detail::Quarters).with_ids_for(ids_for).connect().await.unwrap();
        assert!(allowed(&charge_one(&store, "a", "e1").await));
        let mut retry = at_quarter(request("a", charge_as("e1", "1"), PLENTY), quarters);
        let end = retry.at;
        retry.at = end.saturating_sub(Duration::from_millis(1));
        assert!(replayed(&one(&store, retry.clone()).await), "{ids_for:?}");
        retry.at = end;
        let again = one(&store, retry).await;
        assert!(allowed(&again) && !replayed(&again), "{ids_for:?}");
        assert_eq!(total(&store).await, credits("2"));
    }
}

/// An id is remembered by when it was written, and a sum is kept by what it is of.
#[tokio::test]
async fn an_entry_whose_sums_are_gone_is_voided_without_sums() {
    let Some(place) = Place::shared() else { return };
    let store = place.builder().with_detail(Detail::Quarters).with_retention(35 * DAY).connect().await.unwrap();
    let now: Instant = TODAY.parse().unwrap();
    let entry = |name: &str, cost: &str| PastEntry {
        id: id(name),
        at: now.saturating_sub(100 * DAY),
        credits: credits(cost),
        label: None,
    };
    let void = |name: &str| request("a", Operation::Void { id: id(name), at: None }, PLENTY);
    backfill(&store, vec![entry("early", "3")]).await;
    one(&store, void("early")).await.unwrap();
    assert_eq!(total(&store).await, Credits::ZERO, "where they are there still, it is taken out");
    backfill(&store, vec![entry("b1", "7")]).await;
    store.prune(now).await.unwrap();
    one(&store, void("b1")).await.unwrap();
    backfill(&store, vec![entry("b2", "5")]).await;
    assert_eq!(total(&store).await, credits("5"));
    let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
    let days = store.daily(&client("a"), &query).await.unwrap();
    assert_eq!(days.iter().map(|day| day.credits).collect::<Vec<_>>(), [credits("5")]);
    let left = place.tell(&format!("PTTL {}", place.key("{a}:s:19697"))).await;
    assert_ne!(left, Value::Int(-1), "a key that is kept for ever");
}

/// An id that is remembered no longer is used anew at one process, and asked for again at another, which knows where it stood before.
#[tokio::test]
async fn an_id_that_was_used_anew_is_found_by_who_has_not_seen_it() {
    let Some(shared) = Place::shared() else { return };
    for is_in_place in [false, true] {
        let place = Place::at(shared.url.clone());
        let connect =
            async || place.builder().with_detail(Detail::Quarters).with_ids_for(DAY / 24).connect().await.unwrap();
        let (ours, other) = (connect().await, connect().await);
        assert!(!replayed(&charge_later(&ours, "a", "nightly", 0).await));
        put_in_place(&ours, "a", 0).await;
        assert!(!replayed(&charge_later(&ours, "a", "plain", 6).await));
        assert!(!replayed(&charge_later(&other, "a", "nightly", 6).await), "it is forgotten");
        if is_in_place {
            put_in_place(&other, "a", 6).await;
        }
        for store in [&ours, &other, &ours] {
            assert!(replayed(&charge_later(store, "a", "nightly", 6).await), "{is_in_place}");
        }
        assert_eq!(total(&connect().await).await, credits("3"));
    }
}
