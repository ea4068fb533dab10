//! The quickstarts over HTTP, each against the same application without quotas.

pub(crate) mod apps;
mod connection;
mod framework;
mod load;
mod server;
mod side;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use self::server::Server;
use self::side::Side;
use crate::effort::Effort;
use crate::number::count;
use crate::ours::{ENOUGH, names};
use crate::row::{Goal, IN_MEMORY, Measured, PURE, Row, SQLITE};

pub(crate) use self::framework::Framework;

const CLIENTS: usize = 1_000;
/// What the predecessor answered on this kind of machine, requests a second.
const PREDECESSOR: f64 = 350.0;
/// A client that is to run out.
const LIMITED: &str = "limited";
const LIMIT: u64 = 5_000;
/// What a quickstart does for a request.
const OURS: &str = "day and month window, ledger, 5 headers";

/// Who answers the same requests in turns.
struct Contest {
    framework: Framework,
    bare: Side,
    memory: Side,
    rival: Option<Side>,
    /// With one framework only: it is the store that makes the difference.
    sqlite: Option<Side>,
}

/// Processor time and requests a second of one framework, and that the limit holds.
pub(crate) fn rows(framework: Framework, effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let mut contest = Contest::new(framework, folder.path())?;
    let requests: Vec<Vec<u8>> = names(CLIENTS).iter().map(|client| request(client)).collect();
    let slice = Duration::from_millis(effort.slice_millis);
    for round in 0..=effort.rounds {
        for side in contest.sides() {
            side.serve(&requests, slice)?;
            if round == 0 {
                side.forget();
            }
        }
    }
    contest.rows()
}

impl Contest {
    /// Starts the servers, with their files in `folder`.
    fn new(framework: Framework, folder: &Path) -> anyhow::Result<Self> {
        let plans = folder.join("plans.json");
        std::fs::write(&plans, plans_file().to_string())?;
        let quickstart = |store: &str| Server::quickstart(framework.quickstart(), store, &plans);
        let bare = Side::new("without quotas", "nothing", PURE, Server::app(framework.bare())?);
        let memory = Side::new("memory", OURS, IN_MEMORY, quickstart("memory:")?);
        let rival = match framework.rival() {
            Some(rival) => Some(Side::new(rival.name, rival.work, IN_MEMORY, Server::app(rival.app)?)),
            None => None,
        };
        let sqlite = match framework {
            Framework::Axum => {
                let database = format!("sqlite:{}", folder.join("quota.db").display());
                Some(Side::new("SQLite", OURS, SQLITE, quickstart(&database)?))
            }
            Framework::Actix | Framework::Rocket => None,
        };
        Ok(Self { framework, bare, memory, rival, sqlite })
    }

    fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        [&mut self.bare, &mut self.memory].into_iter().chain(&mut self.rival).chain(&mut self.sqlite)
    }

    fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let Self { framework, bare, memory, rival, sqlite } = self;
        let group = framework.group();
        let mut rows = vec![memory.processor_time(group, bare).goal(Goal::AtMost(1.10))];
        rows.extend(rival.iter().chain(sqlite).map(|side| side.processor_time(group, bare)));
        rows.push(memory.speed_by(group, bare).goal(Goal::AtLeast(0.93)));
        rows.extend(rival.iter().map(|side| side.speed_by(group, bare)));
        rows.extend(sqlite.iter().map(|side| {
            let row = side.speed(group);
            let ratio = row.measured.value / PREDECESSOR;
            row.against("of the predecessor", PREDECESSOR, ratio).goal(Goal::AtLeast(30.0))
        }));
        for side in std::iter::once(memory).chain(sqlite) {
            rows.push(limit_holds(group, side)?);
        }
        Ok(rows)
    }
}

fn limit_holds(group: &'static str, side: &Side) -> anyhow::Result<Row> {
    let limit = usize::try_from(LIMIT)?;
    let admitted = side.admitted_of(&request(LIMITED), limit * 2)?;
    if admitted > limit {
        bail!("on {}, {admitted} requests were admitted, the limit is {limit}", side.name());
    }
    let measured = Measured { value: count(admitted), unit: "admitted" };
    let name = format!("of {} requests of one client, {}", limit * 2, side.name());
    let row = Row::new(group, name, side.durability(), measured);
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
