//! The list of clients, a page at a time.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use quota_core::{ClientId, Credits};
use quota_service::{ClientsQuery, PlanRegistry, QuotaService, UsageStore};
use quota_store_diesel::SqliteStore;
use quota_store_memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};

use crate::effort::Effort;
use crate::number::{median, median_ratio, percentile};
use crate::ours::{DAY_AND_MONTH, ENOUGH, ids, names, plan};
use crate::row::{Goal, IN_MEMORY, Measured, Row, SQLITE};

const GROUP: &str = "the list of clients, 200 a page";
pub(crate) const MANY: usize = 100_000;
/// The long list has so many times the clients of the short one.
const TIMES: usize = 100;
/// As many as the usage API shows.
const PAGE: usize = 200;
/// Pages at the beginning and at the end that are compared.
const SOME: usize = 50;

/// A service whose clients have all been charged once.
struct Listed<S> {
    service: QuotaService<S>,
    /// What its clients begin with: stores on one server share it.
    prefix: String,
    clients: usize,
}

/// How long a page takes in one walk through the list: medians in microseconds.
struct Walk {
    first: f64,
    last: f64,
}

/// In memory and on SQLite.
pub(crate) fn rows(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(crate::scratch()?)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let row = |store: &'static str, durability| {
        move |what: &str, value| Row::new(GROUP, format!("{what}, {store}"), durability, Measured { value, unit: "us" })
    };
    let stores = [MemoryStore::new(), MemoryStore::new()];
    let mut rows = rows_of(effort, &runtime, stores, MANY, row("memory", IN_MEMORY))?;
    let stores = {
        // Its lanes run on the runtime.
        let _entered = runtime.enter();
        [SqliteStore::open(folder.path().join("many.db"))?, SqliteStore::open(folder.path().join("few.db"))?]
    };
    rows.extend(rows_of(effort, &runtime, stores, MANY, row("SQLite", SQLITE))?);
    Ok(rows)
}

/// What the last pages of a long list cost against its first, and those against a short list's.
pub(crate) fn rows_of<S: UsageStore>(
    effort: &Effort,
    runtime: &Runtime,
    [many, few]: [S; 2],
    listed: usize,
    row: impl Fn(&str, f64) -> Row,
) -> anyhow::Result<Vec<Row>> {
    let (mut first, mut last, mut short) = (Vec::new(), Vec::new(), Vec::new());
    runtime.block_on(async {
        let (many, few) = (Listed::new(many, listed).await?, Listed::new(few, listed / TIMES).await?);
        for round in 0..=effort.rounds {
            let (long, other) = (many.walk().await?, few.walk().await?);
            if round > 0 {
                first.push(long.first);
                last.push(long.last);
                short.push(other.first);
            }
        }
        many.service.shutdown().await;
        few.service.shutdown().await;
        anyhow::Ok(())
    })?;
    let of = |what: &str, micros: &[f64], base_name: &str, base: &[f64]| {
        let row = row(what, median(micros.to_vec()));
        row.against(base_name, median(base.to_vec()), median_ratio(micros, base))
    };
    Ok(vec![
        of(&format!("one of the last pages of {listed} clients"), &last, "one of the first", &first)
            .goal(Goal::AtMost(1.5)),
        // Where every page reads all clients, the last are as cheap as the first: that shows here, as a ratio of a hundred.
        of(
            &format!("one of the first pages of {listed} clients"),
            &first,
            &format!("of {} clients", listed / TIMES),
            &short,
        )
        .goal(Goal::AtMost(10.0)),
    ])
}

impl<S: UsageStore> Listed<S> {
    async fn new(store: S, clients: usize) -> anyhow::Result<Self> {
        let registry = PlanRegistry::new().with_default(plan(&DAY_AND_MONTH, ENOUGH)?);
        let service =
            QuotaService::builder(store).with_registry(registry).with_deadline(Duration::from_secs(60)).build();
        let prefix = format!("{:08x}-", fastrand::u32(..));
        let mut names: Vec<String> = names(clients).iter().map(|name| format!("{prefix}{name}")).collect();
        // As they come in earnest: not in the order of the list.
        fastrand::shuffle(&mut names);
        for some in ids(&names)?.chunks(1_000) {
            try_join_all(some.iter().map(|client| service.charge(client, Credits::ONE))).await?;
        }
        Ok(Self { service, prefix, clients })
    }

    /// Reads the whole list, each page after the last client of the one before.
    async fn walk(&self) -> anyhow::Result<Walk> {
        let mut waits = Vec::with_capacity(self.clients / PAGE);
        let mut seen = 0;
        let mut after: Option<ClientId> = None;
        while seen < self.clients {
            let query = ClientsQuery { prefix: self.prefix.clone(), after: after.take(), limit: PAGE };
            let asked = Instant::now();
            let page = self.service.clients(query).await?;
            waits.push(asked.elapsed());
            seen += page.len();
            after = Some(page.last().context("the list ends early")?.clone());
        }
        if seen != self.clients {
            bail!("{seen} clients are listed of {}", self.clients);
        }
        let some = SOME.min(waits.len());
        let (first, last) = (waits.get(..some), waits.get(waits.len() - some..));
        Ok(Walk { first: percentile(first.unwrap_or_default(), 50), last: percentile(last.unwrap_or_default(), 50) })
    }
}
