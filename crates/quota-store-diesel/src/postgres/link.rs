//! One connection to PostgreSQL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use futures_util::future::{OptionFuture, join, join_all, try_join};
use tokio::task::JoinHandle;

use crate::changes::{Changes, NewAccount, NewEntry, QuarterAdd, QuarterKey};
use crate::failure::{Failure, Undone};
use crate::postgres::statement::{ArraySql, Column};
use crate::postgres::texts::PostgresTexts;
use crate::rows::{
    AccountRow, AccountSql, Broken, EntryRow, EntrySql, FoldSizeSql, FoldableSql, LabelSumSql, PageRow, PageSql,
    PlanSql, QuarterRow, QuarterSql, SumSql,
};
use crate::server::{End, Link, Locked, NamedRow, Over, PlanRows, Seen, Texts, Wait, Writing, loads, own_words};
use crate::statement::{Bind, Sql};

/// One connection to PostgreSQL. What does not depend on an answer is sent without waiting for it.
pub(crate) struct PostgresLink {
    pub(super) connection: AsyncPgConnection,
    /// What sends and receives; it ends with the connection.
    pub(super) driver: JoinHandle<()>,
    pub(super) own: Arc<PostgresTexts>,
    pub(super) texts: Arc<Texts>,
}

type LockedRow = (String, String, i64, String, i64, i64, i64);

