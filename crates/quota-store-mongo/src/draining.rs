//! What commits left, written into the ledger.

use std::sync::Arc;

use futures_util::future::{try_join, try_join_all};
use mongodb::bson::{Document, doc};
use quota_core::ClientId;
use quota_service::StoreError;

use crate::finishing::forget;
use crate::keys::{id_key, keys_of, quarter_key};
use crate::part::{OfQuarter, Part, Removed, entry_document};
use crate::stored::Stored;
use crate::tables::{CallError, Tables};

/// Documents in one command: well below what a server takes, and what takes it long.
const AT_ONCE: usize = 1_000;

impl Tables {
    /// Writes all that an account has for the ledger, and its newest quarter. Any number of processes may do so at once and again,
    /// also one that wakes up when later commits stand there: entries have keys of their own that stay when they are taken out,
    /// and a quarter knows the last commit that it has counted.
    pub(crate) async fn drain(&self, client: &ClientId, stored: &Stored) -> Result<(), CallError> {
        let parts: Vec<_> = stored.outbox.waiting().map(|part| (client, part)).collect();
        try_join(self.write_parts(&parts), self.write_open(client, stored)).await.map(|_| ())
    }

    /// The same for an account as it was found, if a majority has it at this version; says whether it has. A primary that
    /// loses its place may show a commit that the next one never heard of: its entries would be nobody's.
    pub(crate) async fn drain_found(&self, client: &ClientId, stored: &Stored) -> Result<bool, StoreError> {
        let stands = self.is_at(client, &stored.version).await.map_err(CallError::of_read)?;
        if stands {
            self.drain(client, stored).await.map_err(CallError::of_read)?;
        }
        Ok(stands)
    }

    /// Writes parts that commits left, of any clients, of which a majority has the accounts: what they add in as few commands as if
    /// they were one.
    pub(crate) async fn write_parts(&self, parts: &[(&ClientId, &Arc<Part>)]) -> Result<(), CallError> {
        let takes_out = |(_, part): &(&ClientId, &Arc<Part>)| part.removed.is_some();
        let (removing, adding): (Vec<_>, Vec<_>) = parts.iter().copied().partition(takes_out);
        let removed = try_join_all(removing.into_iter().map(|(client, part)| self.write_removing(client, part)));
        try_join(removed, self.add(&adding)).await?;
        parts.iter().for_each(|(_, part)| part.set_standing());
        Ok(())
    }

    async fn write_removing(&self, client: &ClientId, part: &Arc<Part>) -> Result<(), CallError> {
        if let Some(removed) = &part.removed {
            self.remove(client, removed, part.seq).await?;
        }
        self.add(&[(client, part)]).await
    }

    /// Adds entries, and to sums.
    async fn add(&self, parts: &[(&ClientId, &Arc<Part>)]) -> Result<(), CallError> {
        let entries = parts.iter().flat_map(|(client, part)| {
            let numbered = part.entries.iter().enumerate();
            numbered.map(|(number, entry)| entry_document(client, entry, part.seq, number))
        });
        let quarters = parts.iter().flat_map(|(client, part)| {
            let added = part.added.iter().map(|added| add_to_quarter(client, added, part.seq));
            added.chain(part.closed.iter().map(|total| set_quarter(client, total, part.seq)))
        });
        let (entries, quarters): (Vec<_>, Vec<_>) = (entries.collect(), quarters.collect());
        let entries = try_join_all(entries.chunks(AT_ONCE).map(|some| self.insert(&self.entries, some)));
        let quarters = try_join_all(quarters.chunks(AT_ONCE).map(|some| self.change_quarters(some.to_vec())));
        try_join(entries, quarters).await.map(|_| ())
    }

    /// Writes what the newest quarter comes to.
    async fn write_open(&self, client: &ClientId, stored: &Stored) -> Result<(), CallError> {
        let open = &stored.open;
        if open.stands() {
            return Ok(());
        }
        let totals = open.totals().map(|total| set_quarter(client, &total, open.seq()));
        self.change_quarters(totals.collect()).await
    }

    /// Two that make the same quarter at once may both find none: the one that is refused has not been passed by a later commit,
    /// as it seems, but may be the later one. Asked again it finds the quarter.
    async fn change_quarters(&self, statements: Vec<Document>) -> Result<(), CallError> {
        let refused = self.update_each(&self.quarters, statements.clone()).await?.whole()?.refused;
        let again = |place: &i64| statements.get(usize::try_from(*place).ok()?).cloned();
        let again: Vec<Document> = refused.iter().filter_map(again).collect();
        if !again.is_empty() {
            self.update(&self.quarters, again).await?;
        }
        Ok(())
    }

    /// Where collections are sharded by client, each change names it: else it would go to all shards, and one that moves the
    /// client's documents meanwhile might miss it.
    async fn remove(&self, client: &ClientId, removed: &Removed, seq: i64) -> Result<(), CallError> {
        let live = doc! { "$exists": false };
        let before = doc! { "$lt": seq };
        let forget = forget();
        match removed {
            Removed::Entry { at, id } => {
                let key = keys_of(client, (*at, at.saturating_add(1)));
                let one = doc! { "_id": key, "c": client.as_str(), "i": id_key(client, id), "s": before, "gone": live };
                self.update(&self.entries, vec![doc! { "q": one, "u": forget, "multi": true }]).await?;
            }
            Removed::Range { entries, quarters } => {
                if entries.0 < entries.1 {
                    let keys = keys_of(client, *entries);
                    let some = doc! { "_id": keys, "c": client.as_str(), "s": before.clone(), "gone": live };
                    self.update(&self.entries, vec![doc! { "q": some, "u": forget, "multi": true }]).await?;
                }
                let sums = doc! { "_id": keys_of(client, *quarters), "c": client.as_str(), "s": before };
                let zero = doc! { "m": 0_i64, "n": 0_i64, "s": seq };
                let empty = doc! { "$set": zero, "$currentDate": { "gone": true } };
                self.update(&self.quarters, vec![doc! { "q": sums, "u": empty, "multi": true }]).await?;
            }
        }
        Ok(())
    }
}

/// Adds to a quarter. All that commits before have added stands there.
fn add_to_quarter(client: &ClientId, added: &OfQuarter, seq: i64) -> Document {
    let amounts = doc! { "$inc": { "m": added.micros, "n": added.entries }, "$set": { "s": seq } };
    // Where it is there no more, it was forgotten, and with it what is taken out of it.
    change_quarter(client, added, seq, amounts, added.entries >= 0)
}

/// Says what a quarter came to at a commit.
fn set_quarter(client: &ClientId, total: &OfQuarter, seq: i64) -> Document {
    change_quarter(client, total, seq, doc! { "$set": { "m": total.micros, "n": total.entries, "s": seq } }, true)
}

fn change_quarter(client: &ClientId, of: &OfQuarter, seq: i64, mut change: Document, makes: bool) -> Document {
    // Where the quarter has counted this commit, the query finds nothing, and to make another one fails on its key.
    let key = quarter_key(client, of.quarter, &of.label);
    let quarter = doc! { "_id": key, "c": client.as_str(), "s": { "$lt": seq } };
    change.extend(doc! { "$setOnInsert": { "q": of.quarter, "l": &of.label }, "$unset": { "gone": "" } });
    doc! { "q": quarter, "u": change, "upsert": makes }
}
