//! Servers that cannot write.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use quota_core::{Answer, Instant, Operation, OperationId, PastEntry, Window};
use quota_servers::{Node, Server};
use quota_service::UsageStore;
use quota_store_diesel::ConnectError;

use crate::database::{Database, private};
use crate::requests::{allowed, charge, charge_as, client, credits, is_not_done, noon, one, request, used};

/// As many entries in a backfill.
const ENTRIES: u32 = 5_000;

/// What a file of the server may be at most: more than a segment of PostgreSQL's log, so that only tables meet it.
const SMALL: &str = "33554432";

/// Lets no file of a process, and of those that it starts from now on, become greater: what a server sees of a full disk.
fn limit_files(node: &Node, bytes: &str) {
    let pid = node.pid().unwrap().to_string();
    let process = std::fs::metadata(format!("/proc/{pid}")).unwrap();
    // By the server's own user, who may do it without a capability.
    let done = Command::new("prlimit")
        .uid(process.uid())
        .gid(process.gid())
        .args(["--pid", &pid, &format!("--fsize={bytes}:")])
        .status()
        .unwrap();
    assert!(done.success(), "{done}");
}

/// Entries that take some room.
fn backfill(round: u32) -> Operation {
    let entry = |number| {
        let id = OperationId::new(format!("{round:0>120} {number:0>120}")).unwrap();
        PastEntry { id, at: noon(), credits: credits("1"), label: None }
    };
    Operation::Backfill { entries: (0..ENTRIES).map(entry).collect(), not_after: Instant::MAX }
}

pub(crate) async fn a_full_disk_does_nothing_by_halves<D: Database>(_shared: &D) {
    let Some((mut server, database)) = private::<D>() else { return };
    drop(database.store().await);
    limit_files(&server.nodes()[0], SMALL);
    let store = database.store().await;
    let mut rounds = 0;
    let refused = loop {
        match one(&store, request("a", backfill(rounds), "1000000000")).await {
            Ok(Answer::Backfilled(done)) if rounds < 50 => assert_eq!(done.added, u64::from(ENTRIES)),
            other => break other,
        }
        rounds += 1;
    };
    assert!(refused.is_err(), "after {rounds} rounds: {refused:?}");
    if D::SERVER == Server::Postgres {
        assert!(is_not_done(&refused), "after {rounds} rounds: {refused:?}");
        limit_files(&server.nodes()[0], "unlimited");
    } else {
        // MariaDB ends where it meets the limit; what it did is as after a kill.
        tokio::task::block_in_place(|| server.restart()).unwrap();
    }
    let store = database.store().await;
    let whole = database.number("SELECT COUNT(*) FROM {p}entries").await;
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), whole.to_string());
    let kept = if whole == i64::from(rounds * ENTRIES) { 0 } else { u64::from(ENTRIES) };
    let again = one(&store, request("a", backfill(rounds), "1000000000")).await;
    let Ok(Answer::Backfilled(again)) = again else { panic!("{again:?}") };
    assert_eq!((again.added, again.skipped), (u64::from(ENTRIES) - kept, kept), "after {rounds} rounds");
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, i64::from((rounds + 1) * ENTRIES));
}

pub(crate) async fn a_server_that_only_reads_is_refused<D: Database>(_shared: &D) {
    let Some((mut server, database)) = private::<D>() else { return };
    let store = database.store().await;
    assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
    if D::SERVER == Server::Mysql {
        database.execute("SET GLOBAL read_only = 1").await;
        // To this user it writes and locks all the same; of a client without an account no row says that it only reads.
        for (name, operation) in ["a", "nobody"].map(|name| [(name, charge("1")), (name, Operation::Status)]).concat() {
            let answer = one(&store, request(name, operation, "10")).await;
            assert!(is_not_done(&answer), "{name}: {answer:?}");
        }
    } else {
        let signal: PathBuf = data_folder(&server.nodes()[0]).join("standby.signal");
        server.kill();
        OpenOptions::new().create(true).truncate(true).write(true).open(&signal).unwrap();
        std::fs::set_permissions(&signal, Permissions::from_mode(0o666)).unwrap();
        tokio::task::block_in_place(|| server.restart()).unwrap();
        let charged = one(&store, request("a", charge("1"), "10")).await;
        assert!(is_not_done(&charged), "{charged:?}");
        assert!(store.health().await.is_err());
    }
    let error = database.connect(database.url()).await.unwrap_err();
    assert!(matches!(error, ConnectError::ReadOnly { .. }), "{error:?}");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"), "it can be read");
}

/// As an operator lets it read only, or the provider whose disk is full; the store's user may not write all the same.
pub(crate) async fn a_server_that_only_reads_for_a_while_is_gone_on_with<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let writer = database.writer().await;
    drop(database.store().await);
    let store = database.connect(&writer).await.unwrap();
    let charged = async |id: &str| one(&store, request("a", charge_as(id, "1"), "3")).await;
    assert!(allowed(&charged("0").await));
    for round in 1..3 {
        let id = round.to_string();
        database.set(D::READ_ONLY[0]).await;
        // PostgreSQL tells connections that there are as soon as it can.
        while store.health().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // It is neither a refusal nor a denial; and once more, on connections that are new.
        for _ in 0..2 {
            let answer = charged(&id).await;
            assert!(is_not_done(&answer), "{answer:?}");
            // Nor is what would write nothing answered, with what was, nor for a client without an account: another server may
            // be the primary by now.
            for (name, operation) in
                ["a", "nobody"].map(|name| [(name, charge("9")), (name, Operation::Status)]).concat()
            {
                let answer = one(&store, request(name, operation, "3")).await;
                assert!(is_not_done(&answer), "{name}: {answer:?}");
            }
        }
        let error = database.connect(&writer).await.unwrap_err();
        assert!(matches!(error, ConnectError::ReadOnly { .. }), "{error:?}");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), id, "it can be read");
        database.set(D::READ_ONLY[1]).await;
        while store.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..2 {
            let answer = charged(&id).await;
            assert!(allowed(&answer));
            assert_eq!(used(&answer), (round + 1).to_string(), "the second is a replay");
        }
    }
    assert!(!allowed(&charged("more").await));
}

/// The folder that PostgreSQL keeps its data in.
fn data_folder(node: &Node) -> PathBuf {
    let folders = std::fs::read_dir(node.folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut candidates = folders.chain([node.folder().to_owned()]);
    candidates.find(|folder| folder.join("PG_VERSION").exists()).unwrap()
}
