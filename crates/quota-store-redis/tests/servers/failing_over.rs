//! A primary that dies: of a cluster, and of one that sentinels watch; and a cluster that comes back elsewhere.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use quota_core::{Answer, Credits, Detail, Instant, Operation, OperationId, PastEntry, Window};
use quota_servers::PrivateServer;
use quota_service::UsageStore;
use quota_store_redis::ConnectError;
use tokio::net::{TcpListener, TcpStream};

use crate::load::{Load, ask_again, charge_until_allowed};
use crate::requests::{PLENTY, agreed_usage, allowed, charge_one, client, credits, one, request};
use crate::servers::{Place, private_cluster, private_pair, shown};

/// What the sentinel wants.
const PASSWORD: &str = "hunter2secret";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_dies_is_replaced_and_its_clients_ledgers_agree() {
    let Some((server, place)) = private_cluster() else { return };
    // On all three primaries.
    first_dies(server, &place, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_dies_is_replaced_by_the_one_that_the_sentinels_name() {
    let Some(server) = quota_servers::private_sentinel(PASSWORD) else { return };
    let place = Place::at(format!("{}?sentinel_password={PASSWORD}", server.url()));
    first_dies(server, &place, 4).await;
}

#[tokio::test]
async fn sentinels_that_want_a_password_are_told_it_or_refuse() {
    let Some(server) = quota_servers::private_sentinel(PASSWORD) else { return };
    for url in [server.url().to_owned(), format!("{}?sentinel_password=hunter2wrong", server.url())] {
        let error = Place::at(url).refused().await;
        assert!(matches!(error, ConnectError::NotAllowed(_) | ConnectError::Unreachable(_)), "{error:?}");
        assert!(!shown(&error).contains("hunter2"), "{}", shown(&error));
    }
}

/// Nobody is left then whom the store has met.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_whose_nodes_have_all_moved_is_found_where_it_was_found_first() {
    let Some((mut server, _)) = private_cluster() else { return };
    let address = Address::of(server.nodes()[1].port()).await;
    let place = Place::at(format!("redis+cluster://127.0.0.1:{}", address.port));
    let builder = place.builder().with_detail(Detail::Entries).with_response_timeout(Duration::from_millis(500));
    let store = Arc::new(builder.connect().await.unwrap());
    let names: Vec<String> = (0..12).map(|number| format!("client{number}")).collect();
    charge_until_allowed(&store, &names).await;
    let load = Load::begin(&[Arc::clone(&store)], &names);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // One is away, the others are silent: who has the slots is asked in vain.
    tokio::task::block_in_place(|| server.nodes_mut()[0].kill());
    for silent in [1, 2, 4, 5] {
        server.nodes()[silent].pause();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::task::block_in_place(|| server.kill());
    let (elsewhere, _) = tokio::task::block_in_place(private_cluster).unwrap();
    address.leads_to.store(elsewhere.nodes()[1].port(), Ordering::Relaxed);
    charge_until_allowed(&store, &names).await;
    load.end().await;
    for name in &names {
        assert!(agreed_usage(&store, name).await >= Credits::ONE);
    }
}

/// A connection that nobody has used meanwhile may lead to it for as long as it has not heard of the new one.
#[tokio::test]
async fn what_an_old_primary_tells_of_a_ledger_is_not_taken_for_the_new_ones() {
    let Some((new, place, old)) = private_pair().await else { return };
    let beside = Place { url: old.url().to_owned(), prefix: place.prefix.clone() };
    let direct = place.store(Detail::Entries).await;
    let past = |id: &str, at: &str, cost: &str| {
        let (id, at) = (OperationId::new(id).unwrap(), at.parse().unwrap());
        let entries = vec![PastEntry { id, at, credits: credits(cost), label: None }];
        request("a", Operation::Backfill { entries, not_after: Instant::MAX }, PLENTY)
    };
    // Behind this, entries stand in keys of their own.
    let nothing = || request("a", Operation::Void { id: OperationId::new("nothing").unwrap(), at: None }, PLENTY);
    for (id, at, cost) in [("gone", "2024-03-15T09:01:00Z", "5"), ("left", "2024-03-15T09:10:00Z", "2")] {
        one(&direct, past(id, at, cost)).await.unwrap();
    }
    one(&direct, nothing()).await.unwrap();
    let account = place.account("a").await;
    while beside.account("a").await != account {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    beside.tell("REPLICAOF NO ONE").await;
    let elsewhere = beside.store(Detail::Entries).await;
    one(&elsewhere, past("lost", "2024-03-15T09:02:00Z", "3")).await.unwrap();
    one(&elsewhere, nothing()).await.unwrap();

    let address = Address::of(new.nodes()[0].port()).await;
    let store = Place { url: format!("redis://127.0.0.1:{}", address.port), prefix: place.prefix.clone() };
    let store = store.store(Detail::Entries).await;
    assert!(allowed(&charge_one(&store, "a", "here").await));
    address.leads_to.store(old.nodes()[0].port(), Ordering::Relaxed);
    let range = Window::new("2024-03-15T09:00:00Z".parse().unwrap(), "2024-03-15T09:05:00Z".parse().unwrap()).unwrap();
    let deleted = one(&store, request("a", Operation::Delete { range }, PLENTY)).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(1))), "{deleted:?}");
    assert_eq!(agreed_usage(&direct, "a").await, credits("3"));
}

/// An address that leads to one server and later to another, as a name does.
struct Address {
    port: u16,
    leads_to: Arc<AtomicU16>,
}

impl Address {
    async fn of(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = Self { port: listener.local_addr().unwrap().port(), leads_to: Arc::new(AtomicU16::new(server)) };
        let leads_to = Arc::clone(&address.leads_to);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = leads_to.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        address
    }
}

/// What was acknowledged in the last moments of the primary may be lost: its replica had not heard of it. What is not
/// lost is whole.
async fn first_dies(mut server: PrivateServer, place: &Place, clients: u32) {
    let open = async || {
        let builder = place.builder().with_detail(Detail::Entries).with_response_timeout(Duration::from_secs(2));
        Arc::new(builder.connect().await.unwrap())
    };
    let stores = [open().await, open().await];
    let names: Vec<String> = (0..clients).map(|number| format!("client{number}")).collect();
    charge_until_allowed(&stores[0], &names).await;
    let load = Load::begin(&stores, &names);
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::task::block_in_place(|| server.nodes_mut()[0].kill());
    charge_until_allowed(&stores[1], &names).await;
    let sent = load.end().await;
    charge_until_allowed(&stores[0], &names).await;
    // Usage is read over other connections, and the sentinels may not all have seen the new primary at work.
    for store in &stores {
        while store.total(&client(&names[0]), Window::ALL).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for (name, ids) in &sent {
        let used = agreed_usage(&stores[0], name).await;
        assert_eq!(agreed_usage(&stores[1], name).await, used);
        // Three were charged without an id, of which a fate that was not known may have made more.
        assert!(used >= Credits::ONE, "{name}: {used}");
        ask_again(&stores[1], name, ids).await;
        let all = agreed_usage(&stores[1], name).await;
        assert!(all >= credits(&(ids.len()).to_string()), "{name}: {all}");
        ask_again(&stores[0], name, ids).await;
        assert_eq!(agreed_usage(&stores[0], name).await, all, "{name}");
    }
}
