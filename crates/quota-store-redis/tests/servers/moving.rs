//! A slot of a cluster that moves to another primary while its clients are charged.

use std::sync::Arc;

use quota_core::{Credits, Detail, Operation};
use quota_servers::{Node, PrivateServer};
use redis::Value;
use redis::cluster_routing::Slot;

use crate::load::{Load, ask_again};
use crate::requests::{PLENTY, agreed_usage, allowed, charge_one, credits, is_not_done, one, request, used};
use crate::servers::{is_primary, keep_parts, private_cluster, tell, tell_words, text_of, url_of};

/// A primary, with its id and its port.
struct Primary {
    url: String,
    id: String,
    port: String,
}

/// The primary of a key, and another one.
async fn both(server: &PrivateServer, key: &str) -> (Primary, Primary) {
    let (mut own, mut other) = (None, None);
    for node in server.nodes() {
        if is_primary(node).await {
            let primary = primary(node).await;
            let has_it = tell(&primary.url, &format!("EXISTS {key}")).await.is_ok();
            if has_it { own = Some(primary) } else { other = Some(primary) }
        }
    }
    (own.unwrap(), other.unwrap())
}

async fn primary(node: &Node) -> Primary {
    let url = url_of(node);
    let id = text_of(&tell(&url, "CLUSTER MYID").await.unwrap());
    Primary { url, id, port: node.port().to_string() }
}

/// Takes the keys of a slot over, as `redis-cli --cluster reshard` does.
async fn take_keys(from: &Primary, to: &Primary, slot: &str) {
    let Value::Array(keys) = tell(&from.url, &format!("CLUSTER GETKEYSINSLOT {slot} 1000")).await.unwrap() else {
        panic!("no keys")
    };
    if keys.is_empty() {
        return;
    }
    let keys: Vec<String> = keys.iter().map(text_of).collect();
    let mut words = vec!["MIGRATE", "127.0.0.1", &to.port, "", "0", "5000", "KEYS"];
    words.extend(keys.iter().map(String::as_str));
    tell_words(&from.url, &words).await.unwrap();
}

/// Redis runs no script on a slot that is on the way where a key of it is at neither place: it is to be tried again, and was not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_of_a_slot_that_moves_are_charged_or_told_that_they_are_not() {
    let Some((server, place)) = private_cluster() else { return };
    keep_parts(&server).await;
    let store = Arc::new(place.store(Detail::Entries).await);
    let slot_of = |name: &str| Slot::for_key(place.key(&format!("{{{name}}}:a")));
    let mut names =
        (0_u32..).map(|number| format!("client{number}")).filter(|name| slot_of(name) == slot_of("client0"));
    // One is there before, one comes while the slot moves.
    let [old, new] = [names.next().unwrap(), names.next().unwrap()];
    assert!(allowed(&charge_one(&store, &old, "1").await));
    let key = place.key(&format!("{{{old}}}:a"));
    let (from, to) = both(&server, &key).await;
    let Value::Int(slot) = tell(&from.url, &format!("CLUSTER KEYSLOT {key}")).await.unwrap() else { panic!("no slot") };
    let slot = slot.to_string();
    let load = Load::begin(&[Arc::clone(&store)], std::slice::from_ref(&old));
    tell(&to.url, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id)).await.unwrap();
    tell(&from.url, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id)).await.unwrap();
    take_keys(&from, &to, &slot).await;
    // What asks for one key is answered where it is by now.
    let status = one(&store, request(&old, Operation::Status, PLENTY)).await;
    assert!(used(&status) >= Credits::ONE, "{status:?}");
    let answer = charge_one(&store, &new, "1").await;
    assert!(is_not_done(&answer) || allowed(&answer), "{answer:?}");
    for primary in [&to, &from] {
        tell(&primary.url, &format!("CLUSTER SETSLOT {slot} NODE {}", to.id)).await.unwrap();
    }
    assert!(allowed(&charge_one(&store, &new, "1").await), "a replay, or what was not done before");
    assert_eq!(agreed_usage(&store, &new).await, Credits::ONE);
    // Each is made once, be it answered or not.
    let ids = load.end().await.remove(&old).unwrap();
    ask_again(&store, &old, &ids).await;
    assert_eq!(agreed_usage(&store, &old).await, credits(&(ids.len() + 1).to_string()));
}
