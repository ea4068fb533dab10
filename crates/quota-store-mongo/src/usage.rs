//! Usage and entries, read back.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use quota_core::{ClientId, Credits, DayUsage, Entry, Instant, QuarterSum, Window};
use quota_service::{ClientsQuery, DailyQuery, DaysReading, EntriesCursor, EntriesPage, EntriesQuery, StoreError};

use crate::fields::{corrupt, count, credits, instant, label, number, optional_number, text};
use crate::keys::{key_at, keys_of, place_of};
use crate::ledger::Ledger;
use crate::part::read_entry;
use crate::store::MongoStore;
use crate::stored::Stored;
use crate::tables::CallError;

/// How often usage is read again because something was added meanwhile; then it is told as it was seen, each entry whole.
const TRIES: usize = 5;

/// How often it is read again because something was taken out or folded.
const MOST_TRIES: usize = 200;

impl MongoStore {
    pub(crate) async fn sum_of(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        let mut tries = 1;
        loop {
            let stored = self.beside(client).await?;
            self.settings.terms(stored.folded_until).check_range(range)?;
            let sum = self.ledger(client, &stored).sum(range).await?;
            if self.serves(client, &stored, tries).await? {
                return credits(sum.micros);
            }
            tries += 1;
        }
    }

    pub(crate) async fn days_of(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let mut tries = 1;
        loop {
            let stored = self.beside(client).await?;
            self.settings.terms(stored.folded_until).check_range(query.range)?;
            let days = self.read_days(client, query, &stored).await?;
            if self.serves(client, &stored, tries).await? {
                return Ok(days);
            }
            tries += 1;
        }
    }

    async fn read_days(
        &self,
        client: &ClientId,
        query: &DailyQuery,
        stored: &Stored,
    ) -> Result<Vec<DayUsage>, StoreError> {
        let ledger = self.ledger(client, stored);
        let mut days = DaysReading::new(query, stored.folded_until, stored.labels.clone());
        let filter = ledger.quarters_in(DaysReading::quarters(query.range));
        let fields = doc! { "_id": 0, "q": 1, "l": 1, "m": 1, "n": 1 };
        let add = |quarter: Document| {
            let entries = count(number(&quarter, "n")?)?;
            if entries > 0 {
                days.add_quarter(QuarterSum {
                    start: instant(number(&quarter, "q")?)?,
                    label: label(text(&quarter, "l")?)?,
                    credits: credits(number(&quarter, "m")?)?,
                    entries,
                });
            }
            Ok(())
        };
        self.tables.each(&self.tables.quarters, filter, Some(fields), add).await?;
        for span in days.cuts().to_vec() {
            let add = |entry: Document| {
                let entry = read_entry(&entry)?;
                days.add_entry(entry.at, entry.credits, entry.label.as_ref());
                Ok(())
            };
            self.tables.each(&self.tables.entries, ledger.entries_in(span), None, add).await?;
        }
        Ok(days.finish())
    }

    pub(crate) async fn page_of(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        // An entry that is added meanwhile stands in a page whole, or not.
        let mut tries = TRIES;
        loop {
            let stored = self.beside(client).await?;
            let page = self.read_page(client, query, &stored).await?;
            if self.serves(client, &stored, tries).await? {
                return Ok(page);
            }
            tries += 1;
        }
    }

    async fn read_page(
        &self,
        client: &ClientId,
        query: &EntriesQuery,
        stored: &Stored,
    ) -> Result<EntriesPage, StoreError> {
        let range = query.range;
        let mut key = keys_of(client, (range.start().millis(), range.end().millis()));
        if let Some(cursor) = &query.after {
            let cursor = EntriesCursor::read(cursor, range)?;
            key.insert("$gt", key_at(client, cursor.at, &cursor.id)?);
        }
        let limit = query.limit.max(1);
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let ledger = self.ledger(client, stored);
        let mut filter = ledger.with_keys(key);
        filter.extend(ledger.live());
        filter.extend(ledger.unfolded(range.start()));
        let find = self.tables.entries.find(filter).sort(doc! { "_id": 1 }).limit(wanted);
        let read = self.tables.timely(async { find.await?.try_collect::<Vec<Document>>().await });
        let mut found = read.await.map_err(CallError::of_read)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let entries = found.iter().map(read_entry).collect::<Result<Vec<_>, _>>()?;
        let next = match (found.last(), entries.last()) {
            (Some(document), Some(entry)) if more => Some(cursor(document, entry)?),
            _ => None,
        };
        Ok(EntriesPage { entries, next })
    }

