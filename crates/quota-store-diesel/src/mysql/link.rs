//! One connection to MySQL.

use std::fmt;
use std::sync::Arc;

use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;

use crate::changes::{Changes, NewAccount};
use crate::failure::{Failure, Undone};
use crate::mysql::script::{Script, Value};
use crate::mysql::texts::{Lists, MysqlTexts};
use crate::rows::{
    AccountRow, AccountSql, Broken, EntryRow, EntrySql, FoldSizeSql, FoldableSql, LabelSumSql, PageRow, PageSql,
    PlanSql, QuarterRow, QuarterSql, SumSql,
};
use crate::server::{End, Link, Locked, NamedRow, PlanRows, Texts, Wait, Writing, loads, own_words};
use crate::statement::{Bind, Sql};

/// One connection to MySQL. It commits nothing by itself, so a transaction begins with its first statement.
pub(crate) struct MysqlLink {
    pub(super) connection: AsyncMysqlConnection,
    pub(super) own: Arc<MysqlTexts>,
    pub(super) texts: Arc<Texts>,
}

/// At the end whether the server only reads.
type LockedRow = (String, String, i64, String, i64, i64, i64, i64);

impl fmt::Debug for MysqlLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlLink").finish_non_exhaustive()
    }
}

impl Link for MysqlLink {
    /// The driver tells by the first statement only.
    fn is_closed(&self) -> bool {
        false
    }

    fn texts(&self) -> Arc<Texts> {
        Arc::clone(&self.texts)
    }

    async fn begin_reading(&mut self) -> Result<(), Error> {
        let begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.connection.batch_execute(begin).await
    }

