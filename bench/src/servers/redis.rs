//! Bare Redis.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use quota_servers::PrivateServer;
use redis::Commands;

use super::engine::Engine;

/// Commands of one run of `redis-benchmark`: about a second.
const COMMANDS: usize = 100_000;

pub(super) struct Redis {
    url: String,
    port: String,
    is_cluster: bool,
}

impl Redis {
    pub(super) fn new(server: &PrivateServer) -> anyhow::Result<Self> {
        let port = server.nodes().first().context("no server")?.port().to_string();
        Ok(Self { url: server.url().to_owned(), port, is_cluster: false })
    }

    /// Of which the commands of `redis-benchmark` go to all primaries.
    pub(super) fn of_cluster(server: &PrivateServer) -> anyhow::Result<Self> {
        Ok(Self { is_cluster: true, ..Self::new(server)? })
    }
}

impl Engine for Redis {
    fn name(&self, _rows: usize) -> String {
        "redis-benchmark INCRBY".to_owned()
    }

    fn step(&self) -> &'static str {
        "MULTI, INCRBY, HSET, EXEC, each answered"
    }

    fn commits(&self, rows: usize, _slice: Duration) -> anyhow::Result<f64> {
        let (commands, rows) = (COMMANDS.to_string(), rows.to_string());
        let mut benchmark = Command::new("redis-benchmark");
        benchmark.args(["-h", "127.0.0.1", "-p", &self.port, "-c", "64", "-n", &commands, "-r", &rows, "-q"]);
        benchmark.args(self.is_cluster.then_some("--cluster"));
        // A tag of the benchmark's own brings a key to one of the node's slots.
        let key = if self.is_cluster { "bare:{tag}:__rand_int__" } else { "bare:__rand_int__" };
        let output = benchmark.args(["INCRBY", key, "1"]).output().context("redis-benchmark")?;
        let told = String::from_utf8_lossy(&output.stdout);
        let last = told.rsplit(['\r', '\n']).find(|line| line.contains("requests per second"));
        let speed = last.and_then(|line| line.split_once(" requests per second"));
        let speed = speed.and_then(|(before, _)| before.rsplit([' ', ':']).next()).and_then(|text| text.parse().ok());
        match speed {
            Some(speed) => Ok(speed),
            None => bail!("redis-benchmark said: {told}"),
        }
    }

    fn scan(&self, _rows: i64) -> anyhow::Result<Option<Duration>> {
        Ok(None)
    }

    fn waits(&self, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut connection = redis::Client::open(self.url.as_str())?.get_connection()?;
        let (began, mut waits) = (Instant::now(), Vec::new());
        while began.elapsed() < slice {
            let asked = Instant::now();
            // One after the other, as begin, update, insert and commit are on other servers.
            redis::cmd("MULTI").exec(&mut connection)?;
            redis::cmd("INCRBY").arg("bare:used").arg(1).exec(&mut connection)?;
            redis::cmd("HSET").arg("bare:entries").arg(waits.len()).arg(1).exec(&mut connection)?;
            redis::cmd("EXEC").exec(&mut connection)?;
            waits.push(asked.elapsed());
        }
        connection.del::<_, ()>(&["bare:used", "bare:entries"])?;
        Ok(waits)
    }
}
