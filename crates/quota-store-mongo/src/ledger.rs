//! What a client's ledger says.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use quota_core::{ClientId, Cut, Entry, Fact, Instant, Labels, Need, OperationId, Span, Window};
use quota_service::StoreError;

use crate::fields::{count, credits, label, number, optional_text};
use crate::keys::{id_key, keys_of};
use crate::part::{OfQuarter, read_entry};
use crate::pending_deletion::PendingDeletion;
use crate::tables::{CallError, Tables};
use crate::together::Together;

/// Credits and entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) micros: i64,
    pub(crate) entries: i64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        // The lifetime sum bounds it.
        self.micros = self.micros.saturating_add(other.micros);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

/// One client's ledger, when what its commits left stands in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) client: &'a ClientId,
    pub(crate) folded_until: Instant,
    /// The number of the last commit before that was folded.
    pub(crate) folded_seq: i64,
    /// What of it is dead.
    pub(crate) pending: Option<&'a PendingDeletion>,
}

impl Ledger<'_> {
    /// What it says to a need.
    pub(crate) async fn fact(&self, need: &Need) -> Result<Fact, StoreError> {
        match need {
            Need::Entry(id) => {
                let found = self.named_alone(std::slice::from_ref(id)).await?;
                Ok(Fact::Entry(self.unfolded_of(&found)?.pop()))
            }
            Need::Sum { window, except } => {
                let mut sum = Sum::default();
                for part in window.without(*except) {
                    sum.add(self.sum(part).await?);
                }
                Ok(Fact::Sum(credits(sum.micros)?))
            }
            Need::Count(range) => {
                let sum = self.sum(*range).await?;
                Ok(Fact::Count { entries: count(sum.entries)?, credits: credits(sum.micros)? })
            }
        }
    }

    /// Which entries from an instant on are not folded. What is folded and stands there again was brought back by somebody
    /// late.
    pub(crate) fn unfolded(&self, from: Instant) -> Document {
        if from >= self.folded_until {
            return Document::new();
        }
        let (later, newer) =
            (doc! { "t": { "$gte": self.folded_until.millis() } }, doc! { "s": { "$gt": self.folded_seq } });
        doc! { "$or": [later, newer] }
    }

    /// The entries with these ids, asked for with those of other clients.
    pub(crate) async fn named(&self, ids: &[OperationId], together: &Together<'_>) -> Result<Vec<Entry>, StoreError> {
        let found = match self.pending {
            None => together.named(self.client, ids).await?,
            Some(_) => self.named_alone(ids).await?,
        };
        self.unfolded_of(&found)
    }

    async fn named_alone(&self, ids: &[OperationId]) -> Result<Vec<Document>, StoreError> {
        let keys: Vec<String> = ids.iter().map(|id| id_key(self.client, id)).collect();
        let mut filter = doc! { "i": { "$in": keys }, "c": self.client.as_str() };
        filter.extend(self.live());
        self.tables.find(&self.tables.entries, filter, None).await
    }

    /// Looked at here: asked for by the filter, not every server would still find ids by their index.
    fn unfolded_of(&self, found: &[Document]) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for found in found {
            let entry = read_entry(found)?;
            if entry.at >= self.folded_until || number(found, "s")? > self.folded_seq {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The sum of a range; where it cuts a quarter whose entries are folded, the whole quarter counts.
    pub(crate) async fn sum(&self, range: Window) -> Result<Sum, StoreError> {
        if range.is_empty() {
            return Ok(Sum::default());
        }
        let Cut { quarters, edges } = Cut::new(range, self.folded_until);
        let mut sum = Sum::default();
        if quarters.0 < quarters.1 {
            let filter = self.quarters_in(quarters);
            let add = doc! { "_id": Bson::Null, "m": { "$sum": "$m" }, "n": { "$sum": "$n" } };
            for group in self.group(&self.tables.quarters, filter, add).await? {
                sum.add(Sum { micros: number(&group, "m")?, entries: number(&group, "n")? });
            }
        }
        for (from, to) in edges.into_iter().filter(|(from, to)| from < to) {
            let add = doc! { "_id": Bson::Null, "m": { "$sum": "$m" }, "n": { "$sum": 1_i64 } };
            for group in self.group(&self.tables.entries, self.entries_in((from, to)), add).await? {
                sum.add(Sum { micros: number(&group, "m")?, entries: number(&group, "n")? });
            }
        }
        Ok(sum)
    }

    /// What quarters lose whose entries are taken out in part: `edges` are these parts.
    pub(crate) async fn cut_from_quarters(
        &self,
        edges: &[Span],
        labels: &Labels,
    ) -> Result<Vec<OfQuarter>, StoreError> {
        let mut deltas = Vec::new();
        for span in edges.iter().filter(|(from, to)| from < to) {
            let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
            // By the server: a quarter may hold any number of entries.
            let add = doc! { "_id": "$l", "m": { "$sum": "$m" }, "n": { "$sum": 1_i64 } };
            for group in self.group(&self.tables.entries, self.entries_in(*span), add).await? {
                let label = label(optional_text(&group, "_id")?.unwrap_or_default())?;
                let counted = labels.counted(label.as_ref()).to_owned();
                sums.entry(counted)
                    .or_default()
                    .add(Sum { micros: number(&group, "m")?, entries: number(&group, "n")? });
            }
            let delta = |(label, sum): (String, Sum)| OfQuarter {
                quarter: Cut::floor(span.0),
                label,
                micros: sum.micros.saturating_neg(),
                entries: sum.entries.saturating_neg(),
            };
            deltas.extend(sums.into_iter().map(delta));
        }
        Ok(deltas)
    }

    pub(crate) fn quarters_in(&self, span: Span) -> Document {
        self.with_keys(keys_of(self.client, span))
    }

    pub(crate) fn entries_in(&self, span: Span) -> Document {
        let mut filter = self.with_keys(keys_of(self.client, span));
        filter.extend(self.live());
        filter
    }

    /// Which documents have some of the client's keys. It is named itself as well: where collections are sharded by it, no
    /// other shard is asked.
    pub(crate) fn with_keys(&self, keys: Document) -> Document {
        doc! { "_id": keys, "c": self.client.as_str() }
    }

    /// Which entries may be seen.
    pub(crate) fn live(&self) -> Document {
        let mut filter = doc! { "gone": { "$exists": false } };
        if let Some(pending) = self.pending {
            // Looked over, not skipped: others may have been written between them. No more than there was before.
            filter.insert("$nor", [pending.dead(pending.keys(self.client))]);
        }
        filter
    }

    async fn group(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        group: Document,
    ) -> Result<Vec<Document>, StoreError> {
        let grouped = collection.aggregate([doc! { "$match": filter }, doc! { "$group": group }]);
        let read = self.tables.timely(async { grouped.await?.try_collect().await });
        read.await.map_err(CallError::of_read)
    }
}
