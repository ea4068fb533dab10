//! The servers that tests need, each started for this run alone.

mod install;
mod interrupt;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use quota_servers::{PrivateServer, REQUIRED, Server, ServerError};

pub(crate) use self::install::{install, program as install_program};
pub(crate) use self::interrupt::{Interruptible, listen};
use crate::workspace::Workspace;

/// Servers that run until this is dropped.
pub(crate) struct Servers {
    running: Vec<PrivateServer>,
    /// Those that the developer names by a variable.
    given: Vec<Server>,
    /// Where their logs are kept after a failure.
    logs: PathBuf,
}

impl Servers {
    /// Does what needs servers, with those of `wanted` started that the developer does not name by a variable. They end
    /// with it; where it fails, their logs are kept.
    pub(crate) fn during(
        workspace: &Workspace,
        wanted: &[Server],
        work: impl FnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let servers = Self::start(workspace, wanted)?;
        work(&servers).inspect_err(|_| servers.keep_logs())
    }

    /// Installs what they lack, too.
    fn start(workspace: &Workspace, wanted: &[Server]) -> anyhow::Result<Self> {
        listen()?;
        let is_given = |server: &Server| std::env::var_os(server.variable()).is_some_and(|url| !url.is_empty());
        let (given, wanted): (Vec<Server>, Vec<Server>) = wanted.iter().copied().partition(is_given);
        install(workspace, &wanted)?;
        let logs = workspace.target().join("servers");
        let mut servers = Self { running: Vec::new(), given, logs };
        let began = Instant::now();
        let outcomes = std::thread::scope(|threads| {
            let start = |server| (server, threads.spawn(move || PrivateServer::start(server)));
            let starting: Vec<_> = wanted.into_iter().map(start).collect();
            let lost = |_| Err(ServerError::Answer("the thread that starts it panicked".to_owned()));
            starting
                .into_iter()
                .map(|(server, thread)| (server, thread.join().unwrap_or_else(lost)))
                .collect::<Vec<_>>()
        });
        for (server, outcome) in outcomes {
            let running = outcome.with_context(|| format!("could not start {server}"))?;
            keep_primaries(&running)?;
            servers.running.push(running);
        }
        interrupt::check()?;
        let names: Vec<&str> = servers.running.iter().map(|running| running.server().name()).collect();
        eprintln!("servers: {} after {:.1} s", names.join(", "), began.elapsed().as_secs_f64());
        Ok(servers)
    }

    /// What a test has to be told of them.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut required: Vec<String> = std::env::var(REQUIRED).into_iter().filter(|names| !names.is_empty()).collect();
        required.extend(self.running.iter().map(|running| running.server().name().to_owned()));
        let url = |running: &PrivateServer| (running.server().variable(), running.url().to_owned());
        self.running.iter().map(url).chain([(REQUIRED, required.join(","))]).collect()
    }

    /// Whether there is one, started here or given.
    pub(crate) fn has(&self, server: Server) -> bool {
        self.given.contains(&server) || self.running.iter().any(|running| running.server() == server)
    }

    /// Their folders go with them.
    fn keep_logs(&self) {
        let logs = self.logs.display();
        match self.copy_logs() {
            Ok(()) => eprintln!("the servers' logs are in {logs}"),
            Err(error) => eprintln!("the servers' logs could not be kept in {logs}: {error:#}"),
        }
    }

    fn copy_logs(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.logs).with_context(|| self.logs.display().to_string())?;
        for running in &self.running {
            for (number, log) in running.logs().enumerate() {
                copy(log, &self.logs.join(format!("{}-{number}.log", running.server())))?;
            }
        }
        Ok(())
    }
}

/// `cargo xtask servers`: starts all and prints how a shell tells tests of them, until Ctrl-C. Keeps their logs: of what
/// was done with them, only the developer knows whether it failed.
pub(crate) fn serve(workspace: &Workspace) -> anyhow::Result<()> {
    let servers = Servers::start(workspace, &Server::ALL)?;
    for (name, value) in servers.variables() {
        println!("export {name}='{value}'");
    }
    eprintln!("Ctrl-C ends them");
    interrupt::wait();
    servers.keep_logs();
    Ok(())
}

/// A cluster that many tests share keeps its primaries. A busy machine stops a server for a second now and then; where its
/// replica took its place, what it had acknowledged last would be lost, to tests that are not about that. (Those that are
/// start a cluster of their own.)
fn keep_primaries(running: &PrivateServer) -> anyhow::Result<()> {
    if running.server() != Server::RedisCluster {
        return Ok(());
    }
    for node in running.nodes() {
        let set = node.ask_redis("CONFIG SET cluster-node-timeout 60000");
        set.context("could not lengthen the node timeout of the Redis cluster")?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}
