//! A Redis Cluster of three primaries, each with a replica.

use std::io;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::encrypted::{Encrypted, Encryption};
use crate::error::ServerError;
use crate::log;
use crate::node::Node;
use crate::redis::Redis;
use crate::resp::ask;

/// The slots of each primary.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// How long its servers may take to know each other.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// Starts it, and waits until it takes writes and every replica follows.
pub(crate) fn start() -> Result<Vec<Node>, ServerError> {
    let count = SLOTS.len() * 2;
    let nodes: Vec<Node> = scope(|threads| {
        let starting: Vec<_> = (0..count).map(|_| threads.spawn(|| Node::start(Redis::clustered()))).collect();
        let lost = || Err(ServerError::Answer("a thread that starts a server panicked".to_owned()));
        starting.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect::<Result<_, _>>()
    })?;
    let (primaries, replicas) = nodes.split_at(SLOTS.len());
    for (number, (node, (first, last))) in primaries.iter().zip(SLOTS).enumerate() {
        told(node, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
        told(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1))?;
    }
    // Each is told of each: gossip alone takes seconds.
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.port() != node.port()) {
            told(node, &format!("CLUSTER MEET 127.0.0.1 {} {}", other.port(), other.bus()))?;
        }
    }
    wait(&nodes, |node| Ok(info(node, "cluster_known_nodes:")? == count.to_string()))?;
    for (replica, primary) in replicas.iter().zip(primaries) {
        let id = told(primary, "CLUSTER MYID")?;
        // A server that is known only by its greeting cannot be followed yet.
        wait(std::slice::from_ref(replica), |node| {
            Ok(ask(node.port(), &format!("CLUSTER REPLICATE {id}")).is_ok_and(|answer| answer == "OK"))
        })?;
    }
    wait_until_healthy(&nodes)?;
    Ok(nodes)
}

/// Starts one of a single primary, which encrypts.
pub(crate) fn start_encrypted() -> Result<Node, ServerError> {
    let recipe = Box::new(Redis::clustered());
    let node = Node::start(Encrypted { recipe, encryption: Encryption::RedisCluster })?;
    told(&node, "CLUSTER ADDSLOTSRANGE 0 16383")?;
    wait(std::slice::from_ref(&node), |node| Ok(info(node, "cluster_state:")? == "ok"))?;
    Ok(node)
}

/// `redis+cluster://` and the addresses of those that began as primaries.
pub(crate) fn url(nodes: &[Node]) -> String {
    let addresses = nodes.iter().take(SLOTS.len()).map(|node| format!("127.0.0.1:{}", node.port()));
    format!("redis+cluster://{}", addresses.collect::<Vec<_>>().join(","))
}

/// Waits until every server finds the cluster in order, and every replica follows its primary.
pub(crate) fn wait_until_healthy(nodes: &[Node]) -> Result<(), ServerError> {
    wait(nodes, |node| {
        let in_order = info(node, "cluster_state:")? == "ok" && info(node, "cluster_size:")? == SLOTS.len().to_string();
        let replication = ask(node.port(), "INFO replication")?;
        let follows = replication.contains("role:master") || replication.contains("master_link_status:up");
        let sees_replicas = ask(node.port(), "CLUSTER NODES")?.matches("slave").count() == SLOTS.len();
        Ok(in_order && follows && sees_replicas)
    })
}

fn wait(nodes: &[Node], is_so: impl Fn(&Node) -> io::Result<bool>) -> Result<(), ServerError> {
    let began = Instant::now();
    let mut waiting: Vec<&Node> = nodes.iter().collect();
    loop {
        waiting.retain(|node| !is_so(node).unwrap_or(false));
        let Some(first) = waiting.first() else { return Ok(()) };
        if began.elapsed() > HEALTHY_WITHIN {
            let (program, seconds) = ("a server of the cluster".to_owned(), HEALTHY_WITHIN.as_secs());
            return Err(ServerError::Silent { program, seconds, log: log::tail(first.log()) });
        }
        sleep(POLL);
    }
}

fn told(node: &Node, command: &str) -> Result<String, ServerError> {
    ask(node.port(), command).map_err(ServerError::io(format!("redis-server on port {}", node.port())))
}

/// One line of `CLUSTER INFO`, without its name.
fn info(node: &Node, name: &str) -> io::Result<String> {
    let text = ask(node.port(), "CLUSTER INFO")?;
    Ok(text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned())
}
