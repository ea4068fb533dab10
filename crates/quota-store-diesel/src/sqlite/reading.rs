//! Usage, entries and clients, read back.

use diesel::RunQueryDsl;
use diesel::connection::DefaultLoadingMode;
use quota_core::{ClientId, Credits, DayUsage, Labels, Refusal, Window};
use quota_service::{ClientsQuery, DailyQuery, DaysReading, EntriesCursor, EntriesPage};

use crate::failure::Failure;
use crate::rows::{self, Broken, EntryRow, EntrySql, PageRow, PageSql, QuarterRow, QuarterSql};
use crate::sqlite::ledger::SqliteLedger;
use crate::standing::Standing;
use crate::statement::Bind;

impl SqliteLedger<'_> {
    pub(super) fn total(&mut self, client: &ClientId, range: Window) -> Result<Result<Credits, Refusal>, Failure> {
        let standing = self.standing(client)?;
        if let Err(refusal) = standing.check_range(range) {
            return Ok(Err(refusal));
        }
        let (micros, _) = self.sum(client, range, standing)?;
        Ok(Ok(rows::credits(micros)?))
    }

    /// Which rows of a client count. Reads neither the account nor its labels: a client that is damaged keeps no other from being
    /// pruned.
    pub(super) fn standing(&mut self, client: &ClientId) -> Result<Standing, Failure> {
        Ok(self.account_row(client)?.as_ref().map(Standing::read).transpose()?.unwrap_or_default())
    }

    /// Which rows of a client count, and which labels its sums know. Does not read the account, so usage can be read back
    /// where that is damaged.
    fn remembered(&mut self, client: &ClientId) -> Result<(Standing, Labels), Failure> {
        let Some(row) = self.account_row(client)? else { return Ok(Default::default()) };
        let (_, _, labels, ..) = &row;
        Ok((Standing::read(&row)?, Labels::from_document(labels).map_err(Broken::from)?))
    }

    pub(super) fn daily(
        &mut self,
        client: &ClientId,
        query: &DailyQuery,
    ) -> Result<Result<Vec<DayUsage>, Refusal>, Failure> {
        let (standing, labels) = self.remembered(client)?;
        if let Err(refusal) = standing.check_range(query.range) {
            return Ok(Err(refusal));
        }
        let mut days = DaysReading::new(query, standing.folded_until, labels);
        let (from, to) = DaysReading::quarters(query.range);
        let binds = [client.as_str().into(), from.into(), to.into()];
        let texts = self.texts;
        // Row by row: there may be any number.
        let quarters =
            texts.quarters.with::<QuarterSql>(&binds).load_iter::<QuarterRow, DefaultLoadingMode>(self.connection)?;
        for quarter in quarters {
            let quarter = quarter?;
            if standing.lives(quarter.0) {
                days.add_quarter(rows::quarter(&quarter)?);
            }
        }
        for (from, to) in days.cuts().to_vec() {
            if standing.cuts((from, to)) {
                return Err(Failure::Unfinished);
            }
            let binds = [client.as_str().into(), from.into(), to.into()];
            let entries =
                texts.entries_in.with::<EntrySql>(&binds).load_iter::<EntryRow, DefaultLoadingMode>(self.connection)?;
            for row in entries {
                let entry = rows::entry(None, &row?)?;
                days.add_entry(entry.at, entry.credits, entry.label.as_ref());
            }
        }
        Ok(Ok(days.finish()))
    }

    pub(super) fn page(
        &mut self,
        client: &ClientId,
        after: &EntriesCursor,
        range: Window,
        limit: usize,
    ) -> Result<EntriesPage, Failure> {
        // One more tells whether there is another page.
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let to = range.end().millis();
        if self.standing(client)?.cuts((after.at, to)) {
            return Err(Failure::Unfinished);
        }
        let binds = [client.as_str().into(), after.at.into(), after.id.as_str().into(), to.into(), rows.into()];
        let mut page: Vec<PageRow> = self.texts.page.with::<PageSql>(&binds).load(self.connection)?;
        let more = page.len() > limit;
        page.truncate(limit);
        let last = page.last().filter(|_| more).map(|(at, id, ..)| EntriesCursor { at: *at, id: id.clone() });
        let entries: Result<Vec<_>, Broken> = page.iter().map(rows::page_entry).collect();
        Ok(EntriesPage { entries: entries?, next: last.map(|cursor| cursor.write()) })
    }

    pub(super) fn clients(&mut self, query: &ClientsQuery) -> Result<Vec<ClientId>, Failure> {
        let after = query.after.as_ref().map_or("", ClientId::as_str);
        let limit = i64::try_from(query.limit.max(1)).unwrap_or(i64::MAX);
        let (after, from, limit) = (Bind::from(after), Bind::from(query.prefix.as_str()), Bind::from(limit));
        let texts = self.texts;
        let clients = match query.end() {
            Some(end) => self.texts_of(&texts.clients, &[after, from, end.as_str().into(), limit])?,
            None => self.texts_of(&texts.clients_to_the_end, &[after, from, limit])?,
        };
        let clients: Result<Vec<_>, Broken> = clients.iter().map(|text| rows::client(text)).collect();
        Ok(clients?)
    }
}
