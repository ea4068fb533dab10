//! What a server's engine has to offer.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::result::Error;

use crate::connect_error::ConnectError;
use crate::failure::{Failure, Undone};
use crate::prefix::TablePrefix;
use crate::rows::{AccountRow, Broken, EntryRow, PageRow, QuarterRow};
use crate::server::over::Over;
use crate::server::texts::Texts;
use crate::server::writing::Writing;
use crate::statement::{Bind, Sql};

/// A kind of server.
pub(crate) trait Engine: fmt::Debug + Send + Sync + Sized + 'static {
    /// A connection to it.
    type Link: Link;

    /// Takes a URL; connects to nothing.
    ///
    /// # Errors
    /// [`ConnectError::InvalidUrl`], [`ConnectError::Tls`]
    fn new(url: &str, settings: &Settings) -> Result<Self, ConnectError>;

    /// Where the server is, without a password.
    fn server(&self) -> &str;

    /// How long it takes at most to open a connection.
    fn connecting(&self) -> Duration;

    /// Opens a connection and sets it up.
    fn connect(&self) -> impl Future<Output = Result<Self::Link, ConnectError>> + Send;

    /// Checks the server, makes or upgrades the tables.
    fn prepare(&self, link: &mut Self::Link) -> impl Future<Output = Result<(), ConnectError>> + Send;

    /// What an error means.
    fn fault(error: &Error) -> Fault;
}

/// How connections are to be set up.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: TablePrefix,
    pub(crate) connect_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) root_certificates: Vec<u8>,
}

impl Settings {
    /// How long another transaction's lock is waited for, by default.
    const LOCK_TIMEOUT: Duration = Duration::from_secs(4);
    /// How long one statement may take, by default.
    const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a new connection may take, by default.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    pub(crate) const fn new(prefix: TablePrefix) -> Self {
        Self {
            prefix,
            connect_timeout: Self::CONNECT_TIMEOUT,
            lock_timeout: Self::LOCK_TIMEOUT,
            statement_timeout: Self::STATEMENT_TIMEOUT,
            root_certificates: Vec::new(),
        }
    }
}

/// What an error of the server means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone.
    Lost,
    /// Another transaction was in the way; this one was rolled back and may be tried again.
    Conflict,
    /// The server only reads, as after a failover: a new connection may find the primary.
    ReadOnly,
    /// Anything else; the transaction was rolled back.
    Other,
}

/// Whether to wait for accounts that other transactions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until they are free, or the lock's timeout is over.
    Wait,
    /// Not at all: they are left out.
    Skip,
}

/// What comes after what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More of the same transaction.
    Open,
    /// The commit, in the same breath.
    Commit,
}

/// Client, id, at, credits, label.
pub(crate) type NamedRow = (String, String, i64, i64, String);

/// What was found and locked.
#[derive(Debug, Default)]
pub(crate) struct Locked {
    /// Client and account, in any order.
    pub(crate) accounts: Vec<(String, AccountRow)>,
    /// The entries of those who have the ids that were asked for, read after the locks were taken.
    pub(crate) entries: Vec<NamedRow>,
}

type Done<T> = Result<T, Error>;

