//! `quota import-frappy`: usage taken over from the predecessor.

mod mongodb;
mod row;
mod source;
mod sql;
mod sqlite;
mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quota_core::{Backfilled, ClientId, PastEntry};
use quota_service::{AnyStore, Clock, QuotaService, SystemClock};

use crate::import::row::Row;
use crate::import::source::{Names, Source};
use crate::import::summary::Summary;
use crate::target;

/// How many clients are written at once.
const AT_ONCE: usize = 16;

#[derive(Debug, Args)]
pub(crate) struct ImportFrappy {
    /// The predecessor's database: sqlite:PATH, postgres://…, mysql://…, mongodb://….
    #[arg(long, value_name = "URL")]
    from: String,
    /// The store: sqlite:PATH, postgres://…, mysql://…, redis://…, mongodb://….
    #[arg(long, value_name = "URL")]
    to: String,
    /// The predecessor's table.
    #[arg(long, value_name = "NAME", default_value = "api_billing_usage")]
    table: String,
    /// The predecessor's database in MongoDB; the one that the URL names by default.
    #[arg(long, value_name = "DATABASE")]
    database: Option<String>,
    /// The predecessor's collection in MongoDB.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Read and check, but write nothing.
    #[arg(long)]
    dry_run: bool,
}

impl ImportFrappy {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        if self.from == self.to {
            bail!("the source and the target are the same");
        }
        let (table, database, collection) = (self.table.clone(), self.database.clone(), self.collection.clone());
        let mut source = Source::open(&self.from, &Names { table, database, collection }).await?;
        let bar = progress(source.count().await?)?;
        let mut import = Import {
            name: self.collection.clone().unwrap_or_else(|| self.table.clone()),
            target: match self.dry_run {
                true => None,
                false => Some(QuotaService::builder(target::open(&self.to).await?).with_deadline(PATIENCE).build()),
            },
            summary: Summary::default(),
        };
        let done = import.all(&mut source, &bar).await;
        bar.finish_and_clear();
        if let Some(target) = &import.target {
            target.shutdown().await;
        }
        let summary = import.summary;
        if json {
            println!("{}", summary.json(self.dry_run));
        } else {
            summary.lines(self.dry_run).iter().for_each(|line| println!("{line}"));
        }
        done.context("the import was cut off; what was added stays, and the same command goes on")
    }
}

/// How many entries of a client are written at once: few enough that its charges do not wait for long.
const BATCH: usize = 1_000;

/// How long one batch of one client may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Import {
    /// The table's or collection's name: a part of every id.
    name: String,
    target: Option<QuotaService<AnyStore>>,
    summary: Summary,
}

impl Import {
    async fn all(&mut self, source: &mut Source, bar: &ProgressBar) -> anyhow::Result<()> {
        loop {
            let rows = source.page().await?;
            if rows.is_empty() {
                return Ok(());
            }
            let count = u64::try_from(rows.len())?;
            self.page(rows).await?;
            self.summary.read += count;
            bar.inc(count);
        }
    }

    async fn page(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let mut clients: BTreeMap<ClientId, Vec<PastEntry>> = BTreeMap::new();
        for row in rows {
            match row.entry(&self.name, now) {
                Ok((client, entry)) => clients.entry(client).or_default().push(entry),
                Err(skip) => self.summary.skip(&row.key, skip),
            }
        }
        let Some(target) = &self.target else {
            self.summary.added += u64::try_from(clients.values().map(Vec::len).sum::<usize>())?;
            return Ok(());
        };
        let clients = stream::iter(clients).map(|(client, entries)| backfill(target, client, entries));
        let done: Vec<Vec<Backfilled>> = clients.buffer_unordered(AT_ONCE).try_collect().await?;
        for done in done.into_iter().flatten() {
            self.summary.added += done.added;
            self.summary.there += done.skipped;
            done.conflicts.iter().for_each(|id| self.summary.conflict(id.as_str()));
        }
        Ok(())
    }
}

/// Adds a client's entries in batches that do not hold up its charges for long.
async fn backfill(
    target: &QuotaService<AnyStore>,
    client: ClientId,
    entries: Vec<PastEntry>,
) -> anyhow::Result<Vec<Backfilled>> {
    let mut done = Vec::new();
    for batch in entries.chunks(BATCH) {
        done.push(target.backfill(&client, batch.to_vec()).await?);
    }
    Ok(done)
}

/// Drawn on the error stream, and only where that is a terminal.
fn progress(length: u64) -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta} left")?);
    Ok(bar)
}
