//! Old entries folded into their quarters' sums.

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use quota_core::{ClientId, Cut, Instant, QUARTER_MILLIS, Span, quarter_of};
use quota_service::{Patience, Pruned, StoreError};
use uuid::Uuid;

use crate::claim::Claim;
use crate::fields::{corrupt, documents, number, optional_number, text};
use crate::keys::{at_of, keys_of};
use crate::pending_deletion::ENTRIES_AT_ONCE;
use crate::store::MongoStore;
use crate::stored::Stored;
use crate::tables::CallError;

/// As many clients are looked through in one reading.
const CLIENTS_AT_ONCE: usize = 500;

/// A client as it is found by a pruning.
struct Found {
    /// Not read as a client's yet.
    name: String,
    /// Its pending deletion and when entries of its outbox were, not read yet either.
    account: Document,
}

/// Entries that are folded at once: those of these instants that no later commit added.
struct Old {
    /// From the first one on, to the end of the last one's quarter.
    span: Span,
    seq: i64,
    /// Else they were added late to what was folded before.
    is_further: bool,
    /// The last commit before that was folded, and until where: what it or one before added of those before is brought back, and
    /// counts nowhere.
    folded_seq: i64,
    folded_until: Instant,
    /// The last commit before that took something out.
    removed_seq: i64,
    /// What a fold that goes further folds, if it is done on the account as it was read.
    pruned: Pruned,
}

impl Old {
    /// Whether it still is what is to be folded. What later commits have added is not, and counts as what was added late.
    fn stands(&self, stored: &Stored) -> bool {
        self.removed_seq == stored.removed_seq
            && self.folded_seq == stored.folded_seq
            && self.folded_until == stored.folded_until
    }
}

