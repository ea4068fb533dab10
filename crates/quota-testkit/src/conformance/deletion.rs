//! Deletions of so many entries that a store may take their rows out step by step. The store is asked itself: a service
//! waits until the last of them is gone, and a process may be killed before that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use quota_core::{Answer, Decision, Instant, Operation, Plan, Unit, Window};
use quota_service::{EntriesQuery, Request, StoreError, UsageStore};
use tokio::sync::oneshot;

use super::batches::{charge_as, empty_plan, request, view};
use crate::{Harness, StoreFactory, Subject, at, credits, past_entry, per_day, quota, range, scale};

/// So many entries of one credit each; more than any store takes out at once.
const ENTRIES: u32 = 2_500;

const FIRST: &str = "2024-03-14T00:00:00Z";
const BETWEEN: Duration = Duration::from_secs(30);

fn nth(number: u32) -> Instant {
    at(FIRST).saturating_add(BETWEEN.saturating_mul(number))
}

/// A client with a day's usage, all of it but some at the beginning deleted as far as the store answers for; and how many
/// entries stay.
async fn deleted<F: StoreFactory>(harness: &Harness<F>) -> (Subject<F::Store>, u32) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10000"), quota(Unit::Month, 1, "10000")]).await;
    let entries: Vec<_> =
        (0..ENTRIES).map(|number| past_entry(&format!("old {number}"), nth(number), credits("1"))).collect();
    for page in entries.chunks(Operation::MAX_BACKFILL) {
        let done = client.service().backfill(client.client(), page.to_vec()).await.unwrap();
        assert_eq!(done.added.to_string(), page.len().to_string(), "{done:?}");
    }
    let from = if harness.keeps_entries().await { "2024-03-14T00:07:30Z" } else { "2024-03-14T00:15:00Z" };
    let stay = u32::try_from(at(from).since(at(FIRST)).as_secs()).unwrap() / 30;
    let range = range(from, "2024-03-14T21:00:00Z");
    let answers = applied(harness, vec![empty_plan(harness, "a", Operation::Delete { range })]).await;
    assert!(matches!(answers[..], [Ok(Answer::Deleted(count))] if count == u64::from(ENTRIES - stay)), "{answers:?}");
    (client, stay)
}

/// How long a store may keep saying that nothing was done, as where a deletion waits for another one and then does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answers to requests of one client. What a store says it has not done is asked again.
pub(super) async fn applied<F: StoreFactory>(
    harness: &Harness<F>,
    mut requests: Vec<Request>,
) -> Vec<Result<Answer, StoreError>> {
    let (store, began) = (harness.store().await, std::time::Instant::now());
    let mut answers = Vec::new();
    loop {
        let mut given = store.apply(requests.clone()).await;
        let not_done = given.iter().position(|answer| matches!(answer, Err(StoreError::NotDone { .. })));
        let Some(done) = not_done.filter(|_| began.elapsed() < PATIENCE) else {
            answers.extend(given);
            return answers;
        };
        answers.extend(given.drain(..done));
        requests.drain(..done);
    }
}

/// What is used this month, as it is told in every way.
async fn assert_used<F: StoreFactory>(harness: &Harness<F>, client: &Subject<F::Store>, used: u32, entries: u32) {
    assert_eq!(client.status().await.quotas().as_slice()[1].used().to_string(), used.to_string());
    assert_eq!(client.total().await, used.to_string());
    let days = client.days("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", "UTC").await;
    assert_eq!(days.iter().map(|(.., entries)| entries).sum::<u64>(), u64::from(entries), "{days:?}");
    // Days that begin within a quarter, and so are told by entries where they are kept.
    let days = client.days("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", "Asia/Kathmandu").await;
    assert_eq!(days.iter().map(|(.., entries)| entries).sum::<u64>(), u64::from(entries), "{days:?}");
    if harness.keeps_entries().await {
        assert_eq!(client.entries().await.len().to_string(), entries.to_string());
        let cut = client.total_in("2024-03-14T00:00:10Z", "2024-03-14T20:52:10Z").await;
        let late = client.total_in("2024-03-14T20:52:10Z", "2024-04-01T00:00:00Z").await;
        let sum: u32 = [cut, late].iter().map(|part| part.parse::<u32>().unwrap()).sum();
        assert_eq!(sum + 1, used, "but for the very first");
    }
}

