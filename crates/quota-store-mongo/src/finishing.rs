//! Large deletions brought to their end.

use mongodb::bson::{Document, doc};
use quota_core::{ClientId, Span};
use quota_service::StoreError;

use crate::fields::{corrupt, optional_document, text};
use crate::keys::{digits_in, keys_of};
use crate::pending_deletion::{ENTRIES_AT_ONCE, PendingDeletion};
use crate::tables::{CallError, Tables};

impl Tables {
    /// Takes out what a client's pending deletion left, step by step; does nothing where there is none.
    ///
    /// Any number of processes may do so at once, and end anywhere. A step takes out only what is dead, which is nobody's
    /// already, and then moves the beginning forward if it is still where the step began. Whoever wakes up late finds
    /// nothing to take out, since what was written meanwhile is not dead, and the beginning elsewhere or gone.
    pub(crate) async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        while let Some(mut pending) = self.pending_deletion(client).await? {
            // Asked of a majority, by a change that changes nothing: a primary that loses its place may show a deletion
            // that the next one never heard of.
            let same = doc! { "$set": { "d.f": pending.from() } };
            if !self.change_pending(client, &pending, same).await? {
                continue;
            }
            while let Some(left) = self.take_some_out(client, &pending).await? {
                pending = left;
            }
        }
        Ok(())
    }

    async fn pending_deletion(&self, client: &ClientId) -> Result<Option<PendingDeletion>, StoreError> {
        let found = self.get(&self.accounts, client.as_str(), Some(doc! { "d": 1 })).await?;
        let found = found.as_ref().map(|found| optional_document(found, "d")).transpose()?.flatten();
        found.map(PendingDeletion::read).transpose()
    }

    /// One step. Says what is left; none where nothing is, or others have moved the beginning.
    async fn take_some_out(
        &self,
        client: &ClientId,
        pending: &PendingDeletion,
    ) -> Result<Option<PendingDeletion>, StoreError> {
        // By keys, whatever they hold: so a step is short also where much is gone already, or was written since.
        let next = self.digits_at(pending.keys(client), 1, ENTRIES_AT_ONCE).await?;
        let (keys, change) = match &next {
            Some(next) => (pending.keys_before(client, next), doc! { "$set": { "d.f": next } }),
            None => (pending.keys(client), doc! { "$unset": { "d": "" } }),
        };
        self.take_out(client, pending.dead(keys)).await?;
        let is_moved = self.change_pending(client, pending, change).await?;
        Ok(next.filter(|_| is_moved).map(|next| pending.moved_to(next)))
    }

    /// Takes out what of these entries of a client stands, and says how many.
    pub(crate) async fn take_out(&self, client: &ClientId, mut entries: Document) -> Result<u64, StoreError> {
        entries.extend(doc! { "c": client.as_str(), "gone": { "$exists": false } });
        let statement = doc! { "q": entries, "u": forget(), "multi": true };
        let taken = self.update(&self.entries, vec![statement]).await.map_err(CallError::of_read)?;
        Ok(u64::try_from(taken).unwrap_or_default())
    }

    /// Changes the account of a pending deletion, if it still says so; else somebody else has taken something out. Its
    /// version stays: nothing changes for whoever commits on it.
    async fn change_pending(
        &self,
        client: &ClientId,
        pending: &PendingDeletion,
        change: Document,
    ) -> Result<bool, StoreError> {
        let statement = doc! { "q": pending.stands(client), "u": change };
        Ok(self.update(&self.accounts, vec![statement]).await.map_err(CallError::of_read)? > 0)
    }

    /// The digits of the last key of these instants where there are more than are taken out at once.
    pub(crate) async fn last_of_many(&self, client: &ClientId, span: Span) -> Result<Option<String>, StoreError> {
        let keys = keys_of(client, span);
        if self.digits_at(keys.clone(), 1, ENTRIES_AT_ONCE).await?.is_none() {
            return Ok(None);
        }
        self.digits_at(keys, -1, 0).await
    }

    /// The digits of one of some keys, in this order, after so many: read from the keys' index alone.
    pub(crate) async fn digits_at(&self, keys: Document, order: i32, skip: u64) -> Result<Option<String>, StoreError> {
        let find = self.entries.find_one(doc! { "_id": keys }).projection(doc! { "_id": 1 });
        let find = find.sort(doc! { "_id": order }).skip(skip);
        let Some(found) = self.timely(find).await.map_err(CallError::of_read)? else { return Ok(None) };
        let key = text(&found, "_id")?;
        digits_in(key).map(|digits| Some(digits.to_owned())).ok_or_else(|| corrupt("an entry's key", key))
    }
}

/// How an entry is taken out: what it was is forgotten, and its key stays for a week, so that nobody who is late with the
/// outbox that made it adds it again. The week is the server's, which sweeps it up.
pub(crate) fn forget() -> Document {
    doc! { "$currentDate": { "gone": true }, "$unset": { "i": "", "m": "", "l": "" } }
}