impl MongoStore {
    /// Client by client, in steps of a bounded size that each are a commit on the account's version. Whoever else prunes
    /// at the same time finds nothing left; an end in between leaves entries that are folded and still there, which is as
    /// good, and the next pruning finds them. Pending deletions are finished first.
    ///
    /// # Errors
    /// What is stored for a client and cannot be read stops nobody else's pruning: it is logged, and the first such error
    /// is told when all clients have been looked through. Where the server does not answer, the pruning ends there.
    pub(crate) async fn prune_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        let mut pruned = Pruned::default();
        let mut damaged = None;
        let mut after = String::new();
        loop {
            let clients = self.clients_after(&after).await?;
            for client in &clients {
                match self.prune_client(client, before, &mut pruned).await {
                    Ok(()) => {}
                    Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => {
                        tracing::warn!(client = client.name, %error, "usage is not pruned");
                        damaged.get_or_insert_with(|| error.of_client(&client.name));
                    }
                    Err(error) => return Err(error),
                }
            }
            match clients.into_iter().nth(CLIENTS_AT_ONCE.saturating_sub(1)) {
                Some(last) => after = last.name,
                None => return damaged.map_or(Ok(pruned), Err),
            }
        }
    }

    async fn clients_after(&self, after: &str) -> Result<Vec<Found>, StoreError> {
        let limit = i64::try_from(CLIENTS_AT_ONCE).unwrap_or(i64::MAX);
        let find = self.tables.accounts.find(doc! { "_id": { "$gt": after }, "gone": { "$exists": false } });
        let find = find.projection(doc! { "_id": 1, "d": 1, "o.f": 1 }).sort(doc! { "_id": 1 }).limit(limit);
        let read = self.tables.timely(async { find.await?.try_collect::<Vec<Document>>().await });
        // Only texts are found by a text.
        let found = |account: Document| Ok(Found { name: text(&account, "_id")?.to_owned(), account });
        read.await.map_err(CallError::of_read)?.into_iter().map(found).collect()
    }

    async fn prune_client(&self, found: &Found, before: Instant, pruned: &mut Pruned) -> Result<(), StoreError> {
        let client = ClientId::new(&found.name).map_err(|_| corrupt("a client's name", &found.name))?;
        if found.account.contains_key("d") {
            self.tables.finish_deletion(&client).await?;
        }
        if first_waiting(&found.account)?.is_some_and(|first| first < before.millis()) {
            self.beside(&client).await?;
        }
        let mut from = 0;
        while let Some((folded, until)) = self.fold(&client, (from, before.millis())).await? {
            from = until;
            pruned.entries = pruned.entries.saturating_add(folded.entries);
            pruned.ids = pruned.ids.saturating_add(folded.ids);
        }
        if let Some(retention) = self.settings.retention {
            let horizon = quarter_of(before.saturating_sub(retention)).millis();
            // What was left to the next pruning, or has come since, counts with its quarter.
            let unfolded = self.first_entry(&client, (0, horizon)).await?.map_or(horizon, Cut::floor);
            self.forget_before(&client, unfolded.min(horizon)).await?;
        }
        Ok(())
    }

    /// Forgets the sums of quarters before this instant, some in each step.
    async fn forget_before(&self, client: &ClientId, before: i64) -> Result<(), StoreError> {
        let quarters = &self.tables.quarters;
        let mut left = Some(keys_of(client, (0, before)));
        while let Some(keys) = left {
            let (some, rest) = self.step(quarters, keys).await?;
            self.delete(client, quarters, doc! { "_id": some }).await?;
            left = rest;
        }
        Ok(())
    }

    /// As many of some keys as are taken out in one step, and the rest; none where that is all. By keys, whatever they hold:
    /// so a step is short also where much is gone already.
    async fn step(
        &self,
        collection: &Collection<Document>,
        mut keys: Document,
    ) -> Result<(Document, Option<Document>), StoreError> {
        let find = collection.find_one(doc! { "_id": keys.clone() }).projection(doc! { "_id": 1 });
        let find = find.sort(doc! { "_id": 1 }).skip(ENTRIES_AT_ONCE);
        let Some(next) = self.tables.timely(find).await.map_err(CallError::of_read)? else { return Ok((keys, None)) };
        let next = text(&next, "_id")?;
        let mut rest = keys.clone();
        rest.insert("$gte", next);
        keys.insert("$lt", next);
        Ok((keys, Some(rest)))
    }

    /// Folds some whole quarters of a client; none where nothing is left. Says until where it has looked.
    async fn fold(&self, client: &ClientId, span: Span) -> Result<Option<(Pruned, i64)>, StoreError> {
        let mut claim = Claim::new(self, client);
        let folded = self.fold_in_turn(client, span, &mut claim).await;
        if !matches!(folded, Ok(Some(_))) {
            // Else its turn is over with what was written.
            claim.leave().await;
        }
        folded
    }

    async fn fold_in_turn(
        &self,
        client: &ClientId,
        span: Span,
        claim: &mut Claim<'_>,
    ) -> Result<Option<(Pruned, i64)>, StoreError> {
        let mut patience = Patience::new(self.settings.patience);
        let (mut is_first, mut counted) = (false, None);
        loop {
            let Some((old, stored)) = self.old_of(client, span, counted.take()).await? else { return Ok(None) };
            let filter = stored.filter(client.as_str(), is_first.then_some(&*claim));
            let mut set = doc! { "v": Uuid::new_v4().simple().to_string() };
            if old.is_further {
                set.extend(doc! { "f": old.span.1, "fs": old.seq });
            }
            // The outbox stands in the ledger. Left here, whoever reads it next would add what is folded once more.
            let mut fold = doc! { "$set": set, "$unset": { "o": "" } };
            if is_first {
                // Its turn is over.
                fold.insert("$pull", claim.place());
            }
            let fold = doc! { "q": filter, "u": fold };
            if self.tables.update(&self.tables.accounts, vec![fold]).await.map_err(CallError::of_write)? > 0 {
                let (late, is_any) = self.take_out_folded(client, &old).await?;
                let pruned = if old.is_further { old.pruned } else { late };
                // Nothing where somebody else folds them at the same time.
                return Ok((is_any || pruned.entries > 0).then_some((pruned, old.span.1)));
            }
            counted = Some(old);
            is_first = match claim.turn(&mut patience).await {
                Ok(account) => account.is_some(),
                Err(error) if patience.check().is_err() => {
                    tracing::warn!(%client, %error, "some usage is left to the next pruning");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// What is to be folded next, and the account as it is. What was counted is not counted again where it stands: that may take
    /// longer than a turn.
    async fn old_of(
        &self,
        client: &ClientId,
        span: Span,
        counted: Option<Old>,
    ) -> Result<Option<(Old, Stored)>, StoreError> {
        // First, since most clients have nothing old.
        if counted.is_none() && self.first_entry(client, span).await?.is_none() {
            return Ok(None);
        }
        let mut stored = self.beside(client).await?;
        while stored.pending.is_some() {
            // Else what is dead would count as folded. It was made since this client was found.
            self.tables.finish_deletion(client).await?;
            stored = self.beside(client).await?;
        }
        if stored.version.is_empty() {
            return Ok(None);
        }
        let old = match counted.filter(|old| old.stands(&stored)) {
            Some(old) => old,
            None => match self.first_entry(client, span).await? {
                Some(first) => self.oldest(client, (first, span.1), &stored).await?,
                None => return Ok(None),
            },
        };
        Ok(Some((old, stored)))
    }

    /// Takes out what was just folded, in steps: a quarter may hold any number of entries, more than can be taken out while one
    /// command is waited for. What a stop in between leaves is folded as well: nobody counts it, and the next pruning finds it.
    /// Says what was added late, and whether there was anything.
    async fn take_out_folded(&self, client: &ClientId, old: &Old) -> Result<(Pruned, bool), StoreError> {
        let (mut late, mut is_any) = (Pruned::default(), false);
        let mut left = Some(keys_of(client, old.span));
        while let Some(keys) = left {
            let (some, rest) = self.step(&self.tables.entries, keys).await?;
            let until = |seq: i64| {
                doc! { "_id": some.clone(), "c": client.as_str(), "gone": { "$exists": false }, "s": { "$lte": seq } }
            };
            // Nothing newer than what was read: what was added since is not folded.
            let folded = if old.is_further { old.seq } else { old.folded_seq };
            is_any |= self.delete(client, &self.tables.entries, until(folded)).await? > 0;
            if !old.is_further {
                let found = self.counted(until(old.seq)).await?;
                // Somebody later still must not bring it back: it would not be told from what is added now.
                let taken = self.tables.take_out(client, until(old.seq)).await?;
                late.entries = late.entries.saturating_add(taken);
                late.ids = late.ids.saturating_add(found.ids.min(taken));
            }
            left = rest;
        }
        Ok((late, is_any))
    }

    /// How many entries of a span are not folded yet, and how many of them have ids, as the account was read.
    async fn unfolded(&self, client: &ClientId, span: Span, stored: &Stored) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let mut left = Some(keys_of(client, span));
        while let Some(keys) = left {
            let (some, rest) = self.step(&self.tables.entries, keys).await?;
            let (before, after) = (stored.folded_until.millis(), stored.folded_seq);
            let found = self.counted(doc! {
                "_id": some, "c": client.as_str(), "gone": { "$exists": false }, "s": { "$lte": stored.seq },
                "$or": [{ "t": { "$gte": before } }, { "s": { "$gt": after } }],
            });
            let found = found.await?;
            pruned.entries = pruned.entries.saturating_add(found.entries);
            pruned.ids = pruned.ids.saturating_add(found.ids);
            left = rest;
        }
        Ok(pruned)
    }

    async fn counted(&self, entries: Document) -> Result<Pruned, StoreError> {
        let mut with_ids = entries.clone();
        with_ids.insert("i", doc! { "$exists": true });
        Ok(Pruned { entries: self.count(entries).await?, ids: self.count(with_ids).await? })
    }

    /// As many of a client's entries, from its first on, as are folded at once.
    async fn oldest(&self, client: &ClientId, (first, before): Span, stored: &Stored) -> Result<Old, StoreError> {
        let next = self.tables.digits_at(keys_of(client, (first, before)), 1, ENTRIES_AT_ONCE).await?;
        let until = match next {
            Some(next) => {
                let at = at_of(&next).ok_or_else(|| corrupt("an entry's key", next))?;
                Cut::floor(at).max(Cut::floor(first).saturating_add(QUARTER_MILLIS))
            }
            None => before,
        };
        let last = self.live_entry(client, keys_of(client, (first, until)), -1).await?.unwrap_or(first);
        // Not further than there were entries: where none were folded, ranges may go on to begin and end anywhere.
        let until = Cut::floor(last).saturating_add(QUARTER_MILLIS);
        let (span, is_further) = ((first, until), until > stored.folded_until.millis());
        let pruned = if is_further { self.unfolded(client, span, stored).await? } else { Pruned::default() };
        let Stored { seq, folded_seq, folded_until, removed_seq, .. } = *stored;
        Ok(Old { span, seq, is_further, folded_seq, folded_until, removed_seq, pruned })
    }

    /// When the first of a client's entries of some instants was. Looked for in steps: before it may stand the keys of any number
    /// that were taken out.
    async fn first_entry(&self, client: &ClientId, span: Span) -> Result<Option<i64>, StoreError> {
        let keys = keys_of(client, span);
        let mut left = self.tables.digits_at(keys.clone(), 1, 0).await?.map(|_| keys);
        while let Some(keys) = left {
            let (some, rest) = self.step(&self.tables.entries, keys).await?;
            let first = self.live_entry(client, some, 1).await?;
            if first.is_some() {
                return Ok(first);
            }
            left = rest;
        }
        Ok(None)
    }

    /// When the first in this order of a client's entries was that have these keys and are not taken out.
    async fn live_entry(&self, client: &ClientId, keys: Document, order: i32) -> Result<Option<i64>, StoreError> {
        let live = doc! { "_id": keys, "c": client.as_str(), "gone": { "$exists": false } };
        let find = self.tables.entries.find_one(live);
        let find = find.projection(doc! { "t": 1 }).sort(doc! { "_id": order });
        let found = self.tables.timely(find).await.map_err(CallError::of_read)?;
        found.map(|found| number(&found, "t")).transpose()
    }

    async fn count(&self, filter: Document) -> Result<u64, StoreError> {
        self.tables.timely(self.tables.entries.count_documents(filter)).await.map_err(CallError::of_read)
    }

    async fn delete(
        &self,
        client: &ClientId,
        collection: &Collection<Document>,
        mut filter: Document,
    ) -> Result<u64, StoreError> {
        filter.insert("c", client.as_str());
        let deleted = self.tables.timely(collection.delete_many(filter)).await;
        deleted.map(|deleted| deleted.deleted_count).map_err(CallError::of_write)
    }
}

/// When the first of the entries was that stand in an account's outbox.
fn first_waiting(account: &Document) -> Result<Option<i64>, StoreError> {
    let firsts =
        documents(account, "o")?.iter().map(|part| optional_number(part, "f")).collect::<Result<Vec<_>, _>>()?;
    Ok(firsts.into_iter().flatten().min())
}
