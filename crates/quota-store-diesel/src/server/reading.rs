//! Usage, entries, clients and plans, read back.

use quota_core::{ClientId, Credits, DayUsage, Instant, Labels, Refusal, Window};
use quota_service::{ClientsQuery, DailyQuery, DaysReading, EntriesCursor, EntriesPage, StoredPlan};

use crate::failure::Failure;
use crate::rows::{self, Broken, EntryRow, QuarterRow};
use crate::server::engine::{Engine, Fault, Link};
use crate::server::ledger;
use crate::server::pool::{Connections, Purpose};
use crate::standing::Standing;
use crate::statement::Bind;

/// Something that is read in one state of the tables.
pub(crate) trait Reading: Sync {
    type Output: Send;

    const PURPOSE: Purpose = Purpose::Reading;

    fn read<L: Link>(&self, link: &mut L) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// Reads in one state of the tables; once more if the connection was lost, for it may have been lost long before.
pub(crate) async fn read<E: Engine, R: Reading>(
    connections: &Connections<E>,
    reading: &R,
) -> Result<R::Output, Failure> {
    match read_once(connections, reading).await {
        Err(Failure::Database(error)) if E::fault(&error) == Fault::Lost => {
            connections.close_idle();
            read_once(connections, reading).await
        }
        done => done,
    }
}

async fn read_once<E: Engine, R: Reading>(connections: &Connections<E>, reading: &R) -> Result<R::Output, Failure> {
    let mut session = connections.session(R::PURPOSE).await?;
    let link = session.link()?;
    let done = connections.timely(async {
        link.begin_reading().await?;
        let done = reading.read(link).await;
        // What cannot be read yet is nothing wrong with the connection.
        Ok::<_, Failure>((done, link.roll_back().await.is_ok()))
    });
    let (done, is_ended) = done.await??;
    if is_ended {
        session.ended();
    }
    done
}

/// Which rows of a client count, and which labels its sums know. Does not read the account, so usage can be read back where
/// that is damaged.
async fn remembered<L: Link>(link: &mut L, client: &ClientId) -> Result<(Standing, Labels), Failure> {
    let rows = link.accounts(&link.texts().account, &[client.as_str().into()]).await?;
    let Some(row) = rows.first() else { return Ok(Default::default()) };
    let (_, _, labels, ..) = row;
    Ok((Standing::read(row)?, Labels::from_document(labels).map_err(Broken::from)?))
}

/// The sum of a range.
#[derive(Debug)]
pub(crate) struct Total<'a>(pub(crate) &'a ClientId, pub(crate) Window);

impl Reading for Total<'_> {
    type Output = Result<Credits, Refusal>;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        let Self(client, range) = self;
        let (standing, _) = remembered(link, client).await?;
        if let Err(refusal) = standing.check_range(*range) {
            return Ok(Err(refusal));
        }
        let (micros, _) = ledger::sum(link, client, *range, standing).await?;
        Ok(Ok(rows::credits(micros)?))
    }
}

/// Usage by day.
#[derive(Debug)]
pub(crate) struct Daily<'a>(pub(crate) &'a ClientId, pub(crate) &'a DailyQuery);

impl Reading for Daily<'_> {
    type Output = Result<Vec<DayUsage>, Refusal>;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        let Self(client, query) = self;
        let (standing, labels) = remembered(link, client).await?;
        if let Err(refusal) = standing.check_range(query.range) {
            return Ok(Err(refusal));
        }
        let mut days = DaysReading::new(query, standing.folded_until, labels);
        let (from, to) = DaysReading::quarters(query.range);
        let texts = link.texts();
        let binds = [client.as_str().into(), from.into(), to.into()];
        let quarter = |row: &QuarterRow| {
            if standing.lives(row.0) {
                days.add_quarter(rows::quarter(row)?);
            }
            Ok(())
        };
        link.each_quarter(&texts.quarters, &binds, quarter).await?;
        for (from, to) in days.cuts().to_vec() {
            if standing.cuts((from, to)) {
                return Err(Failure::Unfinished);
            }
            let binds = [client.as_str().into(), from.into(), to.into()];
            let entry = |row: &EntryRow| {
                let entry = rows::entry(None, row)?;
                days.add_entry(entry.at, entry.credits, entry.label.as_ref());
                Ok(())
            };
            link.each_entry(&texts.entries_in, &binds, entry).await?;
        }
        Ok(Ok(days.finish()))
    }
}

