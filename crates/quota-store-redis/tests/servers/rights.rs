//! Users who may not do all: on one primary of a cluster alone, or only later.

use std::time::Duration;

use quota_core::{Credits, Detail, EntryId, Operation, OperationId};
use quota_service::UsageStore;
use quota_store_redis::ConnectError;
use redis::Value;

use crate::requests::{
    PLENTY, agreed_usage, allowed, at_quarter, charge_as, charge_later, charge_one, credits, is_not_done, made_of, one,
    request,
};
use crate::servers::{
    Place, as_user, calls, granted, keep_parts, primaries, private, private_cluster, shown, tell, tell_words, url_of,
};

const PASSWORD: &str = "hunter2secret";

/// The place as a user who may do all on these servers, and then what is said of him besides.
async fn clerk(place: &Place, servers: &[String], rights: &str) -> Place {
    for server in servers {
        tell(server, &format!("ACL SETUSER clerk on >{PASSWORD} {rights}")).await.unwrap();
    }
    Place { url: as_user(&place.url, "clerk", PASSWORD), prefix: place.prefix.clone() }
}

#[tokio::test]
async fn a_user_who_lacks_a_right_on_one_primary_of_a_cluster_is_refused() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let nodes: Vec<String> = server.nodes().iter().map(url_of).collect();
    let clerk = clerk(&place, &nodes, "~* &* +@all").await;
    clerk.builder().connect().await.unwrap();
    let primaries = primaries(&server).await;
    assert_eq!(primaries.len(), 3);
    for primary in &primaries {
        for right in ["zadd", "hincrby", "eval", "evalsha", "info"] {
            tell(primary, &format!("ACL SETUSER clerk -{right}")).await.unwrap();
            let error = clerk.refused().await;
            assert!(matches!(error, ConnectError::NotAllowed(_)), "{right}: {error:?}");
            assert!(shown(&error).contains("NoPerm"), "{}", shown(&error));
            assert!(!shown(&error).contains(PASSWORD), "{}", shown(&error));
            tell(primary, &format!("ACL SETUSER clerk +{right}")).await.unwrap();
        }
        tell(primary, "ACL SETUSER clerk -wait").await.unwrap();
        clerk.builder().connect().await.unwrap();
        let error = clerk.builder().with_wait(1, Duration::from_millis(100)).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::NotAllowed(_)), "{error:?}");
        tell(primary, "ACL SETUSER clerk +wait").await.unwrap();
    }
    clerk.builder().with_wait(1, Duration::from_millis(100)).connect().await.unwrap();
}

#[tokio::test]
async fn what_the_readme_grants_is_enough_on_a_cluster() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let nodes: Vec<String> = server.nodes().iter().map(url_of).collect();
    let clerk = clerk(&place, &nodes, &granted(&place.prefix)).await;
    let store = clerk.store(Detail::Entries).await;
    // On all three primaries.
    for number in 0..12 {
        let name = format!("client{number}");
        assert!(allowed(&charge_one(&store, &name, "1").await));
        assert!(allowed(&charge_later(&store, &name, "2", 1).await));
        assert_eq!(agreed_usage(&store, &name).await, credits("2"));
    }
    store.health().await.unwrap();
}

/// So many ids have no room beside an account.
const MANY: u32 = 80;

/// The script does what a commit without it may not do any more.
#[tokio::test]
async fn who_may_not_insert_any_more_commits_all_the_same() {
    let Some((_server, place)) = private() else { return };
    let clerk = clerk(&place, std::slice::from_ref(&place.url), "~* &* +@all").await;
    let store = clerk.store(Detail::Quarters).await;
    for right in ["-linsert", "+linsert"] {
        place.tell(&format!("ACL SETUSER clerk {right}")).await;
        for last in "012".chars() {
            let id = EntryId::Made(OperationId::new(made_of(right, last)).unwrap());
            let plain = Operation::Charge { credits: Credits::ONE, id, label: None };
            assert!(allowed(&one(&store, request("a", plain, PLENTY)).await));
        }
    }
    assert_eq!(agreed_usage(&store, "a").await, credits("6"));
    assert!(calls(&place, "linsert").await >= 3);
}

