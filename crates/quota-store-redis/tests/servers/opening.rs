//! Servers that are connected to, and servers that are refused.

use std::time::Duration;

use quota_core::{Detail, Operation, Window};
use quota_servers::Relay;
use quota_service::UsageStore;
use quota_store_redis::{ConnectError, RedisStore};

use crate::requests::{PLENTY, agreed_usage, allowed, charge_one, client, credits, is_unknown, one, request, used};
use crate::servers::{
    Place, as_user, granted, keep_parts, primaries, private, private_cluster, shown, tell, text_of, url_of,
};

#[tokio::test]
async fn what_is_no_url_is_told_without_its_password() {
    for url in [
        "",
        "redis:",
        "127.0.0.1:6379",
        "rediss+pigeon://u:hunter2secret@h",
        "redis://u:hunter2secret@",
        "redis://u:hunter2secret@h:port",
        "redis://u:hunter2secret@h:99999",
        "redis://u:hunter2secret@h/zero",
        "redis://u:hunter2secret@h?detail=some",
        "redis://u:hunter2secret@h?no_such_choice=1",
        "redis+cluster://u:hunter2secret@h:1,h:port",
        "redis+sentinel://u:hunter2secret@h:1",
        "redis://u:hunter2secret@h/0?entries",
        "redis://u:hunter2secret@h/0#entries",
        "redis://u:1?hunter2secret@h",
        "redis://u:1#hunter2secret@h",
        "redis://u:1?prefix=hunter2secret@h",
        "redis+sentinel://u:1/hunter2secret@h/0",
    ] {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error:?}");
        assert!(error.to_string().starts_with("the URL of a Redis store: "), "{error}");
        assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
    }
    let builder = RedisStore::builder("redis://u:hunter2secret@h");
    assert!(!format!("{builder:?}").contains("hunter2secret"), "{builder:?}");
    let error = RedisStore::connect("redis+cluster://u:hunter2secret@h/3").await.unwrap_err();
    assert!(matches!(error, ConnectError::Unsupported { .. }), "{error:?}");
    assert_eq!(error.to_string(), "a cluster has one database only: leave the number out of the URL");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    for (before, after) in [("redis://", "/0"), ("redis+cluster://", ""), ("redis+sentinel://", "/main")] {
        for host in ["127.0.0.1:1", "no-such-host.invalid:6379"] {
            let error = Place::at(format!("{before}u:hunter2secret@{host}{after}")).refused().await;
            assert!(matches!(error, ConnectError::Unreachable(_)), "{before}{host}: {error:?}");
            assert_eq!(error.to_string(), "no Redis server answers there: check host and port in the URL");
            assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let Some((_server, place)) = private() else { return };
    place.tell("CONFIG SET requirepass rightsecret").await;
    place_refuses(&place.url).await;
}

#[tokio::test]
async fn a_wrong_password_of_a_cluster_is_refused_and_never_shown() {
    let Some((server, place)) = private_cluster() else { return };
    for node in server.nodes() {
        let url = url_of(node);
        tell(&url, "CONFIG SET masterauth rightsecret").await.unwrap();
        tell(&url, "CONFIG SET requirepass rightsecret").await.unwrap();
    }
    place_refuses(&place.url).await;
}

/// A password is `rightsecret`.
async fn place_refuses(url: &str) {
    for url in [url.to_owned(), as_user(url, "", "hunter2secret"), as_user(url, "nobody", "hunter2secret")] {
        let error = Place::at(&url).refused().await;
        assert!(matches!(error, ConnectError::NotAllowed(_)), "{error:?}");
        assert!(error.to_string().contains("check user, password and rights"), "{error}");
        assert!(!shown(&error).contains("secret"), "{}", shown(&error));
    }
    let place = Place::at(as_user(url, "", "rightsecret"));
    let store = place.store(Detail::Entries).await;
    assert!(!format!("{store:?}").contains("rightsecret"), "{store:?}");
    assert!(allowed(&charge_one(&store, "a", "1").await));
}

#[tokio::test]
async fn a_user_without_the_rights_is_refused() {
    let Some((_server, place)) = private() else { return };
    let lacking =
        ["-info", "-eval", "-evalsha", "-@scripting", "-@write", "-hincrby", "-zadd", "-unlink", "-pexpire", "-hdel"];
    for (number, rights) in
        lacking.iter().map(|right| format!("~* +@all {right}")).chain(["~other:* +@all".into()]).enumerate()
    {
        place.tell(&format!("ACL SETUSER user{number} on >hunter2secret {rights}")).await;
        let user = Place::at(as_user(&place.url, &format!("user{number}"), "hunter2secret"));
        let error = user.refused().await;
        assert!(matches!(error, ConnectError::NotAllowed(_)), "{rights}: {error:?}");
        assert!(error.to_string().contains("check user, password and rights"), "{error}");
        assert!(shown(&error).contains("NoPerm"), "{}", shown(&error));
        assert!(!shown(&error).contains("hunter2secret"), "{}", shown(&error));
    }
    // What the README names is enough.
    let name = "clerk";
    place.tell(&format!("ACL SETUSER {name} on >hunter2secret {}", granted(&place.prefix))).await;
    let clerk = Place { url: as_user(&place.url, name, "hunter2secret"), prefix: place.prefix.clone() };
    let store = clerk.store(Detail::Entries).await;
    assert!(allowed(&charge_one(&store, "a", "1").await));
    assert_eq!(agreed_usage(&store, "a").await.to_string(), "1");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let (Some((primary, _)), Some((_replica, place))) = (private(), private()) else { return };
    place.tell(&format!("REPLICAOF 127.0.0.1 {}", primary.nodes()[0].port())).await;
    let error = place.refused().await;
    assert!(matches!(error, ConnectError::Replica), "{error:?}");
    assert!(error.to_string().contains("connect to its primary"), "{error}");
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_allowed_by_name() {
    let Some((_server, place)) = private() else { return };
    place.tell("CONFIG SET maxmemory-policy allkeys-lru").await;
    for builder in [place.builder(), place.builder().with_allowed_eviction("volatile-lru")] {
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(&error, ConnectError::Evicts { policy } if policy == "allkeys-lru"), "{error:?}");
        assert!(error.to_string().contains("Set it to noeviction"), "{error}");
        assert!(error.to_string().contains("?allowed_eviction=allkeys-lru"), "{error}");
    }
    let store = place.builder().with_allowed_eviction("allkeys-lru").connect().await.unwrap();
    assert!(allowed(&charge_one(&store, "a", "1").await));
    let allows = |policy: &str| {
        let url = format!("{}?allowed_eviction={policy}", place.url);
        Place { url, prefix: place.prefix.clone() }.builder()
    };
    assert!(allows("allkeys-lru").is_made().await.unwrap());
    allows("allkeys-lru").connect().await.unwrap();
    allows("volatile-lru").with_allowed_eviction("allkeys-lru").connect().await.unwrap();
    for refused in [allows("volatile-lru"), allows("allkeys-lru").with_allowed_eviction("volatile-lru")] {
        assert!(matches!(refused.connect().await.unwrap_err(), ConnectError::Evicts { .. }));
    }
}

#[tokio::test]
async fn a_cluster_of_which_one_primary_evicts_is_refused_unless_it_is_allowed() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let primaries = primaries(&server).await;
    assert_eq!(primaries.len(), 3);
    for primary in &primaries {
        tell(primary, "CONFIG SET maxmemory-policy allkeys-lru").await.unwrap();
        let error = place.refused().await;
        assert!(matches!(&error, ConnectError::Evicts { policy } if policy == "allkeys-lru"), "{error:?}");
        place.builder().with_allowed_eviction("allkeys-lru").connect().await.unwrap();
        tell(primary, "CONFIG SET maxmemory-policy noeviction").await.unwrap();
    }
    place.builder().connect().await.unwrap();
}