impl PostgresLink {
    /// What is sent on a connection that has ended reaches nobody: the server rolled back what was open on it.
    fn check_open(&self) -> Result<(), Undone> {
        let ended = || Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new("it ended".to_owned()));
        if self.is_closed() { Err(Undone::NotDone(ended().into())) } else { Ok(()) }
    }

    /// Sends all of them before the first is answered.
    async fn run_all(&self, statements: &[(&ArraySql, Vec<Column<'_>>)]) -> Vec<Result<usize, Error>> {
        join_all(statements.iter().map(|(sql, columns)| self.run(sql, columns))).await
    }

    async fn run(&self, sql: &ArraySql, columns: &[Column<'_>]) -> Result<usize, Error> {
        RunQueryDsl::execute(sql.with::<()>(columns), &mut &self.connection).await
    }
}

impl fmt::Debug for PostgresLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLink").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Link for PostgresLink {
    const WRITES_OVER: bool = true;

    fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    fn texts(&self) -> Arc<Texts> {
        Arc::clone(&self.texts)
    }

    async fn begin_reading(&mut self) -> Result<(), Error> {
        self.run(&self.own.begin_reading, &[]).await.map(|_| ())
    }

    async fn begin_writing(&mut self) -> Result<(), Error> {
        self.run(&self.own.begin, &[]).await.map(|_| ())
    }

    /// One round trip. The ids are looked up by a statement after that which locks, and so in a later snapshot.
    async fn lock(&mut self, clients: &[&str], ids: &[(&str, &str)], wait: Wait) -> Result<Locked, Error> {
        let lock = match wait {
            Wait::Wait => &self.own.lock,
            Wait::Skip => &self.own.lock_skipping,
        };
        let clients = [Column::Texts(clients.to_vec())];
        let accounts = async {
            let statement = lock.with::<(Text, Text, BigInt, Text, BigInt, BigInt, BigInt)>(&clients);
            let rows: Vec<LockedRow> = RunQueryDsl::load(statement, &mut &self.connection).await?;
            let row = |(client, document, folded, labels, from, to, sums)| {
                (client, (document, folded, labels, from, to, sums))
            };
            Ok::<Vec<_>, Error>(rows.into_iter().map(row).collect())
        };
        let entries = OptionFuture::from((!ids.is_empty()).then(|| load_named(self, ids)));
        let both = async {
            let (accounts, entries) = join(accounts, entries).await;
            Ok(Locked { accounts: accounts?, entries: entries.transpose()?.unwrap_or_default() })
        };
        let (_, locked) = try_join(self.run(&self.own.begin, &[]), both).await?;
        Ok(locked)
    }

    async fn existing(&mut self, clients: &[&str]) -> Result<Vec<String>, Error> {
        let clients = [Column::Texts(clients.to_vec())];
        RunQueryDsl::load(self.own.existing.with::<Text>(&clients), &mut self.connection).await
    }

    async fn named(&mut self, ids: &[(&str, &str)]) -> Result<Vec<NamedRow>, Error> {
        load_named(self, ids).await
    }

    /// One round trip, the commit included.
    async fn write(&mut self, writing: &Writing, end: End) -> Result<(), Undone> {
        let plans = PlanRows::new(&writing.changes.plans).map_err(|broken| Undone::NotDone(broken.into()))?;
        self.check_open()?;
        let statements = statements(&self.own, writing, &plans);
        let writes = self.run_all(&statements);
        let commit = OptionFuture::from((end == End::Commit).then(|| self.run(&self.own.commit, &[])));
        let (written, committed) = join(writes, commit).await;
        match written.into_iter().find_map(Result::err) {
            // The commit was on its way when the connection was lost.
            Some(error) if end == End::Commit && (is_lost(&error) || is_lost_behind(&error)) => {
                Err(Undone::Unknown(Arc::new(error)))
            }
            // After an error of the server's a commit rolls back.
            Some(error) => Err(Undone::NotDone(error.into())),
            None => committed.transpose().map(|_| ()).map_err(not_committed),
        }
    }

    /// One statement, a transaction of its own, unless ids are to be absent: those are looked for by a statement after that which locks.
    async fn write_over(&mut self, over: &Over) -> Result<(), Undone> {
        self.check_open()?;
        if over.changes.is_empty() {
            let columns = confirm_columns(over);
            let confirmed = if over.confirms() { self.run(&self.own.confirm, &columns).await } else { Ok(0) };
            return confirmed.map(|_| ()).map_err(|error| Undone::NotDone(as_it_was(error)));
        }
        if !over.absent.is_empty() {
            let (charge, confirm) = (over_columns(over), confirm_columns(over));
            let own = &self.own;
            let statements = [
                (&own.begin, Vec::new()),
                (&own.charge_over, charge),
                (&own.confirm, confirm),
                (&own.commit, Vec::new()),
            ];
            return written_over(self.run_all(&statements).await);
        }
        let charged = if over.confirms() {
            self.run(&self.own.charge_and_confirm, &[over_columns(over), confirm_columns(over)].concat()).await
        } else {
            self.run(&self.own.charge_over, &over_columns(over)).await
        };
        match charged {
            Ok(_) => Ok(()),
            Err(error) if is_lost(&error) || is_lost_behind(&error) => Err(Undone::Unknown(Arc::new(error))),
            // Where the connection goes on, the statement was rolled back; a server that ends may say so after it has committed.
            Err(error) => match self.roll_back().await {
                Ok(()) => Err(Undone::NotDone(as_it_was(error))),
                Err(_) => Err(Undone::Unknown(Arc::new(error))),
            },
        }
    }

    async fn commit(&mut self) -> Result<(), Undone> {
        self.check_open()?;
        self.run(&self.own.commit, &[]).await.map(|_| ()).map_err(not_committed)
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        self.run(&self.own.roll_back, &[]).await.map(|_| ())
    }

    async fn server_time(&mut self) -> Result<i64, Error> {
        let own = Arc::clone(&self.own);
        self.numbers(&own.time, &[]).await?.pop().ok_or(Error::NotFound)
    }

    async fn is_writable(&mut self) -> Result<bool, Error> {
        let own = Arc::clone(&self.own);
        Ok(self.numbers(&own.writable, &[]).await?.pop() == Some(1))
    }

    loads!();
}

async fn load_named(link: &PostgresLink, ids: &[(&str, &str)]) -> Result<Vec<NamedRow>, Error> {
    let (clients, ids): (Vec<&str>, Vec<&str>) = ids.iter().copied().unzip();
    let columns = [Column::Texts(clients), Column::Texts(ids)];
    let statement = link.own.named.with::<(Text, Text, BigInt, BigInt, Text)>(&columns);
    RunQueryDsl::load(statement, &mut &link.connection).await
}

/// Everything but removals.
fn statements<'a>(
    own: &'a PostgresTexts,
    writing: &'a Writing,
    plans: &'a PlanRows<'a>,
) -> Vec<(&'a ArraySql, Vec<Column<'a>>)> {
    let Changes { entries, quarters, accounts, .. } = &writing.changes;
    let mut statements = Vec::new();
    if !writing.made.is_empty() {
        // First: whoever is late learns it before anything else is done.
        statements.push((&own.make_accounts, account_columns(&writing.made)));
    }
    let columns = [entry_columns(entries), quarter_columns(quarters), account_columns(accounts)];
    let is_empty = [entries.is_empty(), quarters.is_empty(), accounts.is_empty()];
    if is_empty.contains(&true) {
        let each = [&own.add_entries, &own.add_to_quarters, &own.put_accounts].into_iter().zip(columns);
        statements.extend(each.zip(is_empty).filter(|(_, is_empty)| !is_empty).map(|(statement, _)| statement));
    } else {
        statements.push((&own.charge, columns.concat()));
    }
    if !plans.set.is_empty() {
        let columns = vec![
            Column::Texts(plans.set.iter().map(|plan| plan.client).collect()),
            Column::Ints(plans.set.iter().map(|plan| plan.version).collect()),
            Column::Texts(plans.set.iter().map(|plan| plan.quotas.as_str()).collect()),
        ];
        statements.push((&own.put_plans, columns));
    }
    if !plans.removed.is_empty() {
        statements.push((&own.remove_plans, vec![Column::Texts(plans.removed.clone())]));
    }
    statements
}

