//! An outbox, written into the ledger.

use futures_util::future::{try_join, try_join_all};
use mongodb::bson::{Document, doc};
use quota_core::ClientId;
use quota_service::StoreError;

use crate::finishing::forget;
use crate::keys::{id_key, keys_of, quarter_key};
use crate::outbox::{Outbox, QuarterDelta, Removed, entry_document};
use crate::tables::{CallError, Tables};

/// Documents in one command: well below what a server takes, and what takes it long.
const AT_ONCE: usize = 1_000;

impl Tables {
    /// Writes what a commit left into the ledger. Any number of processes may do so at once and again, also one that
    /// wakes up when later commits stand there: entries have keys of their own that stay when they are taken out, and a
    /// quarter knows the last commit that it has counted.
    ///
    /// The commit before stands in the ledger whole: nobody commits while what he found there does not.
    pub(crate) async fn drain(&self, client: &ClientId, outbox: &Outbox) -> Result<(), CallError> {
        if let Some(removed) = &outbox.removed {
            self.remove(client, removed, outbox).await?;
        }
        self.add(&[(client, outbox)]).await
    }

    /// The same for what an account was found with, if a majority has it at this version; says whether it has. A primary that
    /// loses its place may show a commit that the next one never heard of: its entries would be nobody's.
    pub(crate) async fn drain_found(
        &self,
        client: &ClientId,
        version: &str,
        outbox: &Outbox,
    ) -> Result<bool, StoreError> {
        let stands = self.is_at(client, version).await.map_err(CallError::of_read)?;
        if stands {
            self.drain(client, outbox).await.map_err(CallError::of_read)?;
        }
        Ok(stands)
    }

    /// The same for the commits of a batch, each of another client; what they add goes in as few commands as if it were
    /// one client's.
    pub(crate) async fn drain_all(&self, outboxes: &[(&ClientId, &Outbox)]) -> Result<(), CallError> {
        let removes = |(_, outbox): &(&ClientId, &Outbox)| outbox.removed.is_some();
        let (removing, adding): (Vec<_>, Vec<_>) = outboxes.iter().copied().partition(removes);
        let removed = try_join_all(removing.into_iter().map(|(client, outbox)| self.drain(client, outbox)));
        try_join(removed, self.add(&adding)).await.map(|_| ())
    }

    /// Adds entries, and to sums.
    async fn add(&self, outboxes: &[(&ClientId, &Outbox)]) -> Result<(), CallError> {
        let entries = outboxes.iter().flat_map(|(client, outbox)| {
            let numbered = outbox.entries.iter().enumerate();
            numbered.map(|(number, entry)| entry_document(client, entry, outbox.seq, number))
        });
        let quarters = outboxes
            .iter()
            .flat_map(|(client, outbox)| outbox.quarters.iter().map(|delta| add_to_quarter(client, delta, outbox.seq)));
        let (entries, quarters): (Vec<_>, Vec<_>) = (entries.collect(), quarters.collect());
        let entries = try_join_all(entries.chunks(AT_ONCE).map(|some| self.insert(&self.entries, some)));
        let quarters = try_join_all(quarters.chunks(AT_ONCE).map(|some| self.update(&self.quarters, some.to_vec())));
        try_join(entries, quarters).await.map(|_| ())
    }

    /// Where collections are sharded by client, each change names it: else it would go to all shards, and one that moves the
    /// client's documents meanwhile might miss it.
    async fn remove(&self, client: &ClientId, removed: &Removed, outbox: &Outbox) -> Result<(), CallError> {
        let live = doc! { "$exists": false };
        let before = doc! { "$lt": outbox.seq };
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
                let zero = doc! { "m": 0_i64, "n": 0_i64, "s": outbox.seq };
                let empty = doc! { "$set": zero, "$currentDate": { "gone": true } };
                self.update(&self.quarters, vec![doc! { "q": sums, "u": empty, "multi": true }]).await?;
            }
        }
        Ok(())
    }
}

fn add_to_quarter(client: &ClientId, delta: &QuarterDelta, seq: i64) -> Document {
    // Where the quarter has counted this commit, the query finds nothing, and to make another one fails on its key.
    let key = quarter_key(client, delta.quarter, &delta.label);
    let quarter = doc! { "_id": key, "c": client.as_str(), "s": { "$lt": seq } };
    let add = doc! {
        "$inc": { "m": delta.micros, "n": delta.entries },
        "$set": { "s": seq },
        "$setOnInsert": { "q": delta.quarter, "l": &delta.label },
        "$unset": { "gone": "" },
    };
    doc! { "q": quarter, "u": add, "upsert": true }
}
