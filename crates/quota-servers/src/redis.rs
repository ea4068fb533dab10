//! Redis: one server, or one of a cluster.

use std::path::Path;

use crate::error::ServerError;
use crate::launch::Program;
use crate::programs;
use crate::recipe::{Ports, Recipe, Started};
use crate::resp;

/// How long a server of a cluster may be silent before the others take it for dead, in milliseconds.
const NODE_TIMEOUT: &str = "1000";

#[derive(Debug)]
pub(crate) struct Redis {
    is_clustered: bool,
    /// The port of its primary, if it has one.
    replica_of: Option<u16>,
}

impl Redis {
    pub(crate) const fn single() -> Self {
        Self { is_clustered: false, replica_of: None }
    }

    pub(crate) const fn replica_of(port: u16) -> Self {
        Self { is_clustered: false, replica_of: Some(port) }
    }

    pub(crate) const fn clustered() -> Self {
        Self { is_clustered: true, replica_of: None }
    }
}

impl Recipe for Redis {
    fn prepare(&self, _folder: &Path, _log: &Path) -> Result<(), ServerError> {
        Ok(())
    }

    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError> {
        let program = Program::new(programs::redis_server()?)
            .argument("--dir")
            .argument(folder)
            .arguments(["--bind", "127.0.0.1", "--port", &ports.client.to_string()])
            // What the stores' documentation asks for.
            .arguments(["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"])
            .arguments(["--save", "", "--daemonize", "no"])
            // A replica is not let wait for others that might come.
            .arguments(["--repl-diskless-sync-delay", "0"]);
        let program = match self.replica_of {
            Some(port) => program.arguments(["--replicaof", &format!("127.0.0.1 {port}")]),
            None => program,
        };
        if !self.is_clustered {
            return Ok(program);
        }
        let program = program.arguments(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]);
        // A replica that a busy machine kept from its primary for long may stand in for it all the same.
        let program = program.arguments(["--cluster-replica-validity-factor", "0"]);
        Ok(program.arguments(["--cluster-port", &ports.bus.to_string(), "--cluster-node-timeout", NODE_TIMEOUT]))
    }

    fn is_ready(&self, started: Started<'_>) -> bool {
        resp::ask(started.ports.client, "PING").is_ok_and(|answer| answer == "PONG")
    }
}
