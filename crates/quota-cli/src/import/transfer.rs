//! Rows taken from a source to a store.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use quota_core::{ClientId, Detail, Instant, PastEntry};
use quota_service::{AnyStore, Clock, QuotaService, SystemClock, UsageStore};

use crate::import::filling::{Filled, Filling};
use crate::import::mark::{Mark, present};
use crate::import::row::{Row, Skip};
use crate::import::source::Source;
use crate::import::summary::Summary;

/// How many clients are written at once.
const AT_ONCE: usize = 16;

/// How many rows are read before they are written, each client's together: the more, the fewer commits.
const GATHERED: usize = 50_000;

/// What becomes of rows that the store has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgotten {
    /// None is imported.
    Refused,
    /// All are counted again.
    Counted,
}

pub(super) struct Transfer {
    /// The table's or collection's name: a part of every id.
    name: String,
    target: Option<QuotaService<AnyStore>>,
    dry_run: bool,
    /// Looked at before each batch, where the store forgets rows.
    mark: Option<Mark>,
    /// To be left there before the first row.
    unmarked: Option<Mark>,
    pub(super) summary: Summary,
    full: BTreeSet<ClientId>,
    /// Clients that the store cannot read.
    unreadable: BTreeSet<ClientId>,
}

impl Transfer {
    pub(super) fn new(name: String, target: Option<QuotaService<AnyStore>>, dry_run: bool) -> Self {
        let keeps_entries = |target: &QuotaService<AnyStore>| target.store().detail() == Detail::Entries;
        let is_unlooked = dry_run && !target.as_ref().is_none_or(keeps_entries);
        let mut summary = Summary::new();
        (summary.is_unlooked, summary.is_absent) = (is_unlooked, target.is_none());
        let (full, unreadable) = (BTreeSet::new(), BTreeSet::new());
        Self { name, target, dry_run, mark: None, unmarked: None, summary, full, unreadable }
    }

    /// For a store that forgets rows.
    ///
    /// # Errors
    /// An earlier import brought some that it has forgotten, and to count them again was not asked for.
    pub(super) async fn heed(&mut self, mark: Mark, forgotten: Forgotten) -> anyhow::Result<()> {
        if let (Some(target), Forgotten::Refused) = (&self.target, forgotten) {
            mark.check(target).await?;
            self.mark = Some(mark.clone());
        }
        self.unmarked = Some(mark);
        Ok(())
    }

    /// Everything that the source has. What was read before the source fails is written.
    pub(super) async fn all(&mut self, source: &mut Source, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        loop {
            let page = source.page().await;
            let is_last = page.as_ref().map_or(true, Vec::is_empty);
            let failed = page.map(|page| rows.extend(page)).err();
            let is_enough = is_last || rows.len() >= GATHERED;
            let taken = if is_enough { self.take(std::mem::take(&mut rows), bar).await } else { Ok(()) };
            match (failed, taken) {
                (None, Ok(())) if !is_last => {}
                (None, taken) => return taken,
                (Some(failed), Ok(())) => return Err(failed),
                (Some(failed), Err(error)) => {
                    let both = format!("{failed:#}; of what was read before it not all could be written");
                    return Err(error.context(both));
                }
            }
        }
    }

    /// Clients with more rows than the store tells apart.
    pub(super) fn full(&self) -> impl Iterator<Item = &ClientId> {
        self.full.iter()
    }

    /// Clients that the store cannot read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &ClientId> {
        self.unreadable.iter()
    }

    pub(super) async fn end(&self) {
        if let Some(target) = &self.target {
            target.shutdown().await;
        }
    }

    async fn take(&mut self, rows: Vec<Row>, bar: &ProgressBar) -> anyhow::Result<()> {
        let now = self.now().await?;
        let mut clients: BTreeMap<ClientId, Vec<PastEntry>> = BTreeMap::new();
        for row in rows {
            self.summary.read = self.summary.read.saturating_add(row.count);
            match row.entry(&self.name, now) {
                Ok((client, _)) if self.full.contains(&client) => {
                    self.summary.skip(&row.key, row.count, Skip::TooManyIds(client));
                    bar.inc(row.count);
                }
                Ok((client, entry)) => clients.entry(client).or_default().push(entry),
                Err(skip) => {
                    self.summary.skip(&row.key, row.count, skip);
                    bar.inc(row.count);
                }
            }
        }
        let Some(target) = self.target.clone().filter(|_| !self.summary.is_unlooked) else {
            let count = u64::try_from(clients.values().map(Vec::len).sum::<usize>())?;
            self.summary.added += count;
            bar.inc(count);
            return Ok(());
        };
        if !self.dry_run
            && !clients.is_empty()
            && let Some(mark) = &self.unmarked
        {
            mark.leave(&target).await?;
            self.unmarked = None;
        }
        let (stop, mark, is_tried) = (Cell::new(false), self.mark.clone(), self.dry_run);
        let filling = Filling { target: &target, mark: mark.as_ref(), stop: &stop };
        let filled = stream::iter(clients).map(|(client, entries)| async move {
            if is_tried { filling.look(client, entries).await } else { filling.fill(client, entries).await }
        });
        let mut filled = std::pin::pin!(filled.buffer_unordered(AT_ONCE));
        let mut failed = None;
        while let Some(filled) = filled.next().await {
            bar.inc(filled.rows());
            failed = failed.or(self.note(filled));
        }
        failed.map_or(Ok(()), Err)
    }

    async fn now(&self) -> anyhow::Result<Instant> {
        match &self.target {
            Some(target) => present(target.store()).await,
            None => Ok(SystemClock.now()),
        }
    }

    /// Counts what became of a client's entries; why the rest of them was not written.
    fn note(&mut self, filled: Filled) -> Option<anyhow::Error> {
        self.summary.added += filled.added;
        self.summary.there += filled.there;
        filled.conflicts.iter().for_each(|id| self.summary.conflict(id.as_str()));
        filled.folded.iter().for_each(|id| self.summary.fold(id.as_str()));
        let begins = format!("frappy:{}:", self.name);
        for (id, skip) in filled.refused {
            match &skip {
                Skip::TooManyIds(client) => self.full.insert(client.clone()),
                Skip::Unreadable(client) => self.unreadable.insert(client.clone()),
                _ => false,
            };
            self.summary.skip(id.as_str().strip_prefix(&begins).unwrap_or(id.as_str()), 1, skip);
        }
        filled.failed
    }
}