#[tokio::test]
async fn a_full_server_is_refused() {
    let Some((_server, place)) = private() else { return };
    place.tell("CONFIG SET maxmemory 1").await;
    let error = place.refused().await;
    assert!(matches!(error, ConnectError::Server(_)), "{error:?}");
    assert!(shown(&error).contains("OOM"), "{}", shown(&error));
}

#[tokio::test]
async fn a_server_that_is_too_old_is_told() {
    let Some((server, place)) = private() else { return };
    let info = text_of(&place.tell("INFO server").await);
    let major = info.split("redis_version:").nth(1).unwrap().split('.').next().unwrap();
    let version = |major: &str| format!("redis_version:{major}.").into_bytes();
    let older = "0".repeat(major.len());
    let relay = Relay::start(server.nodes()[0].port(), version(major), version(&older)).unwrap();
    let error = Place::at(format!("redis://127.0.0.1:{}/0", relay.port())).refused().await;
    assert!(matches!(&error, ConnectError::TooOld { found } if found.starts_with(&older)), "{error:?}");
    assert!(error.to_string().contains("a store needs 6.2 or newer"), "{error}");
    assert_eq!(place.tell("DBSIZE").await, redis::Value::Int(0), "nothing was written there");
}

#[tokio::test]
async fn another_format_is_refused() {
    let Some(place) = Place::shared() else { return };
    place.tell(&format!("SET {} 99", place.key("format"))).await;
    let error = place.refused().await;
    assert!(matches!(error, ConnectError::Newer { found: 99, known: 3 }), "{error:?}");
    assert_eq!(error.to_string(), "the keys have format 99 and this version knows 3: upgrade it");
    place.tell(&format!("SET {} 1", place.key("format"))).await;
    let error = place.refused().await;
    assert!(matches!(error, ConnectError::Older { found: 1, known: 3 }), "{error:?}");
    place.tell(&format!("DEL {}", place.key("format"))).await;
}

