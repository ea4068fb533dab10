//! `quota import-frappy`: usage taken over from the predecessor.

mod amount;
mod columns;
mod filling;
mod folded;
mod mark;
mod mongodb;
mod mysql;
mod position;
mod postgres;
mod row;
mod source;
mod sql;
mod sqlite;
mod summary;
mod table_name;
mod transfer;

use anyhow::{anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quota_core::{ClientId, Detail, OperationId};
use quota_service::{AnyStore, QuotaService, UsageStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::import::mark::{Mark, Repeated};
use crate::import::position::Disordered;
use crate::import::source::{Names, Source};
use crate::import::transfer::{Forgotten, Transfer};
use crate::{output, place, shown, target};

#[derive(Debug, Args)]
pub(crate) struct ImportFrappy {
    /// The predecessor's database: sqlite:PATH, postgres://…, mysql://…, mongodb://….
    #[arg(long, value_name = "URL")]
    from: String,
    /// The store: sqlite:PATH, postgres://…, mysql://…, redis://…, valkey://…, mongodb://….
    #[arg(long, value_name = "URL")]
    to: String,
    /// The predecessor's table, perhaps as SCHEMA.TABLE; api_billing_usage by default.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The predecessor's database in MongoDB; the one that the URL names by default.
    #[arg(long, value_name = "DATABASE")]
    database: Option<String>,
    /// The predecessor's collection in MongoDB.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// What tells this source's rows from those of other sources in the store; its table's or collection's name by
    /// default. Give each one its own where several databases have a table of one name, and the same at every run.
    #[arg(long, value_name = "NAME", value_parser = read_source_name)]
    source_name: Option<String>,
    /// Into a store that has forgotten which rows an earlier import brought, for it keeps quarters only: import all the same.
    /// What is still there of them counts twice then.
    #[arg(long)]
    again: bool,
    /// Read and check, but import nothing. A store that is there is opened, which brings tables of an older version up to date.
    #[arg(long)]
    dry_run: bool,
}

/// What is said before rows go where ids are forgotten.
const FORGETS: &str = "note: this store keeps sums of quarters of an hour and remembers for 24 hours which rows it has: an import \
    may be repeated until 23 hours after the first one began, and is refused after that. It tells 100,000 ids of a client apart in \
    that time, those of its requests among them: with more rows, some are left out, and its holds and requests with ids are refused \
    until then. A new store with ?detail=entries in its URL has neither limit";

/// What is said where rows may count twice, as was asked for.
const AGAIN: &str =
    "note: this store keeps sums of quarters of an hour: rows that it had before the last 24 hours count again";

/// The bar when it is known how many rows there are, and before.
const WITH_END: &str = "{wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta} left";
const WITHOUT_END: &str = "{spinner} {human_pos} rows, {per_sec}; they are being counted";

impl ImportFrappy {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        place::refuse_same(&self.from, self.database.as_deref(), &self.to)?;
        let (table, database, collection) = (self.table.clone(), self.database.clone(), self.collection.clone());
        let names = Names { table, database, collection };
        let mut source = Source::open(&self.from, &names).await?;
        let bar = progress()?;
        let counting = count_beside(&self.from, names, &bar);
        let name = self.source_name.clone().unwrap_or_else(|| source.name().to_owned());
        read_source_name(&name)
            .map_err(|error| anyhow!("its name is no source's ({error}): give it a shorter one by --source-name"))?;
        let target = self.target().await?;
        let is_redis = ["redis", "valkey"].iter().any(|scheme| self.to.starts_with(scheme));
        let keeps_quarters = match &target {
            Some(target) => target.store().detail() == Detail::Quarters,
            None => is_redis && !asks_for_entries(&self.to),
        };
        let mut transfer = Transfer::new(name.clone(), target, self.dry_run);
        if json {
            transfer.summary.name_all();
        }
        if keeps_quarters {
            let forgotten = if self.again { Forgotten::Counted } else { Forgotten::Refused };
            transfer.heed(Mark::of(&name)?, forgotten).await?;
            bar.suspend(|| output::complain(if self.again { AGAIN } else { FORGETS }));
        }
        let done = transfer.all(&mut source, &bar).await;
        counting.abort();
        bar.finish_and_clear();
        transfer.end().await;
        let summary = &transfer.summary;
        let said = match json {
            true => output::say_json(&summary.json(self.dry_run)),
            false => output::say(summary.lines(self.dry_run).join("\n")),
        };
        done.map_err(|error| {
            let is_in_vain = error.is::<Repeated>() || error.is::<Disordered>();
            let goes_on = if is_in_vain { "" } else { ", and the same command goes on" };
            error.context(format!("the import was cut off; what was added stays{goes_on}"))
        })?;
        refuse_full(&transfer)?;
        refuse_unreadable(&transfer)?;
        refuse_folded(&transfer)?;
        said
    }

    /// The store; none where a dry run finds that it is not there yet.
    async fn target(&self) -> anyhow::Result<Option<QuotaService<AnyStore>>> {
        let store = match self.dry_run {
            true => target::look(&self.to).await?,
            false => Some(target::open(&self.to).await?),
        };
        Ok(store.map(|store| QuotaService::builder(store).with_deadline(target::PATIENCE).build()))
    }
}

/// The first of these clients, and how many others there are; none where there are none.
fn names<'a>(clients: impl Iterator<Item = &'a ClientId>) -> Option<String> {
    const SHOWN: usize = 20;
    let mut clients = clients.peekable();
    clients.peek()?;
    let first: Vec<_> = clients.by_ref().take(SHOWN).map(|client| shown::escape(client.as_str())).collect();
    let others = clients.count();
    let more = if others > 0 { format!(" and {others} others") } else { String::new() };
    Some(format!("{}{more}", first.join(", ")))
}

