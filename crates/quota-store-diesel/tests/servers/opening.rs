//! Servers that are connected to, and servers that are refused.

use std::error::Error;

use futures_util::future::join_all;
use quota_core::Operation;
use quota_servers::{Relay, Server};
use quota_store_diesel::{ConnectError, MysqlStore, PostgresStore, TablePrefix};

use crate::database::{Database, private};
use crate::requests::{allowed, charge, one, request, used};

/// Makes tables what those of the first version were.
const FIRST_VERSION: &str = "ALTER TABLE {p}accounts DROP COLUMN deleted_from; \
     ALTER TABLE {p}accounts DROP COLUMN deleted_to; ALTER TABLE {p}accounts DROP COLUMN deleted_sums; DELETE FROM {p}schema WHERE version > 1";

/// How many tables there are of ours.
const TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE '{p}%'";

/// An error as anybody may log it.
fn shown(error: &ConnectError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

pub(crate) async fn tables_that_are_not_ours_are_refused_and_left_alone<D: Database>(database: &D) {
    for (make, remove) in [
        ("CREATE TABLE {p}accounts (name INT)", "DROP TABLE {p}accounts"),
        ("CREATE VIEW {p}plans AS SELECT 1 AS one", "DROP VIEW {p}plans"),
        ("CREATE TABLE {p}schema (id INT)", "DROP TABLE {p}schema"),
        ("CREATE TABLE {p}schema (version INT, applied_at INT)", "DROP TABLE {p}schema"),
    ] {
        database.execute(make).await;
        let error = database.connect(database.url()).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Foreign { .. }), "{make}: {error:?}");
        // It is there still, and nothing else is.
        database.execute(remove).await;
    }
    database.store().await;
}

pub(crate) async fn a_table_that_is_gone_is_told<D: Database>(database: &D) {
    drop(database.store().await);
    database.execute("DROP TABLE {p}quarters").await;
    let error = database.connect(database.url()).await.unwrap_err();
    let gone = database.fill("{p}quarters");
    assert!(matches!(&error, ConnectError::Incomplete { table, .. } if *table == gone), "{error:?}");
    assert!(error.to_string().ends_with("restore it from a backup, or choose another prefix"), "{error}");
}

pub(crate) async fn a_newer_schema_is_refused<D: Database>(database: &D) {
    drop(database.store().await);
    database.execute("INSERT INTO {p}schema (version, applied_at) VALUES (99, 0)").await;
    let error = database.connect(database.url()).await.unwrap_err();
    assert!(matches!(error, ConnectError::UpgradeNeeded { found: 99, known: 3, .. }), "{error:?}");
}

pub(crate) async fn tables_of_the_first_version_are_upgraded_with_what_is_in_them<D: Database>(database: &D) {
    assert!(allowed(&one(&database.store().await, request("a", charge("3"), "10")).await));
    database.execute(FIRST_VERSION).await;
    let store = database.store().await;
    assert_eq!(used(&one(&store, request("a", charge("4"), "10")).await), "7");
    assert_eq!(database.number("SELECT MAX(version) FROM {p}schema").await, 3);
    // One that was stopped between the columns and the note of their version.
    database.execute("DELETE FROM {p}schema WHERE version > 1").await;
    let opened = database.connect(database.url()).await;
    if D::SERVER == Server::Mysql {
        assert_eq!(used(&one(&opened.unwrap(), request("a", charge("1"), "10")).await), "8");
        return;
    }
    // PostgreSQL's tables change whole or not at all, so this is no start-up's work: it says what is in the way.
    let error = opened.unwrap_err();
    assert!(matches!(error, ConnectError::Failed { .. }), "{error:?}");
    assert!(shown(&error).contains("deleted_from"), "{}", shown(&error));
    assert_eq!(database.number("SELECT MAX(version) FROM {p}schema").await, 1);
    // What is in them is untouched.
    database.execute("INSERT INTO {p}schema (version, applied_at) VALUES (2, 0), (3, 0)").await;
    assert_eq!(used(&one(&database.store().await, request("a", charge("1"), "10")).await), "8");
}

pub(crate) async fn start_ups_at_the_same_time_migrate_once<D: Database>(database: &D) {
    for opened in join_all((0..8).map(|_| database.connect(database.url()))).await {
        opened.unwrap();
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}schema").await, 3);
}

