//! Servers that go and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{Operation, Window};
use quota_service::{EntriesQuery, UsageStore};

use crate::database::{Database, private};
use crate::requests::{allowed, charge, charge_as, client, one, request, used};

pub(crate) async fn a_server_that_was_killed_has_what_was_answered<D: Database>(_shared: &D) {
    let Some((mut server, database)) = private::<D>() else { return };
    let store = Arc::new(database.store().await);
    let ended = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
            tokio::spawn(async move {
                let (mut answered, mut number) = (Vec::new(), 0);
                while !ended.load(Ordering::Relaxed) {
                    let ids: Vec<String> = (0..5).map(|n| format!("{caller}-{number}-{n}")).collect();
                    number += 1;
                    let batch = ids.iter().map(|id| request("a", charge_as(id, "1"), "1000000"));
                    let answers = store.apply(batch.collect()).await;
                    answered
                        .extend(ids.into_iter().zip(answers).filter(|(_, answer)| answer.is_ok()).map(|(id, _)| id));
                }
                answered
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.restart().unwrap();
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    ended.store(true, Ordering::Relaxed);
    let mut answered = BTreeSet::new();
    for caller in callers {
        answered.extend(caller.await.unwrap());
    }
    assert!(answered.len() > 20, "{}", answered.len());
    let mut stored = BTreeSet::new();
    let mut after = None;
    loop {
        let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
        let page = store.entries(&client("a"), &query).await.unwrap();
        stored.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(answered.is_subset(&stored), "{} of {}", answered.difference(&stored).count(), answered.len());
    let status = one(&*store, request("a", Operation::Status, "1000000")).await;
    assert_eq!(used(&status), stored.len().to_string());
}

pub(crate) async fn connections_that_were_lost_are_replaced<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let store = database.store().await;
    let names: Vec<String> = (0..6).map(|number| format!("c{number}")).collect();
    for round in 1..4 {
        // Several connections at once, all of which are then lost while nobody uses them.
        charge_at_once(&store, &names).await;
        database.end_connections().await;
        let total = store.total(&client("c0"), Window::ALL).await.unwrap();
        assert_eq!(total.to_string(), round.to_string());
        database.end_connections().await;
    }
}

pub(crate) async fn connections_that_the_server_ends_when_idle_are_replaced<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let [ends, count] = D::IDLE;
    database.set(ends).await;
    let store = database.store().await;
    let names: Vec<String> = (0..6).map(|number| format!("c{number}")).collect();
    for round in 1..6 {
        // Several connections at once, and the first that is asked for something when they have ended is one of them.
        charge_at_once(&store, &names).await;
        while database.number(count).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        match round {
            1 => assert_eq!(store.total(&client("c0"), Window::ALL).await.unwrap().to_string(), "1"),
            2 => store.health().await.unwrap(),
            3 => assert_eq!(store.prune(crate::requests::noon()).await.unwrap().entries, 0),
            // The charges.
            _ => {}
        }
    }
}

/// Over several connections.
async fn charge_at_once(store: &impl UsageStore, names: &[String]) {
    let each = names.iter().map(|name| one(store, request(name, charge("1"), "100")));
    for answer in futures_util::future::join_all(each).await {
        assert!(allowed(&answer), "{answer:?}");
    }
}
