//! Many callers on one SQLite file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl};
use quota_core::{Plan, Unit};
use quota_service::QuotaService;
use quota_store_diesel::SqliteStore;
use tokio::runtime::{Builder, Runtime};

use crate::callers::Callers;
use crate::effort::Effort;
use crate::number::{median, median_ratio};
use crate::ours::{DAY_AND_MONTH, ENOUGH, plan};
use crate::reading::{self, Readers, YEAR};
use crate::row::{Goal, Measured, Row, SQLITE};

const GROUP: &str = "SQLite, 64 callers";
const CALLERS: usize = 64;
const CLIENTS: usize = 1_000;

/// Batches against a commit for each charge on the same settings; with ids, on one client, denied. Each case has a file
/// of its own.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cases = cases(&runtime, folder.path())?;
    let slice = Duration::from_millis(effort.slice_millis);
    let mut speeds = vec![Vec::with_capacity(effort.rounds); cases.len()];
    for round in 0..=effort.rounds {
        for (case, speeds) in cases.iter().zip(&mut speeds) {
            let speed = runtime.block_on(case.charges_a_second(slice))?;
            if round > 0 {
                speeds.push(speed);
            }
        }
    }
    for case in &cases {
        runtime.block_on(case.shutdown());
    }
    let [single, batches, others @ ..] = speeds.as_slice() else { return Ok(Vec::new()) };
    let row = |name: &str, speeds: &[f64]| {
        let measured = Measured { value: median(speeds.to_vec()), unit: "charges/s" };
        Row::new(GROUP, name, SQLITE, measured)
    };
    let of = |row: Row, speeds: &[f64], name: &str, base: &[f64]| {
        row.against(name, median(base.to_vec()), median_ratio(speeds, base))
    };
    let in_batches = of(row("1,000 clients", batches), batches, "with a commit each", single).goal(Goal::AtLeast(8.0));
    let mut rows = vec![in_batches];
    for (case, speeds) in cases.iter().skip(2).zip(others) {
        let row = of(row(case.name, speeds), speeds, "1,000 clients", batches);
        rows.push(if case.has_ids { row.goal(Goal::AtLeast(0.8)) } else { row });
    }
    rows.extend(reading(effort, &runtime, folder.path())?);
    Ok(rows)
}

/// Days read back.
fn reading(effort: &Effort, runtime: &Runtime, folder: &Path) -> anyhow::Result<Vec<Row>> {
    let scan = scan(&folder.join("scanned.db"))?;
    let readers = runtime.block_on(async {
        let store = SqliteStore::open(folder.join("reading.db"))?;
        let service = QuotaService::builder(store).with_deadline(Duration::from_secs(60)).build();
        Readers::new(service, 10_000, effort.many_entries).await
    })?;
    let times = runtime.block_on(readers.times(Duration::from_millis(effort.slice_millis)))?;
    runtime.block_on(readers.shutdown());
    let row = |name: &str, value| Row::new("SQLite, one reader", name, SQLITE, Measured { value, unit: "us" });
    Ok(reading::rows(row, effort, times, scan))
}

/// How long one scan by index of a year's rows takes.
fn scan(path: &Path) -> anyhow::Result<Duration> {
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(&format!(
        "CREATE TABLE scanned (client INTEGER, at INTEGER, label TEXT, credits INTEGER, entries INTEGER,
             PRIMARY KEY (client, at, label)) WITHOUT ROWID;
         WITH RECURSIVE numbers (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM numbers WHERE at < {YEAR})
         INSERT INTO scanned SELECT client, at, '', 1, 1 FROM numbers, (SELECT 1 AS client UNION SELECT 2 UNION SELECT 3)"
    ))?;
    let mut waits = Vec::new();
    for _ in 0..20 {
        let asked = Instant::now();
        let scan = "SELECT at, label, credits, entries FROM scanned WHERE client = 2 AND at >= 0 ORDER BY at";
        let found: Vec<Scanned> = diesel::sql_query(scan).load(&mut connection)?;
        waits.push(asked.elapsed());
        anyhow::ensure!(i64::try_from(found.len())? == YEAR, "the scan found {} rows", found.len());
    }
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().context("nothing was scanned")
}

#[derive(QueryableByName)]
#[expect(dead_code, reason = "what is read counts")]
struct Scanned {
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = Text)]
    label: String,
    #[diesel(sql_type = BigInt)]
    credits: i64,
    #[diesel(sql_type = BigInt)]
    entries: i64,
}

fn cases(runtime: &Runtime, folder: &Path) -> anyhow::Result<Vec<Callers<SqliteStore>>> {
    let open = |name: &'static str, most: Option<NonZeroUsize>, clients: usize, plan: Plan| {
        let mut builder = SqliteStore::builder(folder.join(format!("{}.db", name.replace(' ', "-"))));
        if let Some(most) = most {
            builder = builder.with_max_batch(most);
        }
        // Its lanes run on the runtime.
        let _entered = runtime.enter();
        Callers::new(name, builder.open()?, clients, CALLERS, plan)
    };
    let enough = plan(&DAY_AND_MONTH, ENOUGH)?;
    // Long windows: at midnight, a day would admit again.
    let denying = open("1,000 clients, denied", None, CLIENTS, plan(&[Unit::Month, Unit::Year], 1)?)?;
    Ok(vec![
        open("a commit each", Some(NonZeroUsize::MIN), CLIENTS, enough.clone())?,
        open("1,000 clients", None, CLIENTS, enough.clone())?,
        open("1,000 clients, an id each", None, CLIENTS, enough.clone())?.with_ids(),
        open("one hot client", None, 1, enough)?,
        runtime.block_on(denying.denied())?,
    ])
}