/// A page of entries.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) after: EntriesCursor,
    pub(crate) range: Window,
    pub(crate) limit: usize,
}

impl Reading for Page<'_> {
    type Output = EntriesPage;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        if remembered(link, self.client).await?.0.cuts((self.after.at, self.range.end().millis())) {
            return Err(Failure::Unfinished);
        }
        // One more tells whether there is another page.
        let rows = i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1);
        let (client, at, id) = (self.client.as_str().into(), self.after.at.into(), self.after.id.as_str().into());
        let (to, rows) = (self.range.end().millis().into(), rows.into());
        let binds = [client, at, to, id, rows, client, at, to, rows, rows];
        let mut page = link.page(&link.texts().page, &binds).await?;
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let last = page.last().filter(|_| more).map(|(at, id, ..)| EntriesCursor { at: *at, id: id.clone() });
        let entries: Result<Vec<_>, Broken> = page.iter().map(rows::page_entry).collect();
        Ok(EntriesPage { entries: entries?, next: last.map(|cursor| cursor.write()) })
    }
}

/// A page of clients.
#[derive(Debug)]
pub(crate) struct Clients<'a>(pub(crate) &'a ClientsQuery);

impl Reading for Clients<'_> {
    type Output = Vec<ClientId>;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        let Self(query) = self;
        let after = query.after.as_ref().map_or("", ClientId::as_str);
        let limit = i64::try_from(query.limit.max(1)).unwrap_or(i64::MAX);
        let (after, from, limit) = (Bind::from(after), Bind::from(query.prefix.as_str()), Bind::from(limit));
        let texts = link.texts();
        let clients = match query.end() {
            Some(end) => link.words(&texts.clients, &[after, from, end.as_str().into(), limit]).await?,
            None => link.words(&texts.clients_to_the_end, &[after, from, limit]).await?,
        };
        let clients: Result<Vec<_>, Broken> = clients.iter().map(|text| rows::client(text)).collect();
        Ok(clients?)
    }
}

/// A client's plan.
#[derive(Debug)]
pub(crate) struct PlanOf<'a>(pub(crate) &'a ClientId);

impl Reading for PlanOf<'_> {
    type Output = StoredPlan;

    const PURPOSE: Purpose = Purpose::Brief;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        let rows = link.plans(&link.texts().plan, &[self.0.as_str().into()]).await?;
        Ok(rows.first().map(rows::stored_plan).transpose()?.unwrap_or_default())
    }
}

/// The server's own time.
#[derive(Debug)]
pub(crate) struct Time;

impl Reading for Time {
    type Output = Instant;

    const PURPOSE: Purpose = Purpose::Brief;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        Ok(rows::instant(link.server_time().await?)?)
    }
}

/// Whether the server takes writes and has the tables.
#[derive(Debug)]
pub(crate) struct Health;

impl Reading for Health {
    type Output = bool;

    const PURPOSE: Purpose = Purpose::Brief;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        link.accounts(&link.texts().account, &["".into()]).await?;
        Ok(link.is_writable().await?)
    }
}

/// Some clients and the first instant of what they have before another.
#[derive(Debug)]
pub(crate) struct Old<'a> {
    pub(crate) after: &'a str,
    pub(crate) before: Instant,
    pub(crate) limit: i64,
    pub(crate) what: What,
}

/// What may be old.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Entries,
    Quarters,
    /// Rows that a large deletion has left.
    Deleted,
}

impl Reading for Old<'_> {
    type Output = Vec<(String, Option<i64>)>;

    async fn read<L: Link>(&self, link: &mut L) -> Result<Self::Output, Failure> {
        let texts = link.texts();
        let text = match self.what {
            What::Entries => &texts.foldable,
            What::Quarters => &texts.forgettable,
            What::Deleted => &texts.unfinished,
        };
        Ok(link.foldable(text, &[self.before.millis().into(), self.after.into(), self.limit.into()]).await?)
    }
}