fn entry_columns(entries: &[NewEntry]) -> Vec<Column<'_>> {
    vec![
        Column::Texts(entries.iter().map(|entry| entry.client.as_str()).collect()),
        Column::Ints(entries.iter().map(|entry| entry.at).collect()),
        Column::Texts(entries.iter().map(|entry| entry.id.as_str()).collect()),
        Column::Ints(entries.iter().map(|entry| entry.credits).collect()),
        Column::Texts(entries.iter().map(|entry| entry.label.as_str()).collect()),
    ]
}

fn quarter_columns(quarters: &BTreeMap<QuarterKey, QuarterAdd>) -> Vec<Column<'_>> {
    vec![
        Column::Texts(quarters.keys().map(|key| key.client.as_str()).collect()),
        Column::Ints(quarters.keys().map(|key| key.quarter).collect()),
        Column::Texts(quarters.keys().map(|key| key.label.as_str()).collect()),
        Column::Ints(quarters.values().map(|add| add.credits).collect()),
        Column::Ints(quarters.values().map(|add| add.entries).collect()),
    ]
}

/// What is seen is as long as what is confirmed or written.
fn seen_columns(seen: &[Seen]) -> [Column<'_>; 3] {
    [
        Column::Texts(seen.iter().map(|seen| seen.document.as_str()).collect()),
        Column::Texts(seen.iter().map(|seen| seen.labels.as_str()).collect()),
        Column::Ints(seen.iter().map(|seen| seen.folded_until).collect()),
    ]
}

fn count_column(seen: &[Seen]) -> Column<'_> {
    Column::Ints(vec![i64::try_from(seen.len()).unwrap_or(i64::MAX)])
}

fn over_columns(over: &Over) -> Vec<Column<'_>> {
    let Changes { entries, quarters, accounts, .. } = &over.changes;
    let mut columns = account_columns(accounts);
    columns.extend(seen_columns(&over.before));
    columns.extend(entry_columns(entries));
    columns.extend(quarter_columns(quarters));
    columns.push(count_column(&over.before));
    columns
}

fn confirm_columns(over: &Over) -> Vec<Column<'_>> {
    let Over { confirmed, absent, .. } = over;
    let mut columns = vec![Column::Texts(confirmed.iter().map(|seen| seen.client.as_str()).collect())];
    columns.extend(seen_columns(confirmed));
    columns.push(count_column(confirmed));
    columns.push(Column::Texts(absent.iter().map(|(client, _)| client.as_str()).collect()));
    columns.push(Column::Texts(absent.iter().map(|(_, id)| id.as_str()).collect()));
    columns
}

fn account_columns(accounts: &[NewAccount]) -> Vec<Column<'_>> {
    vec![
        Column::Texts(accounts.iter().map(|account| account.client.as_str()).collect()),
        Column::Texts(accounts.iter().map(|account| account.document.as_str()).collect()),
        Column::Texts(accounts.iter().map(|account| account.labels.as_str()).collect()),
    ]
}

