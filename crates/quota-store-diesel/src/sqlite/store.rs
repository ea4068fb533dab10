//! The store.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::Nullable;
use diesel::{OptionalExtension, RunQueryDsl};
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesCursor, EntriesPage, EntriesQuery, HeldClients, PlainCharge, PlanStore,
    Pruned, Request, StoreError, StoredPlan, UsageStore,
};

use crate::failure::Failure;
use crate::open_error::OpenError;
use crate::rows::{self, PlanSql};
use crate::sqlite::builder::SqliteBuilder;
use crate::sqlite::ledger::SqliteLedger;
use crate::sqlite::location::{FileId, Location};
use crate::sqlite::opening::{open_reader, open_writer};
use crate::sqlite::session::Session;
use crate::sqlite::workers::{Gone, Workers};
use crate::texts::Texts;

/// Keeps usage and plans in a file of SQLite, which any number of stores in any number of processes on one machine
/// may share.
///
/// Every batch is one transaction that holds the file's write lock from the beginning; it is answered when its
/// commit is on the disk. Other connections read meanwhile, each reading one state of the file. Dropping the store
/// waits for what was sent, then closes the file.
pub struct SqliteStore {
    pub(super) builder: SqliteBuilder,
    location: Location,
    /// What stood there when it was opened.
    file: Option<FileId>,
    texts: Arc<Texts>,
    pub(super) writer: Workers,
    pub(super) readers: Workers,
    /// Looks up plans, which charges wait for: not behind those who read years of usage.
    planner: Workers,
    /// Clients whose requests have met the rows of a large deletion.
    pub(super) held: HeldClients,
}

impl SqliteStore {
    /// Opens the file at `path` with the defaults of [`SqliteBuilder`]. Blocks: open a store before serving.
    ///
    /// # Errors
    /// [`OpenError`]; the file is as it was before.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteBuilder::new(path).open()
    }

    /// Begins to choose how the file at `path` is to be opened.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path)
    }

    pub(super) fn open_with(builder: &SqliteBuilder) -> Result<Self, OpenError> {
        let location = Location::new(&builder.path)?;
        let texts = Arc::new(Texts::new(&builder.prefix));
        let writer = Session::new(open_writer(builder, &location)?, Arc::clone(&texts));
        let readers: Result<Vec<Session>, OpenError> = (0..builder.readers.get())
            .map(|_| open_reader(builder, &location).map(|connection| Session::new(connection, Arc::clone(&texts))))
            .collect();
        let writer = Workers::start("quota-sqlite-writer", vec![writer])?;
        let planner = Session::new(open_reader(builder, &location)?, Arc::clone(&texts));
        let readers = Workers::start("quota-sqlite-reader", readers?)?;
        let planner = Workers::start("quota-sqlite-plans", vec![planner])?;
        let (held, file) = (HeldClients::default(), location.file());
        Ok(Self { builder: builder.clone(), location, file, texts, writer, readers, planner, held })
    }

    /// Reads what rows of a client say; once more where rows that a large deletion has left were in the way.
    async fn read_of<T: Send + 'static>(
        &self,
        client: &ClientId,
        work: impl Fn(&mut SqliteLedger<'_>, &ClientId) -> Result<T, Failure> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        loop {
            let (work, reading) = (work.clone(), client.clone());
            let read = self.readers.read(move |session| session.read(|ledger| work(ledger, &reading)));
            match read.await.map_err(not_read)? {
                Err(Failure::Unfinished) => self.take_out(client).await?,
                done => return Ok(done?),
            }
        }
    }

    /// Reads on one of the connections that read.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteLedger<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.readers.read(move |session| session.read(work)).await.map_err(not_read)??)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, prefix) = (self.location.path(), &self.builder.prefix);
        f.debug_struct("SqliteStore").field("path", &path).field("prefix", prefix).finish_non_exhaustive()
    }
}

