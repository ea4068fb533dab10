//! Many callers on one SQLite file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::try_join_all;
use quota_core::{ClientId, Credits, OperationId, Plan, Unit};
use quota_service::{Charge, Decision, PlanRegistry, QuotaService};
use quota_store_diesel::SqliteStore;
use tokio::runtime::{Builder, Runtime};

use crate::effort::Effort;
use crate::number::{count, median, median_ratio};
use crate::ours::{DAY_AND_MONTH, ENOUGH, ids, names, plan};
use crate::row::{Goal, Measured, Row, SQLITE};

const GROUP: &str = "SQLite, 64 callers";
const CALLERS: usize = 64;
const CLIENTS: usize = 1_000;

/// A file of its own and who is charged in it.
struct Case {
    name: &'static str,
    service: QuotaService<SqliteStore>,
    clients: Vec<ClientId>,
    has_ids: bool,
    expected: fn(&Decision) -> bool,
}

/// Batches against a commit for each charge on the same settings; with ids, on one client, denied.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cases = cases(&runtime, folder.path())?;
    let slice = Duration::from_millis(effort.slice_millis);
    let mut speeds = vec![Vec::with_capacity(effort.rounds); cases.len()];
    for round in 0..=effort.rounds {
        for (case, speeds) in cases.iter().zip(&mut speeds) {
            let speed = runtime.block_on(charges_a_second(case, slice))?;
            if round > 0 {
                speeds.push(speed);
            }
        }
    }
    for case in &cases {
        runtime.block_on(case.service.shutdown());
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

fn cases(runtime: &Runtime, folder: &Path) -> anyhow::Result<Vec<Case>> {
    let open = |name: &'static str, most: Option<NonZeroUsize>, clients: usize, plan: Plan| {
        let mut builder = SqliteStore::builder(folder.join(format!("{}.db", name.replace(' ', "-"))));
        if let Some(most) = most {
            builder = builder.with_max_batch(most);
        }
        // Its lanes run on the runtime.
        let _entered = runtime.enter();
        let service = service(builder.open()?, plan);
        let clients = ids(&names(clients))?;
        anyhow::Ok(Case { name, service, clients, has_ids: false, expected: Decision::is_allowed })
    };
    let enough = plan(&DAY_AND_MONTH, ENOUGH)?;
    // Long windows: at midnight, a day would admit again.
    let denying = open("1,000 clients, denied", None, CLIENTS, plan(&[Unit::Month, Unit::Year], 1)?)?;
    runtime.block_on(charge_each(&denying))?;
    Ok(vec![
        open("a commit each", Some(NonZeroUsize::MIN), CLIENTS, enough.clone())?,
        open("1,000 clients", None, CLIENTS, enough.clone())?,
        Case { has_ids: true, ..open("1,000 clients, an id each", None, CLIENTS, enough.clone())? },
        open("one hot client", None, 1, enough)?,
        Case { expected: Decision::is_denied, ..denying },
    ])
}

/// Takes what there is: a client that never got any leaves no account, which is another case.
async fn charge_each(case: &Case) -> anyhow::Result<()> {
    let cost = Credits::new(1)?;
    let charges = case.clients.iter().map(|client| case.service.charge(client, cost));
    if !try_join_all(charges).await?.iter().all(Decision::is_allowed) {
        bail!("a client's first credit was denied");
    }
    Ok(())
}

fn service(store: SqliteStore, plan: Plan) -> QuotaService<SqliteStore> {
    QuotaService::builder(store).with_registry(PlanRegistry::new().with_default(plan)).build()
}

/// Every caller charges one client after the other, for as long as `slice`.
async fn charges_a_second(case: &Case, slice: Duration) -> anyhow::Result<f64> {
    let cost = Credits::new(1)?;
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let service = case.service.clone();
            let mut random = fastrand::Rng::with_seed(u64::try_from(caller).unwrap_or_default());
            let mut clients = case.clients.clone();
            random.shuffle(&mut clients);
            let (has_ids, expected) = (case.has_ids, case.expected);
            let run = fastrand::u64(..);
            tokio::spawn(async move {
                let mut charges = 0_usize;
                for client in clients.iter().cycle() {
                    if began.elapsed() >= slice {
                        break;
                    }
                    let mut charge = Charge::new(cost);
                    if has_ids {
                        charge = charge.with_id(OperationId::new(format!("{run:x}-{charges}"))?);
                    }
                    if !expected(&service.charge_with(client, charge).await?) {
                        bail!("{client} got the wrong answer");
                    }
                    charges += 1;
                }
                Ok(charges)
            })
        })
        .collect();
    let mut charges = 0;
    for caller in callers {
        charges += caller.await??;
    }
    Ok(count(charges) / began.elapsed().as_secs_f64())
}