/// What became of a transaction by the answers to its beginning, what it writes, what it confirms, and its commit.
fn written_over(answers: Vec<Result<usize, Error>>) -> Result<(), Undone> {
    let [begun, charged, .., committed] = answers.as_slice() else { return Ok(()) };
    let is_told =
        |answer: &Result<usize, Error>| matches!(answer, Err(error) if !is_lost(error) && !is_lost_behind(error));
    // What comes after a beginning that failed, which somebody may have cancelled, commits each by itself: then nothing was written only
    // where the server says so of that.
    let has_begun = begun.is_ok();
    let earlier = answers.len().saturating_sub(1);
    let is_undone = is_told(charged) || (has_begun && answers.iter().take(earlier).any(is_told));
    let is_in_order = has_begun && committed.is_ok();
    let failed = answers.into_iter().enumerate().find_map(|(place, answer)| Some((place, answer.err()?)));
    match failed {
        None => Ok(()),
        Some((_, error)) if is_undone && is_in_order => Err(Undone::NotDone(as_it_was(error))),
        Some((_, error)) if is_undone => Err(Undone::NotDone(error.into())),
        Some((place, error)) if place == earlier => Err(not_committed(error)),
        Some((_, error)) => Err(Undone::Unknown(Arc::new(error))),
    }
}

/// A server's error that leaves the connection as it was before: something was not as it was seen, or held by others.
fn as_it_was(error: Error) -> Failure {
    if is_lost(&error) {
        return error.into();
    }
    tracing::debug!(%error, "accounts that were kept are read again");
    Failure::Overtaken
}

/// Whether the connection is gone, and with it the answer.
pub(super) fn is_lost(error: &Error) -> bool {
    use DatabaseErrorKind::{ClosedConnection, UnableToSendCommand};
    matches!(error, Error::DatabaseError(ClosedConnection | UnableToSendCommand, _))
}

/// Whether a pooler in the server's place says that it has lost the server, by its words: Diesel does not keep the code, which is of
/// class 08.
fn is_lost_behind(error: &Error) -> bool {
    const WORDS: [&str; 4] = ["server conn crashed", "server connection", "server_lifetime", "pooler"];
    let Error::DatabaseError(DatabaseErrorKind::Unknown, info) = error else { return false };
    let own = own_words(info.message());
    WORDS.iter().any(|words| own.contains(words))
}

/// A commit that failed rolled back where the server says what was wrong with the transaction; it may stand where the
/// connection was lost or the server ended in the middle of it.
fn not_committed(error: Error) -> Undone {
    use DatabaseErrorKind::{CheckViolation, SerializationFailure, UniqueViolation};
    match error {
        Error::DatabaseError(SerializationFailure | UniqueViolation | CheckViolation, _) => {
            Undone::NotDone(error.into())
        }
        error => Undone::Unknown(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_over_is_known_by_what_was_told() {
        let told = || Err(Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new("no".to_owned())));
        let lost = || Err(Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new("gone".to_owned())));
        let done = || Ok(0);
        let became = |answers: [Result<usize, Error>; 4]| match written_over(answers.into()) {
            Ok(()) => "done",
            Err(Undone::NotDone(Failure::Overtaken)) => "not done, in order",
            Err(Undone::NotDone(_)) => "not done",
            Err(Undone::Unknown(_)) => "unknown",
        };
        assert_eq!(became([done(), done(), done(), done()]), "done");
        assert_eq!(became([done(), told(), told(), done()]), "not done, in order");
        assert_eq!(became([done(), done(), told(), done()]), "not done, in order");
        assert_eq!(became([done(), told(), told(), told()]), "not done");
        // A server's last words.
        assert_eq!(became([done(), told(), lost(), lost()]), "not done");
        assert_eq!(became([told(), told(), done(), done()]), "not done");
        // Each by itself: the third stands, whatever is told of the fourth.
        assert_eq!(became([told(), done(), told(), done()]), "unknown");
        assert_eq!(became([done(), done(), done(), told()]), "unknown");
        assert_eq!(became([done(), done(), done(), lost()]), "unknown");
        assert_eq!(became([lost(), lost(), lost(), lost()]), "unknown");
    }

    #[test]
    fn a_name_in_a_servers_words_is_no_lost_server() {
        let lost =
            |words: &str| is_lost_behind(&Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(words.to_owned())));
        assert!(!lost("relation \"pooler_accounts\" does not exist"));
        assert!(!lost("database \"server connection\" is not currently accepting connections"));
        assert!(lost("server conn crashed?"));
        assert!(lost("pooler is shut down"));
    }
}
