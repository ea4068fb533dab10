//! Stores that charge one client without a pause.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{Detail, Operation, Window};
use quota_service::UsageStore;
use quota_store_redis::RedisStore;

use crate::load::Load;
use crate::requests::{
    PLENTY, agreed_usage, allowed, at_quarter, charge, charge_as, charge_later, charge_one, client, credits,
    one as one_of, request, used,
};
use crate::servers::{Place, private, private_cluster, text_of};

const STORES: usize = 4;
const SHARE: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whose_turn_it_is_hears_so() {
    let Some((_server, place)) = private() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        // Who may do what the README names.
        let rights = format!("~{0}:* &{0}:turn:* +@all -@admin -@dangerous +info", place.prefix);
        place.tell(&format!("ACL SETUSER clerk reset on >secret {rights}")).await;
        let url = place.url.replace("redis://", "redis://clerk:secret@");
        contend(&Place { url, prefix: place.prefix.clone() }, detail).await;
        assert!(published(&place).await > 0, "nobody was told");
        assert_eq!(place.queue("a").await, "", "nobody waits any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whose_turn_it_is_on_a_cluster_hears_so() {
    let Some((server, place)) = private_cluster() else { return };
    contend(&place, Detail::Quarters).await;
    let told = |node: &quota_servers::Node| node.ask_redis("INFO commandstats").unwrap().contains("cmdstat_publish:");
    assert!(server.nodes().iter().any(told), "nobody was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_may_not_listen_or_tell_asks() {
    let Some((_server, place)) = private() else { return };
    for (user, rights) in
        [("deaf", "~* +@all -subscribe"), ("dumb", "~* &* +@all -publish"), ("alone", "~* resetchannels +@all")]
    {
        place.tell(&format!("ACL SETUSER {user} on >secret {rights}")).await;
        let url = place.url.replace("redis://", &format!("redis://{user}:secret@"));
        contend(&Place::at(url), Detail::Quarters).await;
    }
    assert_eq!(published(&place).await, 0);
}

/// All charge one client again and again, until each has had its share: no charge fails, and none is lost.
async fn contend(place: &Place, detail: Detail) {
    let mut stores = Vec::new();
    for _ in 0..STORES {
        stores.push(Arc::new(place.store(detail).await));
    }
    let callers = stores.iter().enumerate().map(|(number, store)| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for id in 0..SHARE {
                let answer = charge_one(&store, "a", &format!("{number}-{id}")).await;
                assert!(allowed(&answer), "{answer:?}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let expected = credits(&(STORES * SHARE).to_string());
    for store in &stores {
        assert_eq!(agreed_usage(store, "a").await, expected);
    }
}

/// Who stands in a queue and is gone, or has nothing more to do, is waited for in vain; others go on.
#[tokio::test]
async fn who_is_gone_keeps_nobody_out() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let (one, other) = (place.store(detail).await, place.store(detail).await);
        assert!(allowed(&charge_one(&one, "a", "1").await));
        // Some that are gone, something else that somebody wrote there, and a queue that is longer than any.
        for (number, queue) in
            ["gone0001", "gone0001gone0002gone0003", "1", "x", &"gone0004".repeat(999)].iter().enumerate()
        {
            place.set_queue("a", queue).await;
            for (name, store) in [("one", &one), ("other", &other), ("one again", &one)] {
                let answer = charge_one(store, "a", &format!("{number} {name}")).await;
                assert!(allowed(&answer), "{queue}: {answer:?}");
            }
        }
        assert_eq!(agreed_usage(&one, "a").await, credits("16"));
        assert_eq!(agreed_usage(&other, "a").await, credits("16"));
    }
}

/// So that its requests go apart from others', who would wait for its turn.
#[tokio::test]
async fn who_was_waited_for_is_said_to_be_held() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Entries).await;
    let batch = || ["a", "b"].map(|name| request(name, charge("1"), PLENTY)).into();
    assert!(store.apply(batch()).await.iter().all(allowed));
    assert!(!store.is_held(&client("a")));
    place.set_queue("a", "gone0001gone0002gone0003").await;
    assert!(store.apply(batch()).await.iter().all(allowed));
    assert!(store.is_held(&client("a")) && !store.is_held(&client("b")));
}

/// Also where its turn leaves it nothing to write.
#[tokio::test]
async fn who_is_denied_in_turn_makes_room() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        let (one, other) = (place.store(detail).await, place.store(detail).await);
        let charge_of = async |store: &RedisStore, cost: &str| one_of(store, request("a", charge(cost), "3")).await;
        assert!(allowed(&charge_of(&one, "1").await));
        assert!(allowed(&charge_of(&other, "2").await));
        place.set_queue("a", "gone0001").await;
        // By what it knows there is room.
        assert!(!allowed(&charge_of(&one, "1").await));
        assert_eq!(place.queue("a").await, "", "{detail:?}");
    }
}

