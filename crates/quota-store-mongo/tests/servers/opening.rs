//! Servers that are connected to, and servers that are refused.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::IndexModel;
use mongodb::bson::doc;
use quota_core::Operation;
use quota_servers::Relay;
use quota_store_mongo::{ConnectError, MongoStore};

use crate::collections::{Collections, run, run_alone};
use crate::requests::{charge, one, request, shown, used};

async fn refused(collections: &Collections) -> ConnectError {
    collections.builder(collections.url()).connect().await.unwrap_err()
}

#[test]
fn what_is_no_url_is_told_without_its_password() {
    run(async |_| {
        for url in [
            "",
            "mongodb",
            "mongodb:",
            "mongodb://",
            "mongodb://u:hunter2secret@",
            "mongodb://u:hunter2secret@host:port/d",
            "mongodb://u:hunter2secret@host:99999/d",
            "mongodb://u:hunter2secret@:27017/d",
            "mongodb://u:hunter2secret:hunter2secret@host/d",
            "mongodb://u:hunter2secret%zz@host/d",
            "mongodb://u:hunter2secret@host/d?w=-1",
            "mongodb://u:hunter2secret@host/d?authMechanism=hunter2secret",
            "mongodb://u:hunter2secret@host/d?connectTimeoutMS=hunter2secret",
            "mysql://u:hunter2secret@host/d",
        ] {
            let error = MongoStore::connect(url).await.unwrap_err();
            assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error:?}");
            assert!(!shown(&error).contains("hunter2secret"), "{url}: {}", shown(&error));
        }
        for url in [
            "mongodb://u:1/hunter2secret@h/d",
            "mongodb://u:1?hunter2secret@h/d",
            "mongodb://u:1@hunter2secret@h/d",
            "mongodb://u:1#hunter2secret=@h/d?w=1",
        ] {
            let error = MongoStore::connect(url).await.unwrap_err();
            assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error:?}");
            assert!(error.to_string().ends_with("write %2F %3F %23 %40"), "{url}: {error}");
            assert!(!shown(&error).contains("hunter2secret"), "{url}: {}", shown(&error));
        }
        let builder = format!("{:?}", MongoStore::builder("mongodb://u:hunter2secret@h/d"));
        assert!(!builder.contains("hunter2secret"), "{builder}");
    });
}

#[test]
fn a_server_that_is_not_there_is_told_within_seconds() {
    run(async |_| {
        for host in ["127.0.0.1:1", "no-such-host.invalid:27017"] {
            let began = Instant::now();
            let error = MongoStore::connect(format!("mongodb://u:hunter2secret@{host}/d")).await.unwrap_err();
            assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
            assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
            assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        }
    });
}

#[test]
fn a_server_that_is_too_old_is_told() {
    run_alone(async |server, collections| {
        let info = collections.admin().run_command(doc! { "buildInfo": 1 }).await.unwrap();
        let version = info.get_str("version").unwrap();
        let (major, rest) = version.split_once('.').unwrap();
        let older = format!("{:0>width$}.{rest}", 4, width = major.len());
        let relay = Relay::start(server.nodes()[0].port(), version.into(), older.clone().into()).unwrap();
        let url = format!("mongodb://127.0.0.1:{}/quota?directConnection=true", relay.port());
        let error = collections.builder(&url).connect().await.unwrap_err();
        assert!(matches!(&error, ConnectError::TooOld { found } if *found == older), "{error:?}");
        assert!(error.to_string().contains("a store needs 5.0 or newer"), "{error}");
        assert_eq!(collections.all("schema", doc! {}).await, [], "nothing was written there");
    });
}

#[test]
fn a_bad_prefix_is_refused() {
    run(async |collections| {
        for prefix in ["", "a.b", "a$", "a b", "é", &"a".repeat(65)] {
            let error = MongoStore::builder(collections.url()).with_prefix(prefix).connect().await.unwrap_err();
            assert!(matches!(error, ConnectError::Prefix { .. }), "{prefix}: {error:?}");
        }
    });
}