impl UsageStore for SqliteStore {
    fn dispatch(&self) -> Dispatch {
        // SQLite has one writer: a second lane would only wait for the first, and so would a client with many requests.
        let (lanes, hot) = (NonZeroUsize::MIN, Some(NonZeroUsize::MAX));
        Dispatch::Batched { lanes, max_batch: self.builder.max_batch, hot }
    }

    fn detail(&self) -> Detail {
        Detail::Entries
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.held.is_held(client)
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        if batch.is_empty() { Vec::new() } else { self.apply_all(batch).await }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        Ok(self.read_of(client, move |ledger, client| ledger.total(client, range)).await??)
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let query = *query;
        Ok(self.read_of(client, move |ledger, client| ledger.daily(client, &query)).await??)
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let range = query.range;
        let after = match &query.after {
            Some(cursor) => EntriesCursor::read(cursor, range)?,
            None => EntriesCursor::before(range),
        };
        let limit = query.limit.max(1);
        self.read_of(client, move |ledger, client| ledger.page(client, &after, range, limit)).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        let query = query.clone();
        self.read(move |ledger| ledger.clients(&query)).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.fold_before(before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        self.take_out(client).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        // The file is on this machine.
        Ok(None)
    }

    async fn health(&self) -> Result<(), StoreError> {
        // A connection of its own: the others would answer from what they keep, even if the file was removed. Not behind those who read
        // years of usage.
        let (builder, location, texts) = (self.builder.clone(), self.location.clone(), Arc::clone(&self.texts));
        let file = self.file;
        let checked = self.planner.read(move |_| {
            if location.file() != file {
                // It is not opened: to SQLite it would be the log's that stands beside it.
                let message = "the file is gone, or another one stands in its place: open the store again".to_owned();
                return Err(StoreError::NotDone { message, source: None });
            }
            let connection = open_reader(&builder, &location)
                .map_err(|error| StoreError::not_done("the file cannot be opened", error))?;
            let version = Session::new(connection, texts).read(|ledger| {
                let version = ledger.texts.schema_version.with::<Nullable<diesel::sql_types::BigInt>>(&[]);
                Ok(version.get_result::<Option<i64>>(ledger.connection)?)
            });
            version.map(|_| ()).map_err(StoreError::from)
        });
        checked.await.map_err(not_read)??;
        // And whether it could be written to: another process may keep it locked. Nothing is.
        let locked = self.writer.run(|session| session.write(|_| Ok(())));
        let unanswered = |gone| StoreError::not_done("the file's lock was not answered", gone);
        Ok(locked.await.map_err(unanswered)??)
    }
}

#[async_trait]
impl PlanStore for SqliteStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        let client = client.clone();
        let plan = |ledger: &mut SqliteLedger<'_>, client: &ClientId| {
            let binds = [client.as_str().into()];
            let row: Option<(i64, String)> =
                ledger.texts.plan.with::<PlanSql>(&binds).get_result(ledger.connection).optional()?;
            Ok(row.map(|row| rows::stored_plan(&row)).transpose()?.unwrap_or_default())
        };
        let read = self.planner.read(move |session| session.read(|ledger| plan(ledger, &client)));
        Ok(read.await.map_err(not_read)??)
    }
}

fn not_read(gone: Gone) -> StoreError {
    StoreError::not_done("the reading was not answered", gone)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn plans_and_health_are_not_looked_up_behind_long_readings() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("usage.db")).unwrap();
        let (end, ended) = channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let long = || {
            let ended = Arc::clone(&ended);
            store.readers.read(move |_| ended.lock().unwrap().recv().is_err())
        };
        let readers = store.builder.readers.get();
        let busy = futures_util::future::join_all((0..readers).map(|_| long()));
        let looking_up = async {
            let plan = store.stored_plan(&ClientId::new("someone").unwrap()).await;
            let health = store.health().await;
            drop(end);
            health.and(plan)
        };
        let (busy, plan) = futures_util::future::join(busy, looking_up).await;
        assert_eq!(busy.into_iter().map(Result::unwrap).collect::<Vec<_>>(), vec![true; readers]);
        assert!(plan.unwrap().plan.is_none());
    }
}
