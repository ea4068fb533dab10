//! Servers that refuse every write.

use std::path::PathBuf;
use std::time::Duration;

use quota_core::{Credits, Detail, GroupBy, Operation, Tz, Window};
use quota_servers::PrivateServer;
use quota_service::{ClientsQuery, DailyQuery, PlanStore, StoreError, UsageStore};
use quota_store_redis::ConnectError;

use crate::requests::{
    Answered, PLENTY, agreed_usage, allowed, charge, charge_as, charge_one, client, credits, is_not_done, is_unknown,
    one, request, used,
};
use crate::servers::{Place, private, private_cluster, private_pair, shown, tell, tell_words, text_of};

#[tokio::test]
async fn a_full_memory_refuses_commits_whole_and_takes_them_again_when_there_is_room() {
    refuses_whole(Why::Memory).await;
}

#[tokio::test]
async fn a_server_that_cannot_save_refuses_commits_whole_and_takes_them_again_when_it_can() {
    refuses_whole(Why::Snapshots).await;
}

/// What it says of the past is no answer.
#[tokio::test]
async fn a_server_that_becomes_a_replica_answers_nothing_of_a_client() {
    let Some((primary, place, replica)) = private_pair().await else { return };
    let store = place.store(Detail::Entries).await;
    let denied = async |name: &str| one(&store, request(name, charge("1"), "1")).await;
    assert!(allowed(&denied("client").await));
    assert!(!allowed(&denied("client").await));
    let follow = format!("REPLICAOF 127.0.0.1 {}", replica.nodes()[0].port());
    tell(replica.url(), "REPLICAOF NO ONE").await.unwrap();
    tell(primary.url(), &follow).await.unwrap();
    let status = || request("client", Operation::Status, "1");
    for name in ["client", "another"] {
        // The second time on a connection of its own.
        for _ in 0..2 {
            let answer = denied(name).await;
            assert!(is_not_done(&answer), "{answer:?}");
        }
    }
    let answer = one(&store, status()).await;
    assert!(is_not_done(&answer), "{answer:?}");
    let (name, query) = (client("client"), ClientsQuery { prefix: String::new(), after: None, limit: 10 });
    let days = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
    assert!(matches!(store.total(&name, Window::ALL).await, Err(StoreError::NotDone { .. })));
    assert!(matches!(store.daily(&name, &days).await, Err(StoreError::NotDone { .. })));
    assert!(matches!(store.clients(&query).await, Err(StoreError::NotDone { .. })));
    assert!(matches!(store.stored_plan(&name).await, Err(StoreError::NotDone { .. })));
    tell(primary.url(), "REPLICAOF NO ONE").await.unwrap();
    assert!(!allowed(&denied("client").await));
    assert_eq!(used(&one(&store, status()).await), Credits::ONE);
}

/// Why a server refuses every write.
#[derive(Clone, Copy)]
enum Why {
    /// Its memory is full.
    Memory,
    /// Its snapshots fail, as on a full disk.
    Snapshots,
}

impl Why {
    /// What its refusals begin with.
    const fn code(self) -> &'static str {
        match self {
            Self::Memory => "OOM",
            Self::Snapshots => "MISCONF",
        }
    }

    async fn begin(self, server: &PrivateServer, place: &Place) {
        match self {
            Self::Memory => drop(place.tell("CONFIG SET maxmemory 1").await),
            Self::Snapshots => {
                // It gives a snapshot its name when it is whole, and no file takes the name of a folder.
                std::fs::create_dir(snapshot(server)).unwrap();
                save(place, "err").await;
            }
        }
    }

    async fn end(self, server: &PrivateServer, place: &Place) {
        match self {
            Self::Memory => drop(place.tell("CONFIG SET maxmemory 0").await),
            Self::Snapshots => {
                std::fs::remove_dir(snapshot(server)).unwrap();
                save(place, "ok").await;
                std::fs::remove_file(snapshot(server)).unwrap();
            }
        }
    }
}

fn snapshot(server: &PrivateServer) -> PathBuf {
    server.nodes()[0].folder().join("dump.rdb")
}

/// Lets it save, until it says that this ended so.
async fn save(place: &Place, ended: &str) {
    // Where snapshots are not asked for, nobody minds that they fail.
    tell_words(&place.url, &["CONFIG", "SET", "save", "900 1"]).await.unwrap();
    place.tell("BGSAVE SCHEDULE").await;
    let wanted = ["rdb_bgsave_in_progress:0".to_owned(), format!("rdb_last_bgsave_status:{ended}")];
    loop {
        let info = text_of(&place.tell("INFO persistence").await);
        if wanted.iter().all(|line| info.contains(line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn refuses_whole(why: Why) {
    let Some((server, place)) = private() else { return };
    for (known, new, detail, waits) in
        [("a", "b", Detail::Entries, 0), ("c", "d", Detail::Quarters, 0), ("e", "f", Detail::Quarters, 1)]
    {
        let place = Place::at(place.url.clone());
        // Replicas that are waited for are not there: what is written is not known to be safe.
        let builder = place.builder().with_detail(detail).with_wait(waits, Duration::from_millis(1));
        let store = builder.connect().await.unwrap();
        let charged = |answer: &Answered| if waits > 0 { is_unknown(answer) } else { allowed(answer) };
        assert!(charged(&charge_one(&store, known, "1").await));
        why.begin(&server, &place).await;
        // A client with an account, one without, and several charges of one client.
        for names in [vec![known], vec![new], vec![known, known, new, new]] {
            let batch: Vec<_> = names.iter().map(|name| request(name, charge_as("2", "1"), PLENTY)).collect();
            for answer in store.apply(batch).await {
                assert!(is_not_done(&answer), "{answer:?}");
                let text = shown(answer.as_ref().unwrap_err());
                assert!(text.contains(why.code()) && text.contains("the server refused the command"), "{text}");
            }
        }
        assert!(is_not_done(&one(&store, request(known, charge("1"), PLENTY)).await));
        assert!(store.health().await.is_err(), "it cannot charge");
        let error = Place::at(place.url.clone()).refused().await;
        assert!(matches!(error, ConnectError::Server(_)), "{error:?}");
        assert!(shown(&error).contains(why.code()), "{}", shown(&error));
        // It tells what it knows all the same, and denies.
        assert_eq!(used(&one(&store, request(known, Operation::Status, PLENTY)).await), Credits::ONE);
        assert!(!allowed(&one(&store, request(known, charge("3"), "3")).await));
        why.end(&server, &place).await;
        for name in [known, new] {
            assert!(charged(&charge_one(&store, name, "2").await), "the id was not used");
        }
        assert_eq!(agreed_usage(&store, known).await, credits("2"));
        assert_eq!(agreed_usage(&store, new).await, Credits::ONE);
        store.health().await.unwrap();
    }
}

/// A primary of a cluster that takes no writes is no health, whichever it is.
#[tokio::test]
async fn health_is_that_of_every_primary() {
    let Some((server, place)) = private_cluster() else { return };
    let store = place.store(Detail::Quarters).await;
    store.health().await.unwrap();
    let primaries: Vec<_> = server
        .nodes()
        .iter()
        .filter(|node| node.ask_redis("INFO replication").unwrap().contains("role:master"))
        .collect();
    assert_eq!(primaries.len(), 3);
    for primary in primaries {
        primary.ask_redis("CONFIG SET maxmemory 1").unwrap();
        let error = store.health().await.unwrap_err();
        assert!(shown(&error).contains("OOM"), "{}", shown(&error));
        primary.ask_redis("CONFIG SET maxmemory 0").unwrap();
        store.health().await.unwrap();
    }
}
