//! Commits that wait for replicas.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Credits, Detail, Window};
use quota_servers::Node;
use quota_service::UsageStore;
use quota_store_redis::RedisStore;
use redis::Value;

use crate::requests::{
    Answered, PLENTY, agreed_usage, allowed, charge_as, charge_one, client, credits, is_unknown, request,
    wait_for_total,
};
use crate::servers::{PATIENT, Place, is_primary, keep_parts, private_cluster, private_pair, shown, tell, url_of};

/// For replicas that will not come.
const BRIEF: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_commit_is_answered_when_a_replica_has_it() {
    let Some((_primary, place, replica)) = private_pair().await else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let waits = place.builder().with_detail(detail).with_wait(1, PATIENT).connect().await.unwrap();
        let (waits, beside) = (Arc::new(waits), place.store(detail).await);
        assert!(allowed(&charge_one(&waits, "a", "1").await));
        replica.pause();
        let asks = Arc::clone(&waits);
        let charging = tokio::spawn(async move { charge_one(&asks, "a", "2").await });
        // The primary has it, and answers whoever waits for nobody.
        wait_for_total(&beside, "a", "2").await;
        for id in ["1", "2", "3"] {
            assert!(allowed(&charge_one(&beside, "b", id).await));
        }
        assert!(!charging.is_finished(), "{detail:?}: no replica has it");
        replica.resume();
        assert!(allowed(&charging.await.unwrap()));
        let version = format!("LINDEX {} 0", place.key("{a}:a"));
        let theirs = tell(&url_of(&replica.nodes()[0]), &version).await.unwrap();
        assert_ne!(theirs, Value::Nil);
        assert_eq!(theirs, place.tell(&version).await, "{detail:?}");
    }
}

#[tokio::test]
async fn a_commit_that_too_few_replicas_have_is_written_and_found_by_its_id() {
    let Some((_primary, place, replica)) = private_pair().await else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let open = async |replicas, timeout| {
            let builder = place.builder().with_detail(detail).with_wait(replicas, timeout);
            builder.connect().await.unwrap()
        };
        let (hasty, waits, greedy) = (open(1, BRIEF).await, open(1, PATIENT).await, open(2, BRIEF).await);
        replica.pause();
        let answer = charge_one(&hasty, "a", "1").await;
        assert!(is_unknown(&answer), "{answer:?}");
        let said = shown(answer.as_ref().unwrap_err());
        assert!(said.contains("it is written, and on 0 replicas of the 1 wanted"), "{said}");
        assert_eq!(hasty.total(&client("a"), Window::ALL).await.unwrap(), Credits::ONE);
        replica.resume();
        assert!(allowed(&charge_one(&waits, "a", "1").await), "{detail:?}");
        assert!(allowed(&charge_one(&waits, "a", "2").await), "{detail:?}");
        let answer = charge_one(&greedy, "a", "3").await;
        assert!(is_unknown(&answer), "there is one replica: {answer:?}");
        assert_eq!(agreed_usage(&waits, "a").await, credits("3"), "{detail:?}");
    }
}

#[tokio::test]
async fn what_too_few_replicas_have_is_not_told_as_done_when_it_is_asked_again() {
    let Some((_primary, place, replica)) = private_pair().await else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let open = async |timeout| place.builder().with_detail(detail).with_wait(1, timeout).connect().await.unwrap();
        // With the account at hand, and without.
        let (hasty, other, waits) = (open(BRIEF).await, open(BRIEF).await, open(PATIENT).await);
        assert!(allowed(&charge_one(&waits, "a", "0").await));
        agreed_usage(&hasty, "a").await;
        replica.pause();
        for store in [&hasty, &hasty, &other, &other] {
            let answer = charge_one(store, "a", "1").await;
            assert!(is_unknown(&answer), "{detail:?}: {answer:?}");
        }
        replica.resume();
        assert!(allowed(&charge_one(&waits, "a", "1").await), "{detail:?}");
        for store in [&hasty, &other, &waits] {
            assert_eq!(agreed_usage(store, "a").await, credits("2"), "{detail:?}");
        }
    }
}

#[tokio::test]
async fn commits_of_a_cluster_wait_for_the_replicas_of_their_primaries() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    // On all three primaries.
    let names: Vec<String> = (0..12).map(|number| format!("client{number}")).collect();
    let open = async |timeout| {
        let builder = place.builder().with_detail(Detail::Entries).with_wait(1, timeout);
        builder.connect().await.unwrap()
    };
    let (hasty, waits) = (open(BRIEF).await, open(PATIENT).await);
    assert!(charge_all(&waits, &names, "1").await.iter().all(allowed));
    let replicas = replicas(server.nodes()).await;
    assert_eq!(replicas.len(), 3);
    replicas.iter().for_each(|node| node.pause());
    for answer in charge_all(&hasty, &names, "2").await {
        assert!(is_unknown(&answer), "{answer:?}");
        let said = shown(answer.as_ref().unwrap_err());
        assert!(said.contains("on 0 replicas of the 1 wanted"), "{said}");
    }
    replicas.iter().for_each(|node| node.resume());
    for id in ["2", "3"] {
        let answers = charge_all(&waits, &names, id).await;
        assert!(answers.iter().all(allowed), "{answers:?}");
    }
    for name in &names {
        assert_eq!(agreed_usage(&waits, name).await, credits("3"), "{name}");
    }
}

async fn charge_all(store: &RedisStore, names: &[String], id: &str) -> Vec<Answered> {
    store.apply(names.iter().map(|name| request(name, charge_as(id, "1"), PLENTY)).collect()).await
}

async fn replicas(nodes: &[Node]) -> Vec<&Node> {
    let mut replicas = Vec::new();
    for node in nodes {
        if !is_primary(node).await {
            replicas.push(node);
        }
    }
    replicas
}