pub(crate) async fn a_wrong_password_is_refused_and_never_shown<D: Database>(database: &D) {
    let (before, place) = database.url().rsplit_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    let error = database.connect(&format!("{user}:hunter2secret@{place}")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
    assert!(shown(&error).contains("127.0.0.1"), "{}", shown(&error));
    let (_, password) = before.rsplit_once(':').unwrap();
    assert!(!format!("{:?}", database.store().await).contains(password));
}

pub(crate) async fn a_server_that_is_not_there_is_told<D: Database>(database: &D) {
    let scheme = database.url().split_once(':').unwrap().0;
    for host in ["127.0.0.1:1", "no-such-host.invalid:5432"] {
        let error = database.connect(&format!("{scheme}://u:hunter2secret@{host}/d")).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
        assert!(shown(&error).contains(host) && !shown(&error).contains("hunter2secret"), "{}", shown(&error));
    }
}

pub(crate) async fn a_server_that_is_too_old_is_told_and_left_alone<D: Database>(_shared: &D) {
    let Some((server, database)) = private::<D>() else { return };
    let port = server.nodes()[0].port();
    let (said, heard) = database.versions().await;
    let relay = Relay::start(port, said, heard).unwrap();
    let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", relay.port()));
    let error = database.connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    assert!(error.to_string().ends_with("upgrade the server"), "{error}");
    assert_eq!(database.number(TABLES).await, 0);
    // It is new enough in truth.
    database.store().await;
}

pub(crate) async fn what_a_store_cannot_work_with_is_told_and_left_alone<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let (server, _) = database.url().rsplit_once('/').unwrap();
    for [make, name, told] in D::UNSUITED {
        database.execute(make).await;
        let unsuited = D::at(format!("{server}/{name}"));
        let error = unsuited.connect(unsuited.url()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unsuited { .. } | ConnectError::MissingRight { .. }), "{error:?}");
        assert!(error.to_string().ends_with(told), "{error}");
        assert_eq!(unsuited.number(TABLES).await, 0);
    }
}

pub(crate) async fn what_is_no_url_is_told_without_its_password<D: Database>(database: &D) {
    let scheme = database.url().split_once(':').unwrap().0;
    for rest in [
        "",
        "//",
        "//u:hunter2secret@",
        "//u:hunter2secret@host:port/d",
        "//u:hunter2secret@host/d?no_such_parameter=1",
        "//u:hunter2secret@host:99999/d",
        "//u:p@hunter2secret/word@host/d",
        "//u:p@w/hunter2secret@host/d",
        "//u:p@w?hunter2secret@host/d",
    ] {
        let error = database.connect(&format!("{scheme}:{rest}")).await.unwrap_err();
        assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{rest}: {error:?}");
        assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
    }
    if D::SERVER == Server::Mysql {
        for rest in ["//u:/hunter2secret@host/d", "//u:?hunter2secret@host/d", "//u:1#hunter2secret@host/d"] {
            let error = database.connect(&format!("{scheme}:{rest}")).await.unwrap_err();
            assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{rest}: {error:?}");
            assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
        }
    }
    for shown in [
        format!("{:?}", PostgresStore::builder("postgres://u:hunter2secret@h/d")),
        format!("{:?}", MysqlStore::builder("mysql://u:hunter2secret@h/d")),
    ] {
        assert!(!shown.contains("hunter2secret"), "{shown}");
    }
}

pub(crate) async fn a_right_that_lacks_is_named<D: Database>(database: &D) {
    drop(database.store().await);
    let reader = database.reader().await;
    let error = database.connect(&reader).await.unwrap_err();
    assert!(matches!(error, ConnectError::MissingRight { .. }), "{error:?}");
    assert!(error.to_string().contains(&database.fill("{p}accounts")), "{error}");
    assert!(!shown(&error).contains(":reader@"), "{}", shown(&error));
}

pub(crate) async fn who_may_not_make_tables_is_told_and_uses_those_that_are_there<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let writer = database.writer().await;
    let lacks = |error: &ConnectError| {
        assert!(matches!(error, ConnectError::MissingRight { .. }), "{error:?}");
        assert!(error.to_string().ends_with("grant it, or make the tables as a user who may"), "{error}");
        assert!(!shown(error).contains(":writer@"), "{}", shown(error));
    };
    lacks(&database.connect(&writer).await.unwrap_err());
    assert_eq!(database.number(TABLES).await, 0);
    drop(database.store().await);
    let store = database.connect(&writer).await.unwrap();
    assert!(allowed(&one(&store, request("a", charge("3"), "10")).await));
    // Of the first version: somebody who may has to change them.
    database.execute(FIRST_VERSION).await;
    lacks(&database.connect(&writer).await.unwrap_err());
    drop(database.store().await);
    let store = database.connect(&writer).await.unwrap();
    assert_eq!(used(&one(&store, request("a", charge("4"), "10")).await), "7");
}

pub(crate) async fn other_prefixes_and_the_applications_own_tables_are_left_alone<D: Database>(database: &D) {
    database.execute("CREATE TABLE {p}users (name INT); INSERT INTO {p}users VALUES (1)").await;
    let (store, other) = (database.store().await, D::at(database.url().to_owned()));
    let beside = other.store().await;
    one(&store, request("a", charge("1"), "10")).await.unwrap();
    assert_eq!(used(&one(&store, request("a", Operation::Status, "10")).await), "1");
    assert_eq!(used(&one(&beside, request("a", Operation::Status, "10")).await), "0");
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}users").await, 1);
    database.execute("DROP TABLE {p}users").await;
    assert!(TablePrefix::new("x; DROP TABLE users").is_err());
    let tables = ["schema", "accounts", "entries", "quarters", "plans"];
    other.execute(&tables.map(|table| format!("DROP TABLE {{p}}{table}")).join("; ")).await;
}