#[tokio::test]
async fn a_key_that_is_not_ours_is_refused_and_left_alone() {
    let Some(place) = Place::shared() else { return };
    let format = place.key("format");
    for (make, kind) in [("SET {} nonsense", "string"), ("RPUSH {} x", "list"), ("HSET {} x y", "hash")] {
        place.tell(&make.replace("{}", &format)).await;
        let error = place.refused().await;
        assert!(matches!(&error, ConnectError::Foreign { key } if *key == format), "{make}: {error:?}");
        assert!(error.to_string().contains("choose another prefix"), "{error}");
        assert_eq!(place.tell(&format!("TYPE {format}")).await, redis::Value::SimpleString(kind.to_owned()));
        place.tell(&format!("DEL {format}")).await;
    }
}

#[tokio::test]
async fn a_store_keeps_the_detail_that_it_was_made_with() {
    let Some(place) = Place::shared() else { return };
    for (detail, other, name) in
        [(Detail::Entries, Detail::Quarters, "entries"), (Detail::Quarters, Detail::Entries, "quarters")]
    {
        let place = Place::at(place.url.clone());
        assert_eq!(place.store(detail).await.detail(), detail);
        // Who does not say takes what is there.
        assert_eq!(place.builder().connect().await.unwrap().detail(), detail);
        let error = place.builder().with_detail(other).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::OtherDetail { found } if found == name), "{error}");
        assert!(error.to_string().contains(&format!("?detail={name}")), "{error}");
    }
    assert_eq!(Place::at(place.url).builder().connect().await.unwrap().detail(), Detail::Quarters);
}

#[tokio::test]
async fn a_user_who_may_not_wait_is_refused_where_replicas_are_waited_for() {
    let Some((_server, place)) = private() else { return };
    place.tell("ACL SETUSER idle on >secret ~* &* +@all -wait").await;
    let as_idle = Place::at(as_user(&place.url, "idle", "secret"));
    as_idle.builder().connect().await.unwrap();
    let error = as_idle.builder().with_wait(1, Duration::from_millis(100)).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::NotAllowed(_)), "{error:?}");
    // And where it is forbidden later, a commit is done all the same: nobody may be told that it is not.
    place.tell("ACL SETUSER idle +wait").await;
    let store = as_idle.builder().with_wait(1, Duration::from_millis(100)).connect().await.unwrap();
    place.tell("ACL SETUSER idle -wait").await;
    for round in 1..3 {
        let answer = charge_one(&store, "a", "one").await;
        assert!(is_unknown(&answer) || (round > 1 && allowed(&answer)), "{answer:?}");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
    }
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() {
    let (Some(place), Some(other)) = (Place::shared(), Place::shared()) else { return };
    let (store, beside) = (place.store(Detail::Entries).await, other.store(Detail::Entries).await);
    assert!(allowed(&charge_one(&store, "a", "1").await));
    assert_eq!(used(&one(&beside, request("a", Operation::Status, PLENTY)).await).to_string(), "0");
    assert!(allowed(&charge_one(&beside, "a", "1").await), "the id is another's");
    assert!(allowed(&charge_one(&beside, "a", "2").await));
    assert_eq!(agreed_usage(&store, "a").await.to_string(), "1");
    assert_eq!(agreed_usage(&beside, "a").await.to_string(), "2");
}
