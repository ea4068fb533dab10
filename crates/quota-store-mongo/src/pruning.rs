//! Old entries folded into their quarters' sums.

use mongodb::Collection;
use mongodb::bson::{Document, doc};
use quota_core::{ClientId, Cut, Instant, QUARTER_MILLIS, quarter_of};
use quota_service::{ClientsQuery, Patience, Pruned, StoreError};
use uuid::Uuid;

use crate::claim::{Claim, Claimed};
use crate::fields::number;
use crate::keys::keys_of;
use crate::pending_deletion::ENTRIES_AT_ONCE;
use crate::store::MongoStore;
use crate::tables::CallError;

/// As many clients are looked through in one reading.
const CLIENTS_AT_ONCE: usize = 500;

/// Entries that are folded at once.
struct Old {
    /// All before this: the end of the last one's quarter.
    folded_until: i64,
    pruned: Pruned,
}

impl MongoStore {
    /// Client by client, in steps of a bounded size that each are a commit on the account's version. Whoever else prunes
    /// at the same time finds nothing left; an end in between leaves entries that are folded and still there, which is as
    /// good, and the next pruning finds them. Pending deletions are finished first.
    pub(crate) async fn prune_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        let mut pruned = Pruned::default();
        let mut query = ClientsQuery { limit: CLIENTS_AT_ONCE, ..ClientsQuery::default() };
        loop {
            let clients = self.list_clients(&query).await?;
            for client in &clients {
                self.tables.finish_deletion(client).await?;
                while let Some(folded) = self.fold(client, before).await? {
                    pruned.entries = pruned.entries.saturating_add(folded.entries);
                    pruned.ids = pruned.ids.saturating_add(folded.ids);
                }
                if let Some(retention) = self.settings.retention {
                    let horizon = quarter_of(before.saturating_sub(retention)).millis();
                    self.delete(&self.tables.quarters, doc! { "c": client.as_str(), "q": { "$lt": horizon } }).await?;
                }
            }
            query.after = clients.last().cloned();
            if clients.len() < CLIENTS_AT_ONCE {
                return Ok(pruned);
            }
        }
    }

    /// Folds some whole quarters of a client; none where nothing is left.
    async fn fold(&self, client: &ClientId, before: Instant) -> Result<Option<Pruned>, StoreError> {
        let mut patience = Patience::new(self.settings.patience);
        let mut claim = Claim::new();
        let mut claimed = None;
        loop {
            // First, since most clients have nothing old. What only stands in an outbox yet is for the next pruning.
            let Some(first) = self.nth_entry(client, before.millis(), 0).await? else {
                if claimed.is_some() {
                    claim.release(&self.tables, client).await;
                }
                return Ok(None);
            };
            let stored = self.beside(client).await?;
            if stored.version.is_empty() {
                return Ok(None);
            }
            if stored.pending.is_some() {
                // Else what is dead would count as folded. It was made since this client was found.
                if claimed.take().is_some() {
                    claim.release(&self.tables, client).await;
                }
                self.tables.finish_deletion(client).await?;
                continue;
            }
            let old = self.oldest(client, first, before).await?;
            let filter = stored.filter(client.as_str(), claimed.map(|()| &claim));
            // Not further than there were entries: where none were folded, ranges may go on to begin and end anywhere.
            let folded_until = old.folded_until.max(stored.folded_until.millis());
            let set = doc! { "v": Uuid::new_v4().simple().to_string(), "f": folded_until };
            // The outbox stands in the ledger. Left here, whoever reads it next would add what is folded once more.
            let fold = doc! { "q": filter, "u": { "$set": set, "$unset": { "o": "", "w": "" } } };
            if self.tables.update(&self.tables.accounts, vec![fold]).await.map_err(CallError::of_write)? > 0 {
                // Not further: a backfill since may have added entries that no range knows to be folded.
                let deleted = self.delete(&self.tables.entries, old_entries(client, old.folded_until)).await?;
                // None where somebody else folds them at the same time.
                return Ok((deleted > 0).then_some(old.pruned));
            }
            claimed = loop {
                patience.lose().await?;
                match claim.take(&self.tables, client).await? {
                    Claimed::Account(_) => break Some(()),
                    Claimed::Absent => return Ok(None),
                    Claimed::Waits => {}
                }
            };
        }
    }

    /// As many of a client's entries, from its first on, as are folded at once.
    async fn oldest(&self, client: &ClientId, first: i64, before: Instant) -> Result<Old, StoreError> {
        let until = match self.nth_entry(client, before.millis(), ENTRIES_AT_ONCE).await? {
            Some(at) => Cut::floor(at).max(Cut::floor(first).saturating_add(QUARTER_MILLIS)),
            None => before.millis(),
        };
        let old = old_entries(client, until);
        let mut with_ids = old.clone();
        with_ids.insert("i", doc! { "$exists": true });
        let pruned = Pruned { entries: self.count(old).await?, ids: self.count(with_ids).await? };
        let last = self.last_entry(client, until).await?.unwrap_or(first);
        Ok(Old { folded_until: Cut::floor(last).saturating_add(QUARTER_MILLIS), pruned })
    }

    async fn nth_entry(&self, client: &ClientId, before: i64, nth: u64) -> Result<Option<i64>, StoreError> {
        self.at_of(old_entries(client, before), doc! { "_id": 1 }, nth).await
    }

    async fn last_entry(&self, client: &ClientId, before: i64) -> Result<Option<i64>, StoreError> {
        self.at_of(old_entries(client, before), doc! { "_id": -1 }, 0).await
    }

    async fn at_of(&self, filter: Document, order: Document, skip: u64) -> Result<Option<i64>, StoreError> {
        let find = self.tables.entries.find_one(filter).projection(doc! { "t": 1 }).sort(order).skip(skip);
        let found = self.tables.timely(find).await.map_err(CallError::of_read)?;
        found.map(|found| number(&found, "t")).transpose()
    }

    async fn count(&self, filter: Document) -> Result<u64, StoreError> {
        self.tables.timely(self.tables.entries.count_documents(filter)).await.map_err(CallError::of_read)
    }

    async fn delete(&self, collection: &Collection<Document>, filter: Document) -> Result<u64, StoreError> {
        let deleted = self.tables.timely(collection.delete_many(filter)).await;
        deleted.map(|deleted| deleted.deleted_count).map_err(CallError::of_write)
    }
}

/// A client's entries before an instant.
fn old_entries(client: &ClientId, before: i64) -> Document {
    doc! { "_id": keys_of(client, (0, before)), "gone": { "$exists": false } }
}
