//! What was added stands before the account for a while, and goes to its keys with others.

use quota_core::{
    Anchor, Answer, Credits, Detail, EntryId, Instant, Limit, Operation, OperationId, PastEntry, Period, Plan, Quota,
    Ttl, Tz, Window,
};
use quota_service::{EntriesQuery, Request, UsageStore};
use redis::Value;

use crate::requests::{
    PLENTY, agreed_usage, allowed, at_quarter, charge, charge_as, charge_one, client, credits, made_of, one,
    put_in_place, request, used,
};
use crate::servers::{Place, calls, private, tell_words};

fn id(text: &str) -> OperationId {
    OperationId::new(text).unwrap()
}

/// A charge of a caller who gave no id, as a service asks for it.
fn made(number: usize) -> Operation {
    let id = EntryId::Made(id(&made_of(&format!("block {number}"), '0')));
    Operation::Charge { credits: Credits::ONE, id, label: None }
}

fn hold(name: &str) -> Operation {
    Operation::Hold { credits: Credits::ONE, id: EntryId::Given(id(name)), ttl: Ttl::DEFAULT, label: None, asker: None }
}

#[tokio::test]
async fn most_charges_put_a_short_text_before_the_account_and_need_no_script() {
    let Some((_server, place)) = private() else { return };
    for detail in [Detail::Quarters, Detail::Entries] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        assert!(allowed(&one(&store, request("a", made(0), PLENTY)).await));
        place.tell("CONFIG RESETSTAT").await;
        let mut most = (0, 0);
        for number in 1..=100 {
            assert!(allowed(&one(&store, request("a", made(number), PLENTY)).await));
            let texts = place.account("a").await;
            most = (most.0.max(texts.len()), most.1.max(texts.concat().len()));
        }
        let (without, with) = (calls(&place, "linsert").await, calls(&place, "evalsha").await);
        assert!(without >= 80 && without + with == 100, "{detail:?}: {without} without a script and {with} with it");
        assert!((5..=64).contains(&most.0) && most.1 <= 6_500, "{detail:?}: {most:?}");
        assert_eq!(agreed_usage(&place.store(detail).await, "a").await, credits("101"));
    }
}

/// Each is an account anew, and none of them a charge.
#[tokio::test]
async fn what_holds_leave_behind_is_bounded() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Quarters, Detail::Entries] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        for number in 0..60 {
            let name = format!("hold {number}");
            assert!(allowed(&one(&store, request("a", hold(&name), PLENTY)).await));
            let end = if number % 2 == 0 {
                Operation::Settle { id: id(&name), credits: Credits::ONE }
            } else {
                Operation::Release { id: id(&name), at: None, asker: None }
            };
            assert!(allowed(&one(&store, request("a", end, PLENTY)).await));
            let texts = place.account("a").await;
            assert!(texts.len() <= 64 && texts[1..].concat().len() <= 5_000, "{}", texts.len());
        }
        assert_eq!(agreed_usage(&place.store(detail).await, "a").await, credits("30"));
    }
}