/// A connection. Every transaction on it is ours.
///
/// After an error it is not used again, but where [`Link::write_over`] says so, and after an id that was there already, when that is rolled
/// back: its transaction ends with it.
pub(crate) trait Link: fmt::Debug + Send + 'static {
    /// Whether it has [`Link::write_over`]. Not where only the first statement tells that an idle connection was lost: what is sent
    /// on it with its commit would be of unknown fate.
    const WRITES_OVER: bool = false;

    /// Whether it is known to be gone.
    fn is_closed(&self) -> bool;

    /// The statements that every engine words alike.
    fn texts(&self) -> Arc<Texts>;

    /// Begins a transaction that sees one state of the tables.
    fn begin_reading(&mut self) -> impl Future<Output = Done<()>> + Send;

    /// Begins a transaction that locks what it changes.
    fn begin_writing(&mut self) -> impl Future<Output = Done<()>> + Send;

    /// Begins a transaction, locks these clients' accounts in the order of their bytes and then looks up these ids
    /// (client and id).
    fn lock(&mut self, clients: &[&str], ids: &[(&str, &str)], wait: Wait)
    -> impl Future<Output = Done<Locked>> + Send;

    /// Which of these clients have an account, locked or not.
    fn existing(&mut self, clients: &[&str]) -> impl Future<Output = Done<Vec<String>>> + Send;

    /// Looks up ids (client and id).
    fn named(&mut self, ids: &[(&str, &str)]) -> impl Future<Output = Done<Vec<NamedRow>>> + Send;

    /// Writes all of it, and commits if that is the end.
    fn write(&mut self, writing: &Writing, end: End) -> impl Future<Output = Result<(), Undone>> + Send;

    /// Writes all of it and commits, if every row is as it was seen, or nothing; in one round trip, and without waiting for a lock
    /// for longer than a busy client's transactions take. After [`Failure::Overtaken`] it may be used again.
    fn write_over(&mut self, _: &Over) -> impl Future<Output = Result<(), Undone>> + Send {
        std::future::ready(Err(Undone::NotDone(Failure::Overtaken)))
    }

    /// Ends the transaction and what it wrote.
    fn commit(&mut self) -> impl Future<Output = Result<(), Undone>> + Send;

    /// Ends the transaction without what it wrote.
    fn roll_back(&mut self) -> impl Future<Output = Done<()>> + Send;

    /// The server's own time in milliseconds.
    fn server_time(&mut self) -> impl Future<Output = Done<i64>> + Send;

    /// Whether the server takes writes.
    fn is_writable(&mut self) -> impl Future<Output = Done<bool>> + Send;

    /// Runs a statement and gives how many rows it changed.
    fn execute(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<usize>> + Send;

    /// Rows of document, folded until, labels.
    fn accounts(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<AccountRow>>> + Send;

    /// Rows of credits, entries.
    fn sums(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<(i64, i64)>>> + Send;

    /// Rows of label, credits, entries.
    fn label_sums(
        &mut self,
        sql: &Sql,
        binds: &[Bind<'_>],
    ) -> impl Future<Output = Done<Vec<(String, i64, i64)>>> + Send;

    /// Rows of quarter, label, credits, entries, one after the other as they arrive: there may be any number.
    fn each_quarter(
        &mut self,
        sql: &Sql,
        binds: &[Bind<'_>],
        each: impl FnMut(&QuarterRow) -> Result<(), Broken> + Send,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Rows of at, credits, label, one after the other as they arrive: there may be any number.
    fn each_entry(
        &mut self,
        sql: &Sql,
        binds: &[Bind<'_>],
        each: impl FnMut(&EntryRow) -> Result<(), Broken> + Send,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Rows of at, id, credits, label.
    fn page(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<PageRow>>> + Send;

    /// Rows of a text.
    fn words(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<String>>> + Send;

    /// Rows of a number.
    fn numbers(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<i64>>> + Send;

    /// Rows of version, quotas.
    fn plans(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> impl Future<Output = Done<Vec<(i64, String)>>> + Send;

    /// Rows of client, instant.
    fn foldable(
        &mut self,
        sql: &Sql,
        binds: &[Bind<'_>],
    ) -> impl Future<Output = Done<Vec<(String, Option<i64>)>>> + Send;

    /// Rows of instant, entries, ids.
    fn fold_sizes(
        &mut self,
        sql: &Sql,
        binds: &[Bind<'_>],
    ) -> impl Future<Output = Done<Vec<(Option<i64>, i64, i64)>>> + Send;
}

/// The readings of [`Link`] by statements that the link's field `connection` runs.
macro_rules! loads {
    () => {
        async fn execute(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> Result<usize, Error> {
            RunQueryDsl::execute(sql.with::<()>(binds), &mut self.connection).await
        }

        loads! {
            accounts: AccountSql => AccountRow;
            sums: SumSql => (i64, i64);
            label_sums: LabelSumSql => (String, i64, i64);
            page: PageSql => PageRow;
            words: Text => String;
            numbers: BigInt => i64;
            plans: PlanSql => (i64, String);
            foldable: FoldableSql => (String, Option<i64>);
            fold_sizes: FoldSizeSql => (Option<i64>, i64, i64);
        }
        loads! {
            each each_quarter: QuarterSql => QuarterRow;
            each each_entry: EntrySql => EntryRow;
        }
    };
    ($($name:ident: $sql:ty => $row:ty;)*) => {$(
        async fn $name(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> Result<Vec<$row>, Error> {
            RunQueryDsl::load(sql.with::<$sql>(binds), &mut self.connection).await
        }
    )*};
    ($(each $name:ident: $sql:ty => $row:ty;)*) => {$(
        async fn $name(
            &mut self,
            sql: &Sql,
            binds: &[Bind<'_>],
            mut each: impl FnMut(&$row) -> Result<(), Broken> + Send,
        ) -> Result<(), Failure> {
            let mut rows = RunQueryDsl::load_stream::<$row>(sql.with::<$sql>(binds), &mut self.connection).await?;
            while let Some(row) = rows.try_next().await? {
                each(&row)?;
            }
            Ok(())
        }
    )*};
}

pub(crate) use loads;
