//! Servers that go, hang, and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{Operation, Window};
use quota_service::{EntriesQuery, StoreError, UsageStore};

use crate::collections::run_alone;
use crate::requests::{allowed, charge, charge_as, client, one, request, used};

#[test]
fn a_server_that_was_killed_has_what_was_answered() {
    run_alone(async |server, collections| {
        let store = Arc::new(collections.store().await);
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
                        let known = ids.into_iter().zip(answers).filter(|(_, answer)| answer.is_ok());
                        answered.extend(known.map(|(id, _)| id));
                    }
                    answered
                })
            })
            .collect();
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart().unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        ended.store(true, Ordering::Relaxed);
        let mut answered = BTreeSet::new();
        for caller in callers {
            answered.extend(caller.await.unwrap());
        }
        assert!(!answered.is_empty());
        let other = collections.store().await;
        let (mut stored, mut after) = (Vec::new(), None);
        loop {
            let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
            let page = other.entries(&client("a"), &query).await.unwrap();
            stored.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let apart: BTreeSet<String> = stored.iter().cloned().collect();
        assert_eq!(apart.len(), stored.len(), "each once");
        assert!(answered.is_subset(&apart), "{} of {}", answered.difference(&apart).count(), answered.len());
        let status = one(&other, request("a", Operation::Status, "1000000")).await;
        assert_eq!(used(&status), stored.len().to_string());
        let total = other.total(&client("a"), Window::ALL).await.unwrap();
        assert_eq!(total.to_string(), stored.len().to_string());
    });
}

/// The driver gives a server up that hangs, and says that its pool was cleared: also of a commit that was sent before, which
/// the server does when it goes on.
#[test]
fn a_charge_that_a_hanging_server_may_have_done_is_not_told_as_not_done() {
    run_alone(async |server, collections| {
        let url = collections.url_with("heartbeatFrequencyMS=500&connectTimeoutMS=500&serverSelectionTimeoutMS=1500");
        let store = collections.builder(&url).connect().await.unwrap();
        assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
        server.pause();
        let answer = one(&store, request("a", charge("1"), "10")).await;
        server.resume();
        // What was sent may be done only now.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let other = collections.store().await;
        let used = used(&one(&other, request("a", Operation::Status, "10")).await);
        match answer {
            Err(StoreError::Unknown { .. }) => assert!(["1", "2"].contains(&used.as_str()), "{used}"),
            // Where this machine was so busy that the driver had given the server up before.
            Err(StoreError::NotDone { source: Some(source), .. }) => {
                assert!(!source.to_string().contains("interrupted"), "{source}");
                assert_eq!(used, "1");
            }
            other => panic!("{other:?}"),
        }
    });
}