/// Clients whose rows are not all there.
fn refuse_full(transfer: &Transfer) -> anyhow::Result<()> {
    let Some(names) = names(transfer.full()) else { return Ok(()) };
    bail!(
        "rows of {names} were left out: a store with quarters tells 100,000 ids of a client apart in 24 hours, and takes no other request \
         of theirs with an id until then. Import into a new store (another database or ?prefix=NAME) with ?detail=entries in its URL, \
         which whoever else opens it has to say as well"
    )
}

/// Clients whose account is damaged, or of a later version.
fn refuse_unreadable(transfer: &Transfer) -> anyhow::Result<()> {
    let Some(names) = names(transfer.unreadable()) else { return Ok(()) };
    bail!(
        "rows of {names} were left out, since the store cannot read what it has of them: `quota status` says why. The others \
         are done, and a later run adds what is missing"
    )
}

/// Rows that may lack, and that the store takes no more.
fn refuse_folded(transfer: &Transfer) -> anyhow::Result<()> {
    let rows = transfer.summary.folded();
    if rows == 0 {
        return Ok(());
    }
    bail!(
        "{rows} rows were left alone, since a pruning folded their time into sums: nothing lacks if they were imported before it. Do \
         not prune before an import is whole: what lacks then can be imported into a new store only (another database or \
         ?prefix=NAME), for to delete a client's usage does not unfold its time"
    )
}

fn read_source_name(text: &str) -> Result<String, String> {
    // The longest keys: those of MongoDB have 24 digits.
    OperationId::new(format!("frappy:{text}:{:024}", 0)).map_err(|error| error.to_string())?;
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Whether the query of a URL chooses entries.
fn asks_for_entries(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| query.split('&').any(|pair| pair == "detail=entries"))
}

/// Tells the bar how many rows there are when that is known: a large table takes a while to count, and nobody waits for it.
/// Nothing is counted for a bar that nobody sees.
fn count_beside(url: &str, names: Names, bar: &ProgressBar) -> JoinHandle<()> {
    let (url, bar) = (url.to_owned(), bar.clone());
    let is_file = url.starts_with("sqlite:");
    let count = async move {
        if bar.is_hidden() {
            return;
        }
        // A count that fails or takes too long leaves a bar without an end.
        if let Ok(mut source) = Source::open(&url, &names).await
            && let Ok(rows) = source.count().await
        {
            bar.set_length(rows);
            if let Ok(style) = ProgressStyle::with_template(WITH_END) {
                bar.set_style(style);
            }
        }
    };
    if is_file {
        // A file is read without waiting: the only thread of a small machine is left to what talks to the target.
        let runtime = Handle::current();
        return tokio::task::spawn_blocking(move || runtime.block_on(count));
    }
    tokio::spawn(count)
}

/// Drawn on the error stream, and only where that is a terminal.
fn progress() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(WITHOUT_END)?);
    Ok(bar)
}