pub async fn a_large_deletion_is_whole_at_once<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    assert_used(harness, &client, stay, stay).await;
    assert_eq!(client.charge("10000").await, "denied");
    assert_eq!(client.charge(&(10_000 - stay).to_string()).await, "allowed");
}

pub async fn ids_of_a_large_deletion_are_free_at_once<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    assert!(!client.void("old 2000").await);
    assert_eq!(client.charge_as("old 2000", "2").await, "allowed", "and not a replay of what is gone");
    assert_eq!(client.charge_as("old 2000", "2").await, "replayed");
    assert_eq!(client.hold("old 1999", "1", Duration::from_secs(60)).await, "allowed");
    assert_eq!(client.settle("old 1999", "3").await, "allowed");
    client.service().store().finish_deletion(client.client()).await.unwrap();
    assert_eq!(client.charge_as("old 2000", "2").await, "replayed", "what is new outlives what was left");
    assert_used(harness, &client, stay + 5, stay + 2).await;
}

pub async fn what_is_added_where_a_large_deletion_was_stays<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    let added = client
        .backfill(&[
            ("old 1500", "2024-03-14T12:30:00Z", "5"),
            ("new", "2024-03-14T12:30:00Z", "7"),
            ("old 100", "2024-03-14T00:50:00Z", "9"),
        ])
        .await;
    assert_eq!((added.added, added.skipped), (3, 0), "{added:?}");
    assert_used(harness, &client, stay + 21, stay + 3).await;
    client.service().store().finish_deletion(client.client()).await.unwrap();
    assert_used(harness, &client, stay + 21, stay + 3).await;
}

pub async fn a_large_deletion_can_be_followed_by_another<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    assert_eq!(client.charge("1").await, "allowed");
    let everything = empty_plan(harness, "a", Operation::Delete { range: Window::ALL });
    let again = applied(harness, vec![everything]).await;
    assert!(matches!(again[..], [Ok(Answer::Deleted(count))] if count == u64::from(stay + 1)), "{again:?}");
    assert_eq!(client.total().await, "0");
    assert_eq!(client.charge("10000").await, "allowed");
}

pub async fn a_batch_may_add_where_it_has_deleted_much<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    let again: Vec<_> =
        (0..ENTRIES).map(|number| past_entry(&format!("again {number}"), nth(number), credits("1"))).collect();
    for page in again.chunks(Operation::MAX_BACKFILL) {
        client.service().backfill(client.client(), page.to_vec()).await.unwrap();
    }
    let plan = Arc::new(Plan::new([per_day("10000")]).unwrap());
    // At the millisecond of the last entry that is deleted.
    let last = nth(ENTRIES - 1);
    let operations = [
        Operation::Delete { range: Window::ALL },
        charge_as("again 7", "4"),
        Operation::Backfill { entries: vec![past_entry("again 9", nth(9), credits("6"))], not_after: last },
        Operation::Delete { range: range(FIRST, "2024-03-14T00:15:00Z") },
    ];
    let requests = operations.map(|operation| request(harness, "a", operation, view(&plan))).to_vec();
    let requests = requests.into_iter().map(|request| Request { at: last, ..request }).collect();
    let answers = applied(harness, requests).await;
    let [Ok(Answer::Deleted(deleted)), Ok(Answer::Decision(charged)), Ok(Answer::Backfilled(added)), Ok(last)] =
        &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!((*deleted, added.added, last), (u64::from(ENTRIES + stay), 1, &Answer::Deleted(1)));
    assert!(charged.is_allowed(), "{charged:?}");
    client.service().store().finish_deletion(client.client()).await.unwrap();
    assert_eq!(client.total().await, "4");
}

