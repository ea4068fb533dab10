//! Stores by their URLs.
#![cfg(all(feature = "memory", feature = "sqlite"))]

use std::error::Error;

use quota_core::Detail;
use quota_service::{QuotaService, UsageStore};
use quota_stores::{ConnectError, connect};

#[tokio::test]
async fn the_detail_of_a_memory_store_is_chosen_by_its_url() {
    assert_eq!(connect("memory:").await.unwrap().detail(), Detail::Quarters);
    assert_eq!(connect("memory:?detail=quarters").await.unwrap().detail(), Detail::Quarters);
    assert_eq!(connect("memory:?detail=entries").await.unwrap().detail(), Detail::Entries);
}

#[tokio::test]
async fn an_sqlite_store_is_a_file_at_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quota.db");
    for url in [format!("sqlite:{}", path.display()), format!("sqlite://{}", path.display())] {
        let service = QuotaService::new(connect(&url).await.unwrap());
        service.health().await.unwrap();
        service.shutdown().await;
    }
    assert!(path.exists());
}

#[tokio::test]
async fn what_is_no_stores_url_is_told_apart() {
    for (url, message) in [
        ("", "a store's URL begins with its scheme, such as memory: or sqlite:quota.db"),
        ("quota.db", "a store's URL begins with its scheme, such as memory: or sqlite:quota.db"),
        (":memory:", "a store's URL begins with its scheme, such as memory: or sqlite:quota.db"),
        (
            "oracle://user:secret@host/db",
            "no store has the scheme oracle: known are memory, sqlite, postgres, postgresql, mysql, redis, rediss, redis+cluster, rediss+cluster, redis+sentinel, rediss+sentinel, valkey, valkeys, valkey+cluster, valkeys+cluster, valkey+sentinel, valkeys+sentinel, mongodb",
        ),
        (
            "MEMORY:",
            "no store has the scheme MEMORY: known are memory, sqlite, postgres, postgresql, mysql, redis, rediss, redis+cluster, rediss+cluster, redis+sentinel, rediss+sentinel, valkey, valkeys, valkey+cluster, valkeys+cluster, valkey+sentinel, valkeys+sentinel, mongodb",
        ),
        ("memory:x", "a URL with the scheme memory is memory:, memory:?detail=quarters or memory:?detail=entries"),
        (
            "memory:?detail=days",
            "a URL with the scheme memory is memory:, memory:?detail=quarters or memory:?detail=entries",
        ),
        (
            "mongodb+srv://user:secret@host/db",
            "the scheme mongodb+srv is not compiled in: name the hosts with mongodb://HOST:PORT,HOST:PORT/DATABASE?replicaSet=NAME&tls=true",
        ),
        ("sqlite:", "a URL with the scheme sqlite is sqlite:PATH"),
    ] {
        assert_eq!(connect(url).await.unwrap_err().to_string(), message, "{url}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("foreign.db");
    std::fs::write(&file, "this is not a database, although it is long enough to be looked at as one").unwrap();
    for path in [file, folder.path().join("absent").join("quota.db")] {
        let error = connect(&format!("sqlite:{}", path.display())).await.unwrap_err();
        assert!(matches!(error, ConnectError::Store { scheme: "sqlite", .. }));
        let source = error.source().unwrap().to_string();
        assert!(source.contains(path.to_str().unwrap()), "{source}");
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_valkey_is_named_by_its_own_schemes_as_well() {
    for kind in ["", "+cluster", "+sentinel"] {
        for (own, other) in [("valkey", "redis"), ("valkeys", "rediss")] {
            // Refused for what follows the scheme, before anybody is asked.
            let [own, other] = [own, other].map(|scheme| format!("{scheme}{kind}://user:secret@h?detail=days"));
            let (own, other) = (connect(&own).await.unwrap_err(), connect(&other).await.unwrap_err());
            assert!(matches!(own, ConnectError::Store { scheme: "redis", .. }), "{own}");
            let source = own.source().unwrap().to_string();
            assert_eq!(source, other.source().unwrap().to_string());
            assert!(!source.contains("secret"), "{source}");
        }
    }
    let error = connect("valkey://user:secret@127.0.0.1:1").await.unwrap_err();
    assert_eq!(error.to_string(), "the redis store at 127.0.0.1:1 could not be opened");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_and_its_password_is_not() {
    let error = connect("redis://user:secret@127.0.0.1:1/0?detail=entries").await.unwrap_err();
    assert_eq!(error.to_string(), "the redis store at 127.0.0.1:1 could not be opened");
    assert!(!format!("{error:?}").contains("secret"));
}