/// What each process knows of the account is what the other has left there.
#[tokio::test]
async fn whoever_reads_an_account_reads_what_was_added_to_it_whatever_that_was() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Quarters, Detail::Entries] {
        let place = Place::at(place.url.clone());
        let stores = [place.store(detail).await, place.store(detail).await];
        let now = request("a", Operation::Status, PLENTY).at;
        let mut expected = 0;
        for number in 0..90_usize {
            let name = format!("id {number}");
            let (operation, adds) = match number % 9 {
                0 | 1 | 5 => (made(number), 1),
                2 => (charge_as(&name, "1"), 1),
                // Without an id.
                3 => (charge("1"), 1),
                4 => (hold(&name), 0),
                6 => (Operation::Settle { id: id(&format!("id {}", number - 2)), credits: credits("2") }, 2),
                7 => (Operation::Void { id: id(&made_of(&format!("block {}", number - 2), '0')), at: None }, -1),
                _ => {
                    let at = now.saturating_sub(std::time::Duration::from_secs(3_600));
                    let entry = PastEntry { id: id(&name), at, credits: Credits::ONE, label: None };
                    (Operation::Backfill { entries: vec![entry], not_after: Instant::MAX }, 1)
                }
            };
            let answer = one(&stores[number / 2 % 2], request("a", operation, PLENTY)).await;
            assert!(!matches!(answer, Ok(Answer::Voided(false)) | Err(_)), "{detail:?} {number}: {answer:?}");
            expected += adds;
            let fresh = place.store(detail).await;
            for store in [&stores[0], &stores[1], &fresh] {
                assert_eq!(agreed_usage(store, "a").await, credits(&expected.to_string()), "{detail:?} {number}");
            }
        }
        // Each id is found, wherever it stands by now.
        for number in (0..90).filter(|number| [0, 1, 2, 8].contains(&(number % 9))) {
            let name = if number % 9 < 2 { made_of(&format!("block {number}"), '0') } else { format!("id {number}") };
            assert!(allowed(&charge_one(&stores[0], "a", &name).await), "{name}");
        }
        assert_eq!(agreed_usage(&stores[1], "a").await, credits(&expected.to_string()), "all were replays");
    }
}

/// Whoever has written a head may put another before it without asking whether others have: then it is not found.
#[tokio::test]
async fn a_head_that_another_process_has_written_before_is_not_left_as_it_was() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Quarters, Detail::Entries] {
        let place = Place::at(place.url.clone());
        let (store, other) = (place.store(detail).await, place.store(detail).await);
        for number in 0..2 {
            assert!(allowed(&one(&store, request("a", made(2 * number), PLENTY)).await));
            let head = place.account("a").await.remove(0);
            assert!(allowed(&one(&other, request("a", made(2 * number + 1), PLENTY)).await));
            let command = ["LINSERT", &place.key("{a}:a"), "BEFORE", &head, "late"];
            assert_eq!(tell_words(&place.url, &command).await.unwrap(), Value::Int(-1), "{detail:?}");
        }
        // What is read is no head of one's own either, until it has written there.
        let reader = place.store(detail).await;
        assert_eq!(agreed_usage(&reader, "a").await, credits("4"));
        let head = place.account("a").await.remove(0);
        assert!(allowed(&one(&reader, request("a", made(9), PLENTY)).await));
        assert!(!place.account("a").await.contains(&head));
        assert!(allowed(&one(&other, request("a", made(10), PLENTY)).await));
        assert_eq!(agreed_usage(&store, "a").await, credits("6"));
    }
}

/// With quarters: nobody will look for them.
#[tokio::test]
async fn made_ids_of_long_ago_are_put_into_no_key() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    for (quarters, wanted) in [(0, 1), (4, 1), (8, 1)] {
        assert!(allowed(&one(&store, at_quarter(request("a", made(0), PLENTY), quarters)).await));
        let with_given = at_quarter(request("a", charge_as(&format!("given {quarters}"), "1"), PLENTY), quarters);
        assert!(allowed(&one(&store, with_given).await));
        put_in_place(&store, "a", quarters).await;
        let Value::Array(keys) = place.tell(&format!("KEYS {}", place.key("{a}:r:*"))).await else { panic!() };
        assert_eq!(keys.len(), wanted + usize::try_from(quarters / 4).unwrap(), "{quarters}");
    }
    let late = Place::at(place.url.clone());
    let store = late.store(Detail::Quarters).await;
    assert!(allowed(&one(&store, request("a", made(1), PLENTY)).await));
    put_in_place(&store, "a", 4).await;
    let left = late.tell(&format!("KEYS {}", late.key("{a}:r:*"))).await;
    assert!(matches!(&left, Value::Array(keys) if keys.is_empty()), "{left:?}");
    assert!(place_is_empty(&late).await, "nothing rides any more");
    assert_eq!(agreed_usage(&store, "a").await, Credits::ONE);
}

async fn place_is_empty(place: &Place) -> bool {
    place.account("a").await.len() == 1 && place.beside("a").await[7].is_empty()
}