pub async fn an_id_that_a_batch_has_deleted_is_charged_by_it<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    let again: Vec<_> =
        (0..ENTRIES).map(|number| past_entry(&format!("again {number}"), nth(number), credits("1"))).collect();
    for page in again.chunks(Operation::MAX_BACKFILL) {
        client.service().backfill(client.client(), page.to_vec()).await.unwrap();
    }
    // Noon of the day after, so not among the entries that are deleted.
    let requests = [
        empty_plan(harness, "a", Operation::Delete { range: Window::ALL }),
        empty_plan(harness, "a", charge_as("again 7", "4")),
    ];
    let answers = applied(harness, requests.to_vec()).await;
    let [Ok(Answer::Deleted(deleted)), Ok(Answer::Decision(charged))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(*deleted, u64::from(ENTRIES + stay));
    assert!(matches!(charged, Decision::Allowed(allowed) if !allowed.replayed()), "{charged:?}");
    assert_eq!(client.charge_as("again 7", "4").await, "replayed");
    client.service().store().finish_deletion(client.client()).await.unwrap();
    assert_eq!(client.charge_as("again 7", "4").await, "replayed");
    assert_eq!(client.total().await, "4");
}

pub async fn a_pruning_finishes_large_deletions<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    let store = harness.store().await;
    store.prune(at("2024-03-14T00:15:00Z")).await.unwrap();
    assert_eq!(client.total().await, stay.to_string());
    store.prune(at("2024-03-15T00:00:00Z")).await.unwrap();
    store.finish_deletion(client.client()).await.unwrap();
    assert_eq!(client.total().await, stay.to_string());
    assert_eq!(client.charge_as("old 2000", "2").await, "allowed");
    assert_eq!(client.total().await, (stay + 2).to_string());
}

pub async fn a_large_deletion_is_finished_by_many_while_charges_go_on<F: StoreFactory>(harness: &Harness<F>) {
    let (client, stay) = deleted(harness).await;
    let stores = join_all((0..3).map(|_| harness.store())).await;
    let finishing = join_all(stores.iter().map(|store| store.finish_deletion(client.client())));
    let charging = join_all((0..30).map(|number| {
        let client = client.clone();
        async move { client.charge_as(&format!("old {}", 2_000 + number), "1").await }
    }));
    let (finished, charged) = join(finishing, charging).await;
    for done in finished {
        done.unwrap();
    }
    assert!(charged.iter().all(|word| *word == "allowed"), "{charged:?}");
    assert_used(harness, &client, stay + 30, stay + 30).await;
}

pub async fn a_deletion_is_one_step_for_every_reader<F: StoreFactory>(harness: &Harness<F>) {
    let (client, reader) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("1000000")]).await;
    let count = scale(300, 5_000);
    let entry = |number: usize| past_entry(&number.to_string(), Harness::<F>::noon(), credits("1"));
    for _ in 0..scale(2, 20) {
        let done = client.service().backfill(client.client(), (0..count).map(entry).collect()).await.unwrap();
        assert_eq!(done.added, u64::try_from(count).unwrap());
        let whole = count.to_string();
        let (begun, begins) = oneshot::channel();
        let reading = {
            let reader = reader.clone();
            tokio::spawn(async move {
                reader.total().await;
                begun.send(()).unwrap();
                loop {
                    let (total, used) = (reader.total().await, reader.used().await);
                    for seen in [&total, &used] {
                        assert!(*seen == whole || seen == "0", "{seen} of {whole}");
                    }
                    if total == "0" {
                        assert_eq!(used, "0", "what was gone has come back");
                        return;
                    }
                }
            })
        };
        begins.await.unwrap();
        let deleted = client.service().delete_usage(client.client(), Window::ALL).await.unwrap();
        assert_eq!(deleted, u64::try_from(count).unwrap());
        reading.await.unwrap();
    }
}