    pub(crate) async fn list_clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        let mut key = doc! { "$gte": &query.prefix };
        if let Some(after) = &query.after {
            key.insert("$gt", after.as_str());
        }
        if let Some(end) = query.end() {
            key.insert("$lt", end);
        }
        let limit = i64::try_from(query.limit.max(1)).unwrap_or(i64::MAX);
        let find = self.tables.accounts.find(doc! { "_id": key, "gone": { "$exists": false } });
        let find = find.projection(doc! { "_id": 1 }).sort(doc! { "_id": 1 }).limit(limit);
        let read = self.tables.timely(async { find.await?.try_collect::<Vec<Document>>().await });
        let client = |document: &Document| {
            let name = text(document, "_id")?;
            ClientId::new(name).map_err(|_| corrupt("a client's name", name))
        };
        read.await.map_err(CallError::of_read)?.iter().map(client).collect()
    }

    fn ledger<'a>(&'a self, client: &'a ClientId, stored: &'a Stored) -> Ledger<'a> {
        let pending = stored.pending.as_ref();
        let Stored { folded_until, folded_seq, .. } = *stored;
        Ledger { tables: &self.tables, client, folded_until, folded_seq, pending }
    }

    /// What stands beside a client's account, with what its commits left written into the ledger.
    pub(crate) async fn beside(&self, client: &ClientId) -> Result<Stored, StoreError> {
        let fields = doc! { "v": 1, "l": 1, "f": 1, "fs": 1, "s": 1, "r": 1, "o": 1, "u": 1, "d": 1, "g": 1 };
        let document = self.tables.get(&self.tables.accounts, client.as_str(), Some(fields.clone())).await?;
        let stored = Stored::read_beside(document.as_ref())?;
        if stored.is_drained() {
            return Ok(stored);
        }
        // A primary that loses its place may show a commit that the next one never heard of: its entries would be nobody's.
        let confirmed = self.tables.confirmed(doc! { "_id": client.as_str() }, fields).await;
        let document = confirmed.map_err(CallError::of_read)?;
        let mut stored = Stored::read_beside(document.as_ref())?;
        self.tables.drain(client, &stored).await.map_err(CallError::of_read)?;
        // So that the next reader need not write. The version stays: nothing changes for whoever commits on it.
        let mut drained = doc! { "$unset": { "o": "" } };
        if !stored.open.stands() {
            let has_escrow = document.as_ref().is_some_and(|document| document.contains_key("g"));
            drained.insert(
                "$set",
                if has_escrow {
                    doc! { "g.d": stored.seq }
                } else {
                    doc! { "u.w": true }
                },
            );
        }
        let drained = doc! { "q": { "_id": client.as_str(), "v": &stored.version }, "u": drained };
        self.tables.update(&self.tables.accounts, vec![drained]).await.map_err(CallError::of_read)?;
        stored.set_drained();
        Ok(stored)
    }

    /// Whether what was read beside this may be told: nothing has changed since, or it was read often enough. But never
    /// where something was taken out meanwhile, which may have been seen in part, or where entries were folded, which may
    /// have been looked for when they were gone.
    async fn serves(&self, client: &ClientId, stored: &Stored, tries: usize) -> Result<bool, StoreError> {
        let fields = Some(doc! { "v": 1, "f": 1, "r": 1 });
        let document = self.tables.get(&self.tables.accounts, client.as_str(), fields).await?;
        let version = document.as_ref().and_then(|document| document.get("v")).and_then(Bson::as_str);
        if version.unwrap_or_default() == stored.version {
            return Ok(true);
        }
        if tries >= MOST_TRIES {
            return Err(keeps_changing("what is there keeps being taken out"));
        }
        let field = |name| document.as_ref().map(|document| optional_number(document, name)).transpose();
        let (folded, removed) = (field("f")?.flatten(), field("r")?.flatten());
        Ok(tries >= TRIES
            && folded.unwrap_or(Instant::MIN.millis()) == stored.folded_until.millis()
            && removed.unwrap_or_default() == stored.removed_seq)
    }
}

fn keeps_changing(message: &str) -> StoreError {
    StoreError::NotDone { message: message.to_owned(), source: None }
}

fn cursor(document: &Document, entry: &Entry) -> Result<String, StoreError> {
    let key = text(document, "_id")?;
    let place = place_of(key).ok_or_else(|| corrupt("an entry's key", key))?;
    Ok(EntriesCursor { at: entry.at.millis(), id: place.to_owned() }.write())
}