#[tokio::test]
async fn pages_of_entries_have_those_in_keys_and_those_beside_the_account_in_order() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Entries).await, place.store(Detail::Entries).await);
    let at = |seconds: u64| {
        request("a", Operation::Status, PLENTY).at.saturating_add(std::time::Duration::from_secs(seconds))
    };
    let backfill = |number: u64| {
        let entry =
            PastEntry { id: id(&format!("id {number:02}")), at: at(number), credits: Credits::ONE, label: None };
        Operation::Backfill { entries: vec![entry], not_after: Instant::MAX }
    };
    // Every other one is in its key.
    for (numbers, is_put) in [((0..20).step_by(2), true), ((1..20).step_by(2), false)] {
        for number in numbers {
            one(&store, request("a", backfill(number), PLENTY)).await.unwrap();
        }
        if is_put {
            put_in_place(&store, "a", 0).await;
        }
    }
    assert!(place.account("a").await.len() > 3, "some stand before the account");
    for limit in [1, 3, 7, 20, 100] {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = other.entries(&client("a"), &EntriesQuery { range: Window::ALL, after, limit }).await.unwrap();
            assert!(page.entries.len() <= limit);
            found.extend(page.entries.iter().map(|entry| entry.at));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, (0..20).map(at).collect::<Vec<_>>(), "by {limit}");
    }
    // A range that cuts their quarter is summed by entry.
    let cut = Window::new(at(5), at(16)).unwrap();
    assert_eq!(other.total(&client("a"), cut).await.unwrap(), credits("11"));
}

/// What a status has looked up is kept and not written: what is added to the account is added to what others read.
#[tokio::test]
async fn a_quota_that_only_a_status_has_looked_at_is_written_with_the_next_charge() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    let later = |minutes: u64, request: Request| Request {
        at: request.at.saturating_add(std::time::Duration::from_secs(60 * minutes)),
        ..request
    };
    assert!(allowed(&one(&store, request("a", made(0), PLENTY)).await));
    // A plan with a minute, in which there is nothing yet, all within one quarter of an hour.
    let by_minute = |operation| {
        let mut request = request("a", operation, PLENTY);
        let anchor = Anchor::new(request.at, Tz::UTC);
        let quota = Quota::new(Period::MINUTE, Limit::Finite(credits("1")), anchor);
        request.plan.plan = Some(std::sync::Arc::new(Plan::new([quota]).unwrap()));
        later(5, request)
    };
    assert_eq!(used(&one(&store, by_minute(Operation::Status)).await), Credits::ZERO);
    assert!(allowed(&one(&store, by_minute(made(1))).await));
    let other = place.store(Detail::Quarters).await;
    assert_eq!(used(&one(&other, by_minute(Operation::Status)).await), Credits::ONE);
}

/// Of processes that remember ids for different times none forgets for the others, unless it adds ids itself.
#[tokio::test]
async fn who_reads_what_was_added_forgets_no_ids_that_others_remember() {
    let Some(place) = Place::shared() else { return };
    let day = std::time::Duration::from_secs(86_400);
    let remembers = place.builder().with_detail(Detail::Quarters).with_ids_for(7 * day).connect().await.unwrap();
    for (days, name) in [(0, "old"), (3, "new"), (3, "newer")] {
        let asked = at_quarter(request("a", charge_as(name, "1"), PLENTY), 96 * days);
        assert!(allowed(&one(&remembers, asked).await));
        if days == 0 {
            put_in_place(&remembers, "a", 0).await;
        }
    }
    // By default for a day: it takes something out, for which it writes all that it has read.
    let forgets = place.store(Detail::Quarters).await;
    put_in_place(&forgets, "a", 96 * 3).await;
    assert!(allowed(&one(&remembers, at_quarter(request("a", charge_as("old", "1"), PLENTY), 96 * 3)).await));
    assert_eq!(agreed_usage(&remembers, "a").await, credits("3"), "it was a replay");
}