/// As on Redis 7.0 or newer, which says what a user may do before anything is written.
#[tokio::test]
async fn a_commit_for_which_a_right_was_lost_is_refused_whole() {
    let Some((_server, place)) = private() else { return };
    for (detail, rights) in [
        (Detail::Entries, ["hincrby", "hset", "zadd", "lset", "ltrim"]),
        (Detail::Quarters, ["hincrby", "hset", "pexpire", "lset", "ltrim"]),
    ] {
        let place = Place::at(place.url.clone());
        let clerk = clerk(&place, std::slice::from_ref(&place.url), "~* &* +@all").await;
        let store = clerk.store(detail).await;
        assert!(allowed(&charge_one(&store, "a", "first").await));
        let mut expected = Credits::ONE;
        for (days, right) in (1..).zip(rights) {
            // On a later day, and so many that they have no room beside the account: the commit does all of these.
            let of_batch =
                |number| at_quarter(request("a", charge_as(&format!("{right} {number}"), "1"), PLENTY), 96 * days);
            let charge = async || store.apply((0..MANY).map(of_batch).collect()).await.remove(0);
            place.tell(&format!("ACL SETUSER clerk -{right}")).await;
            let answer = charge().await;
            assert!(is_not_done(&answer), "{detail:?} without {right}: {answer:?}");
            place.tell(&format!("ACL SETUSER clerk +{right}")).await;
            assert_eq!(agreed_usage(&store, "a").await, expected, "{detail:?} without {right}");
            assert!(allowed(&charge().await));
            expected = expected.checked_add(credits(&MANY.to_string())).unwrap();
            assert_eq!(agreed_usage(&store, "a").await, expected, "the ids were not used");
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_stopped_in_its_midst_is_told_apart() {
    let Some((_server, place)) = private() else { return };
    let clerk = clerk(&place, std::slice::from_ref(&place.url), "~* &* +@all -zadd").await;
    let script = include_str!("../../src/commit.lua");
    // As on a Redis before 7.0, which cannot be asked for rights.
    let older = format!(
        "local redis = {{ call = redis.call, pcall = redis.pcall, error_reply = redis.error_reply }}\n{script}"
    );
    for (number, (script, code, is_there)) in [(older.as_str(), "TORN", 1), (script, "NOPERM", 0)].iter().enumerate() {
        let [account, ids, entries] = ["a", "i:1", "e:1"].map(|key| place.key(&format!("{{{number}}}:{key}")));
        let head = ["EVAL", script, "3", &account, &ids, &entries, "", "version", "hz", "", "0"];
        let commands = ["HSET", "2", "2", "id", "value", "ZADD", "3", "2", "0", "entry", "ACCOUNT", "\u{4}{}"];
        let error = tell_words(&clerk.url, &[&head[..], &commands[..]].concat()).await.unwrap_err();
        assert_eq!(error.code(), Some(*code), "{error:?}");
        assert!(error.to_string().contains("ZADD"), "{error:?}");
        assert_eq!(place.tell(&format!("EXISTS {ids}")).await, Value::Int(*is_there), "{code}");
        assert_eq!(place.tell(&format!("EXISTS {account}")).await, Value::Int(0), "{code}");
    }
}

/// Who is next is told the account, or asks.
#[tokio::test]
async fn what_was_written_is_done_where_it_may_not_be_read_any_more() {
    let Some((_server, place)) = private() else { return };
    let clerk = clerk(&place, std::slice::from_ref(&place.url), "~* &* +@all -lrange").await;
    let account = place.key("{a}:a");
    let [before, after] = ["0", "1"].map(|digit| digit.repeat(32));
    let (own, next) = ("aaaaaaa0", "bbbbbbb0");
    tell_words(&place.url, &["RPUSH", &account, &[&before, own, next, "\u{4}{}"].concat()]).await.unwrap();
    let script = include_str!("../../src/commit.lua");
    let ends = [own, "-"].concat();
    let commit = ["EVAL", script, "1", &account, &before, &after, "", &ends, "0", "ACCOUNT", "\u{4}[]"];
    let others_wait = Value::Int(2);
    assert_eq!(tell_words(&clerk.url, &commit).await.unwrap(), others_wait);
    assert_eq!(place.account("a").await, [[&after, next, "\u{4}[]"].concat()]);
}