/// A store may take out some of an instant.
pub async fn many_entries_of_one_instant_are_paged_and_deleted<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10000")]).await;
    let (count, instant) = (4_500_u32, at("2024-03-15T09:59:59.999Z"));
    let entries: Vec<_> = (0..count).map(|n| past_entry(&format!("old {n}"), instant, credits("1"))).collect();
    for page in entries.chunks(Operation::MAX_BACKFILL) {
        client.service().backfill(client.client(), page.to_vec()).await.unwrap();
    }
    assert_eq!(client.charge("1").await, "allowed");
    if harness.keeps_entries().await {
        assert_eq!(paged(&client).await, usize::try_from(count).unwrap() + 1);
    }
    let range = range("2024-03-15T09:45:00Z", "2024-03-15T11:00:00Z");
    let answers = applied(harness, vec![empty_plan(harness, "a", Operation::Delete { range })]).await;
    assert!(matches!(answers[..], [Ok(Answer::Deleted(gone))] if gone == u64::from(count)), "{answers:?}");
    assert_eq!(client.used().await, "1");
    // At the instant that is being taken out.
    let added = client.backfill(&[("old 7", "2024-03-15T09:59:59.999Z", "5")]).await;
    assert_eq!((added.added, added.skipped), (1, 0), "{added:?}");
    assert_eq!(client.total().await, "6");
    client.service().store().finish_deletion(client.client()).await.unwrap();
    assert_eq!((client.total().await, client.used().await), ("6".to_owned(), "6".to_owned()));
    assert_eq!(client.charge_as("old 4499", "1").await, "allowed", "its id is free");
    if harness.keeps_entries().await {
        assert_eq!(paged(&client).await, 3);
    }
}

/// How many entries pages of a thousand tell, each once.
async fn paged<S: UsageStore>(client: &Subject<S>) -> usize {
    let (mut seen, mut after) = (std::collections::HashSet::new(), None);
    loop {
        let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
        let page = client.service().entries(client.client(), query).await.unwrap();
        for entry in page.entries {
            assert!(seen.insert((entry.at, entry.id.clone())), "{entry:?} is told twice");
        }
        after = page.next;
        if after.is_none() {
            return seen.len();
        }
    }
}

/// Entries of many days, for a store may look into days one by one.
pub async fn a_page_of_entries_shows_a_deletion_whole<F: StoreFactory>(harness: &Harness<F>) {
    if !harness.keeps_entries().await {
        return;
    }
    let (client, reader) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("1000000")]).await;
    let (day, first) = (Duration::from_secs(24 * 60 * 60), at("2023-01-01T12:00:00Z"));
    let entry =
        |number: u32| past_entry(&number.to_string(), first.saturating_add(day.saturating_mul(number)), credits("1"));
    for _ in 0..scale(8, 40) {
        let done = client.service().backfill(client.client(), (0..400).map(entry).collect()).await.unwrap();
        assert_eq!(done.added, 400);
        let (begun, begins) = oneshot::channel();
        let reading = {
            let reader = reader.clone();
            tokio::spawn(async move {
                let query = EntriesQuery { range: Window::ALL, after: None, limit: 1_000 };
                reader.service().entries(reader.client(), query.clone()).await.unwrap();
                begun.send(()).unwrap();
                loop {
                    let page = reader.service().entries(reader.client(), query.clone()).await.unwrap();
                    assert!([0, 400].contains(&page.entries.len()), "{} of 400", page.entries.len());
                    if page.entries.is_empty() {
                        return;
                    }
                }
            })
        };
        begins.await.unwrap();
        assert_eq!(client.delete("2023-01-01T00:00:00Z", "2024-03-01T00:00:00Z").await, 400);
        reading.await.unwrap();
    }
}
