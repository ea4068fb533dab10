//! Many callers on one SQLite file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use quota_core::{Plan, Unit};
use quota_store_diesel::SqliteStore;
use tokio::runtime::{Builder, Runtime};

use crate::callers::Callers;
use crate::effort::Effort;
use crate::number::{median, median_ratio};
use crate::ours::{DAY_AND_MONTH, ENOUGH, plan};
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
    Ok(rows)
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