    async fn begin_writing(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn lock(&mut self, clients: &[&str], ids: &[(&str, &str)], wait: Wait) -> Result<Locked, Error> {
        let own = Arc::clone(&self.own);
        let lists = match wait {
            Wait::Wait => &own.lock,
            Wait::Skip => &own.lock_skipping,
        };
        let mut locked = Locked::default();
        for clients in clients.chunks(Lists::MAX) {
            let Some((sql, binds)) = list(lists, clients, |client| [Bind::Text(client)]) else { continue };
            let statement = sql.with::<(Text, Text, BigInt, Text, BigInt, BigInt, BigInt, BigInt)>(&binds);
            let rows: Vec<LockedRow> = RunQueryDsl::load(statement, &mut self.connection).await?;
            // It locks all the same, and would answer what writes nothing: what was, where another server is the primary now.
            if rows.iter().any(|(.., only_reads)| *only_reads != 0) {
                return Err(only_reads());
            }
            let row = |(client, document, folded, labels, from, to, sums, _)| {
                (client, (document, folded, labels, from, to, sums))
            };
            locked.accounts.extend(rows.into_iter().map(row));
        }
        // No row has said so.
        if locked.accounts.is_empty() && !self.is_writable().await? {
            return Err(only_reads());
        }
        if !ids.is_empty() {
            locked.entries = self.named(ids).await?;
        }
        Ok(locked)
    }

    async fn existing(&mut self, clients: &[&str]) -> Result<Vec<String>, Error> {
        let own = Arc::clone(&self.own);
        let mut existing = Vec::new();
        for clients in clients.chunks(Lists::MAX) {
            let Some((sql, binds)) = list(&own.existing, clients, |client| [Bind::Text(client)]) else { continue };
            existing.extend(self.words(sql, &binds).await?);
        }
        Ok(existing)
    }

    async fn named(&mut self, ids: &[(&str, &str)]) -> Result<Vec<NamedRow>, Error> {
        let own = Arc::clone(&self.own);
        let mut named = Vec::new();
        for ids in ids.chunks(Lists::MAX) {
            let item = |(client, id)| [Bind::Text(id), Bind::Text(client)];
            let Some((sql, binds)) = list(&own.named, ids, item) else { continue };
            let statement = sql.with::<(Text, Text, BigInt, BigInt, Text)>(&binds);
            let rows: Vec<NamedRow> = RunQueryDsl::load(statement, &mut self.connection).await?;
            named.extend(rows);
        }
        Ok(named)
    }

    /// One round trip, the commit included: where a statement fails, those after it are not run.
    async fn write(&mut self, writing: &Writing, end: End) -> Result<(), Undone> {
        let plans = PlanRows::new(&writing.changes.plans).map_err(|broken| Undone::NotDone(broken.into()))?;
        let mut script = script(&self.own, writing, &plans);
        if end == End::Commit {
            script.statement("COMMIT");
        }
        let last = script.texts().len();
        for (place, text) in script.texts().iter().enumerate() {
            let done = self.connection.batch_execute(text).await;
            let commits = end == End::Commit && place + 1 == last;
            done.map_err(|error| if commits { not_committed(error) } else { Undone::NotDone(error.into()) })?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Undone> {
        self.connection.batch_execute("COMMIT").await.map_err(not_committed)
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        self.connection.batch_execute("ROLLBACK").await
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

fn only_reads() -> Error {
    let words = "the server has become read-only".to_owned();
    Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, Box::new(words))
}

/// The statement for a list and its values, the list filled up with its last item.
fn list<'a, T: Copy, const N: usize>(
    lists: &'a Lists,
    items: &[T],
    binds: impl Fn(T) -> [Bind<'a>; N],
) -> Option<(&'a Sql, Vec<Bind<'a>>)> {
    let last = *items.last()?;
    let (sql, size) = lists.of(items.len())?;
    let filled = items.iter().copied().chain(std::iter::repeat(last)).take(size);
    Some((sql, filled.flat_map(binds).collect()))
}

/// Everything but removals.
fn script(own: &MysqlTexts, writing: &Writing, plans: &PlanRows<'_>) -> Script {
    let Changes { entries, quarters, accounts, .. } = &writing.changes;
    let mut script = Script::default();
    // First: whoever is late learns it before anything else is done.
    script.insert(&own.make_accounts, writing.made.iter().map(account_row), "");
    let entry = entries.iter().map(|entry| {
        let (client, id, label) = (&entry.client, &entry.id, &entry.label);
        let at = Value::Int(entry.at);
        [Value::Bytes(client.as_str()), at, Value::Bytes(id), Value::Int(entry.credits), Value::Bytes(label)]
    });
    script.insert(&own.add_entries, entry, "");
    let quarter = quarters.iter().map(|(key, add)| {
        let (client, label) = (Value::Bytes(key.client.as_str()), Value::Bytes(&key.label));
        [client, Value::Int(key.quarter), label, Value::Int(add.credits), Value::Int(add.entries)]
    });
    script.insert(&own.add_to_quarters.0, quarter, own.add_to_quarters.1);
    script.insert(&own.put_accounts.0, accounts.iter().map(account_row), own.put_accounts.1);
    let plan =
        plans.set.iter().map(|plan| [Value::Bytes(plan.client), Value::Int(plan.version), Value::Text(&plan.quotas)]);
    script.insert(&own.put_plans.0, plan, own.put_plans.1);
    if !plans.removed.is_empty() {
        let mut statement = own.remove_plans.clone();
        for (place, client) in plans.removed.iter().enumerate() {
            statement.push(if place == 0 { '(' } else { ',' });
            Value::Bytes(client).write(&mut statement);
        }
        statement.push(')');
        script.statement(&statement);
    }
    script
}

fn account_row(account: &NewAccount) -> [Value<'_>; 3] {
    [Value::Bytes(account.client.as_str()), Value::Text(&account.document), Value::Text(&account.labels)]
}

/// Whether the connection is gone, and with it the answer. Diesel keeps the driver's words only, which say so in their
/// beginning; a server's words have none of these.
pub(super) fn is_lost(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => true,
        Error::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            let message = info.message();
            ["Input/output error: ", "Driver error: ", "Other error: "].iter().any(|words| message.starts_with(words))
        }
        _ => false,
    }
}

/// What ends with the commit rolled back where a statement of it failed; it may stand where the connection was lost or
/// the commit itself failed, as by its own words or by those of the log that it was to be in.
fn not_committed(error: Error) -> Undone {
    let unsure = match &error {
        // Its words hold what a caller chose.
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => false,
        Error::DatabaseError(_, info) => {
            let message = info.message().to_ascii_lowercase();
            // The file may be the log's.
            let message = if message.contains(WRITING) { message } else { own_words(&message) };
            UNSURE.iter().chain(&LOST_BEHIND).any(|words| message.contains(words))
        }
        _ => true,
    };
    if unsure || is_lost(&error) { Undone::Unknown(Arc::new(error)) } else { Undone::NotDone(error.into()) }
}

/// In what a server says of a commit that may stand.
const UNSURE: [&str; 7] = ["commit", "shutdown", "stopped", "killed", "interrupted", "binary log", "binlog"];

/// In what a server says of a file that it could not write, whose name it quotes.
const WRITING: &str = "writing file";

/// In what a proxy says of a server that it has lost, in the server's place.
const LOST_BEHIND: [&str; 4] = ["lost connection", "gone away", "backend", "proxysql"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_servers_words_says_nothing_of_the_commit() {
        let undone =
            |words: &str| not_committed(Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(words.to_owned())));
        for words in [
            "Table 'backend.quota_accounts' doesn't exist",
            "Table 'app.commit_entries' doesn't exist",
            "INSERT command denied to user 'killed'@'binlog' for table `app`.`stopped_plans`",
            "The table 'shutdown_entries' is full",
        ] {
            assert!(matches!(undone(words), Undone::NotDone(_)), "{words}");
        }
        for words in [
            "Got error 28 \"No space left on device\" during COMMIT",
            "Error writing file './mysql-binlog.000001' (Errcode: 28 \"No space left on device\")",
            "Lost connection to backend server: network error ('one')",
            "Server shutdown in progress",
        ] {
            assert!(matches!(undone(words), Undone::Unknown(_)), "{words}");
        }
    }
}
