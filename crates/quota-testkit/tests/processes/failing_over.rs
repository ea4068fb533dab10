//! A primary of a cluster killed under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quota_core::ClientId;
use quota_servers::{Node, PrivateServer};
use quota_service::{AnyStore, PlanRegistry, QuotaService};
use quota_testkit::scale;

use crate::ground::{Ground, agreed, known, plan};
use crate::restarting::{Load, charge};

/// On all primaries.
const CLIENTS: usize = 12;

/// How long a replica may take to take over.
const REPLACED_WITHIN: Duration = Duration::from_secs(60);

/// What a primary answered in its last moments may be lost with it: its replica had not heard of it. What is not lost is
/// whole, nothing is there twice, and what is asked again is there once.
pub(crate) fn replaced(ground: &mut Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(open(ground));
    let clients: Vec<ClientId> = (0..CLIENTS).map(|number| ground.client(number)).collect();
    let mut asked: Vec<BTreeSet<String>> = vec![BTreeSet::new(); CLIENTS];
    let runs = scale(3, 20);
    for run in 0..runs {
        let load = Load::start(&runtime, &service, &clients, (run, runs));
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..400)));
        let killed = kill_a_primary(ground.server.as_mut().unwrap(), run);
        for (client, id) in load.end(&runtime) {
            asked[client].insert(id);
        }
        runtime.block_on(check(ground, &clients, &asked));
        // It follows who took over from it.
        let cluster = ground.server.as_mut().unwrap();
        cluster.nodes_mut()[killed].restart().unwrap();
        cluster.wait_until_healthy().unwrap();
    }
}

/// One whose plans are its own: a stored one might be lost as well.
async fn open(ground: &Ground) -> QuotaService<AnyStore> {
    let store = quota_stores::connect(ground.url()).await.expect("the store opens");
    let plans = PlanRegistry::new().with_default(plan("unlimited"));
    QuotaService::builder(store).with_registry(plans).build()
}

/// Kills one of the primaries, and waits until its replica has taken over; gives the place of the killed one.
fn kill_a_primary(cluster: &mut PrivateServer, run: usize) -> usize {
    let before = primaries(cluster);
    let killed = before[run % before.len()];
    cluster.nodes_mut()[killed].kill();
    let began = Instant::now();
    while primaries(cluster).len() < before.len() {
        assert!(began.elapsed() < REPLACED_WITHIN, "nobody takes over");
        std::thread::sleep(Duration::from_millis(20));
    }
    killed
}

/// The places of those that say so of themselves.
fn primaries(cluster: &PrivateServer) -> Vec<usize> {
    let is_primary = |node: &Node| node.ask_redis("INFO replication").is_ok_and(|info| info.contains("role:master"));
    cluster.nodes().iter().enumerate().filter(|(_, node)| is_primary(node)).map(|(place, _)| place).collect()
}

async fn check(ground: &Ground, clients: &[ClientId], asked: &[BTreeSet<String>]) {
    let service = open(ground).await;
    for (client, asked) in clients.iter().zip(asked) {
        let there = known(&service, client, asked).await;
        assert_eq!(agreed(&service, client).await, there.len(), "{client}: there and never asked for");
        join_all(asked.difference(&there).map(|id| charge(&service, client, id))).await;
        assert_eq!(&known(&service, client, asked).await, asked, "{client}");
        assert_eq!(agreed(&service, client).await, asked.len(), "{client}");
    }
}