#[test]
fn a_format_that_is_newer_or_from_before_the_first_release_is_refused() {
    run(async |collections| {
        drop(collections.store().await);
        let schema = collections.collection("schema");
        let write = async |format: i64| {
            schema.update_one(doc! { "_id": "format" }, doc! { "$set": { "n": format } }).await.unwrap();
            refused(collections).await
        };
        let error = write(99).await;
        assert!(matches!(error, ConnectError::Newer { found: 99, known: 3 }), "{error:?}");
        for older in [1, 2] {
            let error = write(older).await;
            assert!(matches!(error, ConnectError::Older { found, known: 3 } if found == older), "{error:?}");
        }
    });
}

#[test]
fn a_collection_that_is_not_ours_is_refused_and_left_alone() {
    for foreign in [doc! { "_id": "format", "n": "text" }, doc! { "_id": "format" }, doc! { "_id": 1, "n": 1 }] {
        run(async |collections| {
            let schema = collections.collection("schema");
            schema.insert_one(foreign.clone()).await.unwrap();
            let error = refused(collections).await;
            assert!(matches!(error, ConnectError::Foreign { .. }), "{error:?}");
            assert_eq!(collections.all("schema", doc! {}).await, std::slice::from_ref(&foreign));
        });
    }
}

#[test]
fn collections_of_our_names_without_a_format_are_refused_and_left_alone() {
    for name in ["accounts", "entries", "quarters"] {
        run(async |collections| {
            let theirs = doc! { "_id": 1, "gone": mongodb::bson::DateTime::MIN };
            collections.collection(name).insert_one(theirs.clone()).await.unwrap();
            let error = refused(collections).await;
            assert!(matches!(&error, ConnectError::Foreign { collection } if collection.ends_with(name)), "{error:?}");
            assert_eq!(collections.all(name, doc! {}).await, [theirs]);
            let indexes = collections.collection(name).list_index_names().await.unwrap();
            assert_eq!(indexes, ["_id_"], "nothing sweeps it");
        });
    }
}

#[test]
fn a_store_that_was_opened_and_asked_for_its_health_is_opened_again() {
    run(async |collections| {
        for _ in 0..2 {
            quota_service::UsageStore::health(&collections.store().await).await.unwrap();
        }
    });
}

#[test]
fn two_prefixes_do_not_see_each_other() {
    run(async |collections| {
        let others = collections.others().await;
        let (store, beside) = (collections.store().await, others.store().await);
        one(&store, request("a", charge("1"), "10")).await.unwrap();
        assert_eq!(used(&one(&store, request("a", Operation::Status, "10")).await), "1");
        assert_eq!(used(&one(&beside, request("a", Operation::Status, "10")).await), "0");
        others.remove().await;
    });
}

#[test]
fn the_indexes_are_there_once_connected() {
    run(async |collections| {
        drop(collections.store().await);
        let sweeps = |index: &IndexModel| {
            let options = index.options.as_ref().unwrap();
            index.keys == doc! { "gone": 1 } && options.expire_after.is_some_and(|after| after.as_secs() >= 7 * 86_400)
        };
        for name in ["accounts", "entries", "quarters"] {
            let listed = collections.collection(name).list_indexes().await.unwrap();
            let indexes: Vec<IndexModel> = listed.try_collect().await.unwrap();
            assert!(indexes.iter().any(sweeps), "{name}: {indexes:?}");
            let has_ids = indexes.iter().any(|index| index.keys == doc! { "i": 1 });
            assert_eq!(has_ids, name == "entries", "{name}: {indexes:?}");
        }
    });
}

#[test]
fn start_ups_at_the_same_time_all_succeed() {
    run(async |collections| {
        for opened in join_all((0..8).map(|_| collections.builder(collections.url()).connect())).await {
            opened.unwrap();
        }
        assert_eq!(collections.all("schema", doc! {}).await, [doc! { "_id": "format", "n": 3_i64 }]);
    });
}
