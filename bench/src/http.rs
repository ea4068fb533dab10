//! The quickstart over HTTP, against the same application without quotas.

pub(crate) mod bare;
mod connection;
mod load;
mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use self::load::{Load, Stop, drive};
use self::server::Server;
use crate::effort::Effort;
use crate::number::{count, median, median_ratio};
use crate::ours::{ENOUGH, names};
use crate::row::{Goal, IN_MEMORY, Measured, Row, SQLITE};

const GROUP: &str = "quickstart over HTTP, 64 keep-alive connections";
const CLIENTS: usize = 1_000;
/// What the predecessor answered on this kind of machine, requests a second.
const PREDECESSOR: f64 = 350.0;
/// A client that is to run out.
const LIMITED: &str = "limited";
const LIMIT: u64 = 5_000;

/// What one server did in the rounds.
#[derive(Default)]
struct Served {
    requests_a_second: Vec<f64>,
    micros_each: Vec<f64>,
}

/// Processor time and requests a second, on memory and on SQLite; and that the limit holds.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let plans = folder.path().join("plans.json");
    std::fs::write(&plans, plans_file().to_string())?;
    let database = format!("sqlite:{}", folder.path().join("quota.db").display());
    let bare = Server::bare()?;
    let memory = Server::quickstart("memory:", &plans)?;
    let sqlite = Server::quickstart(&database, &plans)?;
    let requests: Vec<Vec<u8>> = names(CLIENTS).iter().map(|client| request(client)).collect();
    let mut served = [Served::default(), Served::default(), Served::default()];
    let slice = Duration::from_millis(effort.slice_millis);
    for round in 0..=effort.rounds {
        for (server, served) in [&bare, &memory, &sqlite].into_iter().zip(&mut served) {
            let before = server.processor_micros()?;
            let load = drive(server.address(), &requests, Stop::After(slice))?;
            let used = server.processor_micros()?.saturating_sub(before);
            if load.denied > 0 {
                bail!("{} requests were denied below the limit", load.denied);
            }
            if round > 0 {
                served.requests_a_second.push(load.requests_a_second());
                served.micros_each.push(count(usize::try_from(used)?) / count(load.admitted));
            }
        }
    }
    let mut rows = compared(&served);
    rows.push(limit_holds(&memory, "memory", IN_MEMORY)?);
    rows.push(limit_holds(&sqlite, "SQLite", SQLITE)?);
    Ok(rows)
}

fn compared([bare, memory, sqlite]: &[Served; 3]) -> Vec<Row> {
    let mut rows = Vec::new();
    let processor = |name: &str, durability, served: &Served, goal| {
        let measured = Measured { value: median(served.micros_each.clone()), unit: "us" };
        let row = Row::new(GROUP, format!("processor time of a request, {name}"), durability, measured);
        let ratio = median_ratio(&served.micros_each, &bare.micros_each);
        let row = row.against("without quotas", median(bare.micros_each.clone()), ratio);
        if let Some(goal) = goal { row.goal(goal) } else { row }
    };
    rows.push(processor("memory", IN_MEMORY, memory, Some(Goal::AtMost(1.10))));
    rows.push(processor("SQLite", SQLITE, sqlite, None));
    let speed = |name: &str, durability, served: &Served| {
        let measured = Measured { value: median(served.requests_a_second.clone()), unit: "/s" };
        Row::new(GROUP, format!("requests a second, {name}"), durability, measured)
    };
    let ratio = median_ratio(&memory.requests_a_second, &bare.requests_a_second);
    let row = speed("memory", IN_MEMORY, memory);
    rows.push(row.against("without quotas", median(bare.requests_a_second.clone()), ratio).goal(Goal::AtLeast(0.93)));
    let row = speed("SQLite", SQLITE, sqlite);
    let ratio = row.measured.value / PREDECESSOR;
    rows.push(row.against("of the predecessor", PREDECESSOR, ratio).goal(Goal::AtLeast(30.0)));
    rows
}

/// More requests than a client's limit, from all connections at once.
fn limit_holds(server: &Server, name: &str, durability: &'static str) -> anyhow::Result<Row> {
    let limit = usize::try_from(LIMIT)?;
    let Load { admitted, denied, .. } = drive(server.address(), &[request(LIMITED)], Stop::AfterRequests(limit * 2))?;
    if admitted > limit || admitted + denied != limit * 2 {
        bail!(
            "on {name}, {admitted} requests were admitted and {denied} denied of {}, the limit is {limit}",
            limit * 2
        );
    }
    let measured = Measured { value: count(admitted), unit: "admitted" };
    let row = Row::new(GROUP, format!("of {} requests of one client, {name}", limit * 2), durability, measured);
    Ok(row.against("its limit", count(limit), count(admitted) / count(limit)).goal(Goal::AtMost(1.0)))
}

fn request(client: &str) -> Vec<u8> {
    format!("GET /api/fetch-data HTTP/1.1\r\nHost: localhost\r\nX-Client-Id: {client}\r\n\r\n").into_bytes()
}

/// A plan of day and month for every client.
fn plans_file() -> Value {
    let quota = |period: &str, limit: u64| {
        let limit = limit.to_string();
        json!({"period": period, "every": 1, "limit": limit, "anchor": "2022-01-01T00:00:00Z", "tz": "UTC"})
    };
    let plan = |limit: u64| json!({"quotas": [quota("DAY", limit), quota("MONTH", limit)]});
    let mut clients: Map<String, Value> = names(CLIENTS).into_iter().map(|name| (name, plan(ENOUGH))).collect();
    clients.insert(LIMITED.to_owned(), plan(LIMIT));
    json!({"clients": clients})
}

/// A program that was built beside this one.
fn beside(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or_else(|| Path::new(".")).join(name);
    path.exists().then_some(()).with_context(|| format!("{} is not built: use cargo xtask bench", path.display()))?;
    Ok(path)
}
