//! Usage and entries, read back.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use quota_core::{ClientId, Credits, DayUsage, QuarterSum, Refusal, Window};
use quota_service::{ClientsQuery, DailyQuery, DaysReading, EntriesCursor, EntriesPage, EntriesQuery, StoreError};

use crate::fields::{corrupt, count, credits, instant, label, number, text};
use crate::ledger::Ledger;
use crate::outbox::read_entry;
use crate::store::MongoStore;
use crate::stored::Stored;
use crate::tables::CallError;

/// How often usage is read again because it changed meanwhile; then it is told as it was seen, each entry whole.
const TRIES: usize = 5;

impl MongoStore {
    pub(crate) async fn sum_of(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        let mut tries = 1;
        loop {
            let stored = self.beside(client).await?;
            self.settings.terms(stored.folded_until).check_range(range)?;
            let sum = self.ledger(client, &stored).sum(range).await?;
            if tries >= TRIES || self.stands(client, &stored).await? {
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
            if tries >= TRIES || self.stands(client, &stored).await? {
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
        for quarter in self.tables.find(&self.tables.quarters, filter, Some(fields)).await? {
            let entries = count(number(&quarter, "n")?)?;
            if entries > 0 {
                days.add_quarter(QuarterSum {
                    start: instant(number(&quarter, "q")?)?,
                    label: label(text(&quarter, "l")?)?,
                    credits: credits(number(&quarter, "m")?)?,
                    entries,
                });
            }
        }
        for span in days.cuts().to_vec() {
            for entry in ledger.entries_of(span).await? {
                days.add_entry(entry.at, entry.credits, entry.label.as_ref());
            }
        }
        Ok(days.finish())
    }

    pub(crate) async fn page_of(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let range = query.range;
        let from = match &query.after {
            None => doc! { "$gte": { "c": client.as_str(), "t": range.start().millis() } },
            Some(cursor) => after(client, &EntriesCursor::read(cursor, range)?)?,
        };
        self.beside(client).await?;
        let mut key = from;
        key.insert("$lt", doc! { "c": client.as_str(), "t": range.end().millis() });
        let limit = query.limit.max(1);
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let find = self.tables.entries.find(doc! { "_id": key, "gone": { "$exists": false } });
        let find = find.sort(doc! { "_id": 1 }).limit(wanted);
        let read = self.tables.timely(async { find.await?.try_collect::<Vec<Document>>().await });
        let mut found = Vec::new();
        for document in read.await.map_err(CallError::of_read)? {
            found.push(read_entry(&document)?);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let end = found.last().filter(|_| more);
        let next = end.map(|(entry, place)| EntriesCursor { at: entry.at.millis(), id: place.clone() }.write());
        Ok(EntriesPage { entries: found.into_iter().map(|(entry, _)| entry).collect(), next })
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

    fn ledger<'a>(&'a self, client: &'a ClientId, stored: &Stored) -> Ledger<'a> {
        Ledger { tables: &self.tables, client, folded_until: stored.folded_until }
    }

    /// What stands beside a client's account, with what its last commit left written into the ledger.
    pub(crate) async fn beside(&self, client: &ClientId) -> Result<Stored, StoreError> {
        let fields = doc! { "v": 1, "l": 1, "f": 1, "s": 1, "o": 1 };
        let document = self.tables.get(&self.tables.accounts, client.as_str(), Some(fields)).await?;
        let stored = Stored::read_beside(document.as_ref())?;
        if let Some(outbox) = &stored.outbox {
            self.tables.drain(client, outbox).await.map_err(CallError::of_read)?;
        }
        Ok(stored)
    }

    async fn stands(&self, client: &ClientId, stored: &Stored) -> Result<bool, StoreError> {
        let fields = Some(doc! { "v": 1 });
        let document = self.tables.get(&self.tables.accounts, client.as_str(), fields).await?;
        let version = document.as_ref().and_then(|document| document.get("v")).and_then(Bson::as_str);
        Ok(version.unwrap_or_default() == stored.version)
    }
}

fn after(client: &ClientId, cursor: &EntriesCursor) -> Result<Document, StoreError> {
    let numbers = || {
        let (seq, number) = cursor.id.split_once('-')?;
        Some((seq.parse::<i64>().ok()?, number.parse::<i64>().ok()?))
    };
    let (seq, number) = numbers().ok_or(Refusal::InvalidCursor)?;
    Ok(doc! { "$gt": { "c": client.as_str(), "t": cursor.at, "s": seq, "n": number } })
}
