//! Redis Sentinel: one that watches a primary with a replica.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::ServerError;
use crate::launch::Program;
use crate::node::Node;
use crate::programs;
use crate::recipe::{Ports, Recipe, Started};
use crate::redis::Redis;
use crate::{log, resp};

/// What its primary is called.
pub(crate) const MASTER: &str = "main";

const SETTINGS: &str = "sentinel.conf";

/// How long a replica may take to follow its primary.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// It takes a primary for dead that is silent for half a second, and wants its password from whoever asks.
#[derive(Debug)]
struct Sentinel {
    primary: u16,
    password: String,
}

/// A primary, its replica, and who watches them, in this order.
pub(crate) fn start(password: &str) -> Result<Vec<Node>, ServerError> {
    let primary = Node::start(Redis::single())?;
    let replica = Node::start(Redis::replica_of(primary.port()))?;
    let began = Instant::now();
    let follows = || resp::ask(replica.port(), "INFO replication").is_ok_and(|info| info.contains("link_status:up"));
    while !follows() {
        if began.elapsed() > FOLLOWS_WITHIN {
            let (program, seconds) = ("a replica".to_owned(), FOLLOWS_WITHIN.as_secs());
            return Err(ServerError::Silent { program, seconds, log: log::tail(replica.log()) });
        }
        sleep(POLL);
    }
    let sentinel = Node::start(Sentinel { primary: primary.port(), password: password.to_owned() })?;
    Ok(vec![primary, replica, sentinel])
}

impl Recipe for Sentinel {
    /// It writes into the file what it finds out.
    fn prepare(&self, folder: &Path, _log: &Path) -> Result<(), ServerError> {
        let Self { primary, password } = self;
        let settings = format!(
            "requirepass {password}\nsentinel monitor {MASTER} 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 2000\n"
        );
        let path = folder.join(SETTINGS);
        std::fs::write(&path, settings).map_err(ServerError::file(&path))
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        Ok(Program::new(programs::redis_server()?)
            .argument(folder.join(SETTINGS))
            .arguments(["--sentinel", "--bind", "127.0.0.1", "--port", &ports.client.to_string(), "--dir"])
            .argument(folder))
    }

    fn is_ready(&self, started: Started<'_>) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, started.ports.client)).is_ok()
    }
}
