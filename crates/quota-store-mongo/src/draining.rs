//! An outbox, written into the ledger.

use mongodb::bson::{Document, doc};
use quota_core::ClientId;

use crate::finishing::forget;
use crate::keys::{id_key, keys_of, quarter_key};
use crate::outbox::{Outbox, QuarterDelta, Removed, entry_document};
use crate::tables::{CallError, Tables};

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
        let entries = async {
            if outbox.entries.is_empty() {
                return Ok(());
            }
            let numbered = outbox.entries.iter().enumerate();
            let document = |(number, entry)| entry_document(client, entry, outbox.seq, number);
            self.insert(&self.entries, &numbered.map(document).collect::<Vec<_>>()).await
        };
        let quarters = async {
            if outbox.quarters.is_empty() {
                return Ok(());
            }
            let statements = outbox.quarters.iter().map(|delta| add_to_quarter(client, delta, outbox.seq)).collect();
            self.update(&self.quarters, statements).await.map(|_| ())
        };
        futures_util::future::try_join(entries, quarters).await.map(|_| ())
    }

    async fn remove(&self, client: &ClientId, removed: &Removed, outbox: &Outbox) -> Result<(), CallError> {
        let live = doc! { "$exists": false };
        let before = doc! { "$lt": outbox.seq };
        let forget = forget();
        match removed {
            Removed::Entry { at, id } => {
                let key = keys_of(client, (*at, at.saturating_add(1)));
                let one = doc! { "_id": key, "i": id_key(client, id), "s": before, "gone": live };
                self.update(&self.entries, vec![doc! { "q": one, "u": forget, "multi": true }]).await?;
            }
            Removed::Range { entries, quarters } => {
                if entries.0 < entries.1 {
                    let some = doc! { "_id": keys_of(client, *entries), "s": before.clone(), "gone": live };
                    self.update(&self.entries, vec![doc! { "q": some, "u": forget, "multi": true }]).await?;
                }
                let sums = doc! { "_id": keys_of(client, *quarters), "s": before };
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
