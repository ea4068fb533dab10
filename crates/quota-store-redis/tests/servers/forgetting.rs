//! Servers that forget scripts, and servers that forget everything.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Credits, Detail};
use quota_service::{ClientsQuery, UsageStore};

use crate::load::{Load, ask_again, charge_until_allowed};
use crate::requests::{agreed_usage, allowed, charge_one, credits, used};
use crate::servers::{Place, private};

#[tokio::test]
async fn a_script_that_was_flushed_is_sent_again_and_charges_once() {
    let Some((_server, place)) = private() else { return };
    for (name, detail) in [("entries", Detail::Entries), ("quarters", Detail::Quarters)] {
        let place = Place::at(place.url.clone());
        let store = place.store(detail).await;
        for number in 1..=10_u64 {
            assert_eq!(used(&charge_one(&store, name, &number.to_string()).await), credits(&number.to_string()));
            place.tell("SCRIPT FLUSH").await;
        }
        assert!(allowed(&charge_one(&store, name, "10").await), "a replay");
        assert_eq!(agreed_usage(&store, name).await, credits("10"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scripts_that_are_flushed_under_load_cost_nothing() {
    let Some((_server, place)) = private() else { return };
    let stores = [Arc::new(place.store(Detail::Entries).await), Arc::new(place.store(Detail::Entries).await)];
    let names = ["a", "b", "c"].map(str::to_owned);
    let load = Load::begin(&stores, &names);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        place.tell("SCRIPT FLUSH").await;
    }
    for (name, ids) in load.end().await {
        ask_again(&stores[0], &name, &ids).await;
        assert_eq!(agreed_usage(&stores[1], &name).await, credits(&ids.len().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgot_everything_under_load_agrees_with_itself_afterwards() {
    let Some((_server, place)) = private() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        place.tell("FLUSHALL").await;
        let stores = [Arc::new(place.store(detail).await), Arc::new(place.store(detail).await)];
        let names: Vec<String> = (0..8).map(|number| format!("client{number}")).collect();
        let load = Load::begin(&stores, &names);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            place.tell("FLUSHALL").await;
        }
        charge_until_allowed(&stores[0], &names).await;
        let sent = load.end().await;
        for (name, ids) in &sent {
            let used = agreed_usage(&stores[0], name).await;
            // Loss is loss: what was charged before is gone, and nothing else.
            assert!(used >= Credits::ONE && used <= credits(&(ids.len() + 1).to_string()), "{name}: {used}");
            assert_eq!(agreed_usage(&stores[1], name).await, used);
            // What is lost is charged with its id, and what is there is not.
            ask_again(&stores[0], name, ids).await;
            let used = agreed_usage(&stores[0], name).await;
            ask_again(&stores[1], name, ids).await;
            assert_eq!(agreed_usage(&stores[1], name).await, used, "{name}");
            assert!(used >= credits(&ids.len().to_string()));
        }
        let query = ClientsQuery { limit: 100, ..ClientsQuery::default() };
        let listed: Vec<String> = stores[0].clients(&query).await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(listed, names, "who has an account is listed");
    }
}