/// Whoever takes many turns by batches of several clients does not keep those out who charge one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_of_several_clients_take_turns_too() {
    let Some(place) = Place::shared() else { return };
    let stores = [place.store(Detail::Entries).await, place.store(Detail::Entries).await].map(Arc::new);
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let load = Load::begin(&stores, &names);
    let alone = place.store(Detail::Entries).await;
    for id in 0..50 {
        assert!(allowed(&charge_one(&alone, "b", &format!("alone {id}")).await));
        // They cannot come again for one before they are done with all.
        assert!(!goes_on(&queue(&place).await));
    }
    let sent = load.end().await;
    for (name, ids) in &sent {
        let own = if name == "b" { 50 } else { 0 };
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert_eq!(agreed_usage(&alone, name).await, credits(&(ids.len() + own).to_string()), "{name}");
    }
}

/// So that who is next does not wait for long where it had no more to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_turn_that_goes_on_is_marked_so_until_it_ends() {
    let Some(place) = Place::shared() else { return };
    let stores = [place.store(Detail::Quarters).await, place.store(Detail::Quarters).await].map(Arc::new);
    let ended = Arc::new(AtomicBool::new(false));
    let callers = stores.iter().enumerate().map(|(number, store)| {
        let (store, ended) = (Arc::clone(store), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut sent: usize = 0;
            // Without a pause: a turn goes on for who comes again at once.
            while !ended.load(Ordering::Relaxed) {
                sent += 1;
                let answer = charge_one(&store, "a", &format!("{number}-{sent}")).await;
                assert!(allowed(&answer), "{answer:?}");
            }
            sent
        })
    });
    let callers: Vec<_> = callers.collect();
    let (mut marked, mut unmarked) = (false, false);
    let begun = std::time::Instant::now();
    while !(marked && unmarked) {
        assert!(begun.elapsed() < Duration::from_secs(30), "marked: {marked}, unmarked: {unmarked}");
        let queue = queue(&place).await;
        // The first alone.
        assert!(queue.chunks(8).skip(1).all(|standing| !goes_on(standing)), "{queue:?}");
        if !queue.is_empty() {
            (marked, unmarked) = (marked || goes_on(&queue), unmarked || !goes_on(&queue));
        }
    }
    ended.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for caller in callers {
        sent += caller.await.unwrap();
    }
    assert_eq!(agreed_usage(&stores[0], "a").await, credits(&sent.to_string()));
}

/// Who stands in the queue of `a`; nobody where there is none.
async fn queue(place: &Place) -> Vec<u8> {
    place.queue("a").await.into_bytes()
}

/// Whether the turn goes on of who stands first here.
fn goes_on(queue: &[u8]) -> bool {
    queue.get(7) == Some(&b'9')
}

async fn published(place: &Place) -> u64 {
    let stats = place.tell("INFO commandstats").await;
    let text = text_of(&stats).to_owned();
    let calls =
        text.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or_default()
}

/// Nor does one who goes on and on keep a pruning out, which needs several steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pruning_has_its_turns_beside_charges_without_a_pause() {
    let Some(place) = Place::shared() else { return };
    let (busy, prunes) = (Arc::new(place.store(Detail::Entries).await), place.store(Detail::Entries).await);
    let old: Vec<_> = (0..4_500).map(|id| request("a", charge_as(&format!("old {id}"), "1"), PLENTY)).collect();
    assert!(busy.apply(old).await.iter().all(allowed));
    let ended = Arc::new(AtomicBool::new(false));
    let charging = {
        let (busy, ended) = (Arc::clone(&busy), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut count = 0_usize;
            while !ended.load(Ordering::Relaxed) {
                assert!(allowed(&charge_later(&busy, "a", &format!("new {count}"), 4).await));
                count += 1;
            }
            count
        })
    };
    while used(&one_of(&prunes, request("a", Operation::Status, PLENTY)).await) == credits("4500") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = at_quarter(request("a", Operation::Status, PLENTY), 4).at;
    assert_eq!(prunes.prune(before).await.unwrap().entries, 4_500);
    ended.store(true, Ordering::Relaxed);
    let new = charging.await.unwrap();
    let total = prunes.total(&client("a"), Window::ALL).await.unwrap();
    assert_eq!(total, credits(&(4_500 + new).to_string()));
}
