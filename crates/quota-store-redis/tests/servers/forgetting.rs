//! Servers that forget scripts, servers that forget everything, and clients who leave nothing to forget.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{Credits, Detail, EntryId, Operation, OperationId, Refusal, Ttl};
use quota_servers::PrivateServer;
use quota_service::{ClientsQuery, Request, StoreError, UsageStore};
use quota_store_redis::RedisStore;
use redis::Value;

use crate::load::{Load, ask_again, charge_until_allowed};
use crate::requests::{
    PLENTY, agreed_usage, allowed, charge, charge_as, charge_one, credits, is_not_done, one, request, used,
};
use crate::servers::{Place, is_primary, keep_parts, private, private_cluster, tell, text_of, url_of};

#[tokio::test]
async fn a_script_that_was_flushed_is_sent_again_and_charges_once() {
    let Some((_server, place)) = private() else { return };
    for (name, detail) in [("entries", Detail::Entries), ("quarters", Detail::Quarters)] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        for number in 1..=10_u64 {
            assert_eq!(used(&charge_one(&store, name, &number.to_string()).await), credits(&number.to_string()));
            place.tell("SCRIPT FLUSH").await;
        }
        assert!(allowed(&charge_one(&store, name, "10").await), "a replay");
        assert_eq!(agreed_usage(&store, name).await, credits("10"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scripts_that_are_flushed_under_load_cost_nothing() {
    let Some((server, place)) = private() else { return };
    forgets_scripts(&server, &place, &names(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scripts_that_every_primary_of_a_cluster_flushes_under_load_cost_nothing() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    forgets_scripts(&server, &place, &names(ON_ALL_PRIMARIES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgot_everything_under_load_agrees_with_itself_afterwards() {
    let Some((server, place)) = private() else { return };
    let names = names(8);
    for detail in [Detail::Entries, Detail::Quarters] {
        let listed = forgets_everything(&server, &place, detail, &names).await;
        assert_eq!(listed, names, "who has an account is listed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn primaries_that_forgot_everything_under_load_agree_with_themselves_afterwards() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let names = names(ON_ALL_PRIMARIES);
    for detail in [Detail::Entries, Detail::Quarters] {
        let listed = forgets_everything(&server, &place, detail, &names).await;
        // A primary may forget the names of clients whose accounts stand on another, until a process reads those anew.
        assert!(listed.iter().all(|name| names.contains(name)), "{listed:?}");
        let store = place.store(detail).await;
        for name in &names {
            agreed_usage(&store, name).await;
        }
        assert_eq!(listed_by(&store).await, names);
    }
}

#[tokio::test]
async fn a_store_that_was_forgotten_is_made_again_as_it_was() {
    let Some((_server, place)) = private() else { return };
    let store = place.store(Detail::Entries).await;
    for name in ["before", "after"] {
        place.tell("FLUSHALL").await;
        assert!(!place.builder().is_made().await.unwrap());
        assert!(allowed(&charge_one(&store, name, "1").await));
        assert!(place.builder().is_made().await.unwrap());
        let other = place.builder().connect().await.unwrap();
        assert_eq!(other.detail(), Detail::Entries, "whoever does not say takes what is there");
        assert!(allowed(&charge_one(&other, name, "1").await), "a replay");
        assert_eq!(agreed_usage(&other, name).await, Credits::ONE);
    }
}

#[tokio::test]
async fn a_store_in_whose_place_another_was_made_takes_no_new_clients() {
    let Some((_server, place)) = private() else { return };
    let store = place.store(Detail::Entries).await;
    assert!(allowed(&charge_one(&store, "known", "1").await));
    place.tell("FLUSHALL").await;
    let other = place.store(Detail::Quarters).await;
    for name in ["known", "new"] {
        let assert_refused = async || {
            let answer = charge_one(&store, name, "2").await;
            assert!(is_not_done(&answer), "{answer:?}");
            assert!(format!("{answer:?}").contains("open this one again"), "{answer:?}");
        };
        assert_refused().await;
        assert!(allowed(&charge_one(&other, name, "1").await));
        // Now the client has an account again, in which this store would note entries that nobody counts.
        assert_refused().await;
        assert_eq!(agreed_usage(&other, name).await, Credits::ONE);
    }
}

#[tokio::test]
async fn who_was_never_charged_leaves_no_key() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        let made = keys_of(&place).await;
        let id = OperationId::new("i").unwrap();
        let hold = || Operation::Hold {
            credits: Credits::ONE,
            id: EntryId::Given(id.clone()),
            ttl: Ttl::DEFAULT,
            label: None,
            asker: None,
        };
        let settle = Operation::Settle { id: id.clone(), credits: Credits::ONE };
        let release = Operation::Release { id: id.clone(), at: None, asker: None };
        let of_a_stranger = [charge("1"), charge_as("i", "1"), hold(), settle, release, Operation::Status];
        let mut batch: Vec<Request> = of_a_stranger.map(|operation| request("stranger", operation, PLENTY)).into();
        batch.iter_mut().for_each(|request| request.plan.plan = None);
        for answer in store.apply(batch.clone()).await {
            assert!(matches!(answer, Err(StoreError::Refused(Refusal::UnknownClient))), "{answer:?}");
        }
        for request in batch {
            assert!(one(&store, request).await.is_err());
        }
        // New clients who are denied, and one who asks and no more.
        for operation in [charge("1"), charge_as("i", "1"), hold()] {
            assert!(!allowed(&one(&store, request("denied", operation, "0")).await));
        }
        assert_eq!(used(&one(&store, request("asked", Operation::Status, PLENTY)).await), Credits::ZERO);
        assert_eq!(keys_of(&place).await, made);
        assert!(listed_by(&store).await.is_empty());
        // It is seen if somebody leaves one.
        assert!(allowed(&one(&store, request("charged", charge("1"), PLENTY)).await));
        assert!(keys_of(&place).await.len() > made.len());
    }
}

/// Every key of this test.
async fn keys_of(place: &Place) -> BTreeSet<String> {
    let Value::Array(keys) = place.tell(&format!("KEYS {}", place.key("*"))).await else { panic!("no keys") };
    keys.iter().map(text_of).collect()
}

/// So many clients have accounts on each primary of a cluster.
const ON_ALL_PRIMARIES: usize = 12;

fn names(count: usize) -> Vec<String> {
    // In the order of their bytes.
    (0..count).map(|number| format!("client{number:02}")).collect()
}

/// Tells every server that is nobody's replica.
async fn tell_primaries(server: &PrivateServer, command: &str) {
    for node in server.nodes() {
        if is_primary(node).await {
            tell(&url_of(node), command).await.unwrap();
        }
    }
}

async fn open_two(place: &Place, detail: Detail) -> [Arc<RedisStore>; 2] {
    [Arc::new(place.store(detail).await), Arc::new(place.store(detail).await)]
}

async fn forgets_scripts(server: &PrivateServer, place: &Place, names: &[String]) {
    let stores = open_two(place, Detail::Entries).await;
    let load = Load::begin(&stores, names);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tell_primaries(server, "SCRIPT FLUSH").await;
    }
    for (name, ids) in load.end().await {
        ask_again(&stores[0], &name, &ids).await;
        assert_eq!(agreed_usage(&stores[1], &name).await, credits(&ids.len().to_string()));
    }
}

/// Servers lose all that they know, again and again, one after another. Gives the clients that are listed then.
async fn forgets_everything(server: &PrivateServer, place: &Place, detail: Detail, names: &[String]) -> Vec<String> {
    tell_primaries(server, "FLUSHALL").await;
    let stores = open_two(place, detail).await;
    let load = Load::begin(&stores, names);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tell_primaries(server, "FLUSHALL").await;
    }
    charge_until_allowed(&stores[0], names).await;
    for (name, ids) in &load.end().await {
        let used = agreed_usage(&stores[0], name).await;
        // Loss is loss: what was charged before is gone, and nothing else.
        assert!(used >= Credits::ONE && used <= credits(&(ids.len() + 1).to_string()), "{name}: {used}");
        assert_eq!(agreed_usage(&stores[1], name).await, used);
        // What is lost is charged with its id, and what is there is not.
        ask_again(&stores[0], name, ids).await;
        let used = agreed_usage(&stores[0], name).await;
        ask_again(&stores[1], name, ids).await;
        assert_eq!(agreed_usage(&stores[1], name).await, used, "{name}");
        assert!(used >= credits(&ids.len().to_string()));
    }
    listed_by(&stores[0]).await
}

async fn listed_by(store: &RedisStore) -> Vec<String> {
    let query = ClientsQuery { limit: 100, ..ClientsQuery::default() };
    store.clients(&query).await.unwrap().iter().map(ToString::to_string).collect()
}
