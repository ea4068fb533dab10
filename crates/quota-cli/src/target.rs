//! The store that a command works on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use mongodb::bson::doc;
use quota_core::ClientId;
use quota_service::{AnyStore, QuotaService};
use quota_store_redis::{ConnectError, RedisStore};
use quota_stores::{hosts, split_prefix};

use crate::{mongo, mysql, postgres, prefix};

/// How long one operation may take, and one answer to what is asked beside a store: longer than a request may wait, for
/// nobody serves anything meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a file of SQLite may be locked when it is looked at.
const LOCKED: Duration = Duration::from_secs(5);

/// What the help of commands that only read says beside.
pub(crate) const OPENING: &str = "Opening a store brings tables of an older version up to date.";

/// What was said of a store that does not open.
const CLOSED: &str = "the store cannot be opened";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Opens a store, and makes it where it is not there yet.
pub(crate) async fn open(url: &str) -> anyhow::Result<AnyStore> {
    if let Some(path) = file(url) {
        look_at_folder(&path).context(CLOSED)?;
    }
    // The error never repeats the URL, which may hold a password.
    quota_stores::connect(url).await.context(CLOSED)
}

/// Opens a store that is there. Nothing is made, and what is something else is left as it is: a path or a database that was
/// mistyped is not to be answered with an empty store.
pub(crate) async fn existing(url: &str) -> anyhow::Result<AnyStore> {
    if let Some(path) = file(url) {
        if !path.is_file() {
            return Err(anyhow!("{} is no file: look at its path", path.display()).context(CLOSED));
        }
        if !holds_store(&path, &noted_in(url)).with_context(|| unread(&path)).context(CLOSED)? {
            let none = anyhow!("{} is an SQLite database without a store: look at its path", path.display());
            return Err(none.context(CLOSED));
        }
    } else if !is_there(url).await.context(CLOSED)? {
        let none = anyhow!("there is none{}: look at the database and the prefix in its URL", place(url));
        return Err(none.context(CLOSED));
    }
    open(url).await
}

/// A service over a store that is there, with the plans that it keeps.
pub(crate) async fn existing_service(url: &str) -> anyhow::Result<QuotaService<AnyStore>> {
    Ok(QuotaService::builder(existing(url).await?).with_stored_plans().with_deadline(PATIENCE).build())
}

/// Opens a store if it is there, and otherwise looks only whether it could be made.
pub(crate) async fn look(url: &str) -> anyhow::Result<Option<AnyStore>> {
    prefix::check(url).context(CLOSED)?;
    if is_there(url).await.context(CLOSED)? { open(url).await.map(Some) } else { Ok(None) }
}

/// Whether there is a store, as far as that can be told without opening it.
async fn is_there(url: &str) -> anyhow::Result<bool> {
    let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        // No path at all is told in the words of the store.
        "sqlite" => file(url).map_or(Ok(true), |path| look_at_file(&path, &noted_in(url))),
        "postgres" | "postgresql" | "mysql" => look_at_tables(url).await,
        "mongodb" => look_at_collections(url).await,
        "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel" | "valkey"
        | "valkeys" | "valkey+cluster" | "valkeys+cluster" | "valkey+sentinel" | "valkeys+sentinel" => {
            match RedisStore::builder(url).is_made().await {
                Ok(is_made) => Ok(is_made),
                // It may answer in a moment.
                Err(error @ (ConnectError::Unreachable(_) | ConnectError::Server(_))) => {
                    Err(quota_stores::ConnectError::Store { scheme: "redis", hosts: hosts(url), source: error.into() }
                        .into())
                }
                // Opening says so in better words, and before it writes.
                Err(_) => Ok(true),
            }
        }
        _ => Ok(true),
    }
}

/// Where a server is, as far as that can be told from a password.
fn place(url: &str) -> String {
    hosts(url).map(|hosts| format!(" at {hosts}")).unwrap_or_default()
}

/// Reads a client id.
pub(crate) fn read_client(text: &str) -> Result<ClientId, String> {
    ClientId::new(text).map_err(|error| error.to_string())
}

/// Waits for an answer of the server, and not for ever.
pub(crate) async fn timely<T>(server: &str, answer: impl Future<Output = T>) -> anyhow::Result<T> {
    let seconds = PATIENCE.as_secs();
    let late = || anyhow!("{server} did not answer within {seconds} s: is it locked, or overloaded?");
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| late())
}

/// The path of a database in a file, if the URL names one.
pub(crate) fn file(url: &str) -> Option<PathBuf> {
    let (url, _) = split_prefix(url);
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Opens a database in a file for reading.
///
/// # Errors
/// What to do where it cannot be opened without writing: a writer has left beside it what belongs into it.
pub(crate) fn open_file(path: &Path) -> anyhow::Result<SqliteConnection> {
    let text = path.to_str().context("its path is not UTF-8: rename it")?;
    // The bytes that a URI of SQLite gives a meaning to.
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    // In `//abs/file` it would take `abs` for a host.
    let host = if escaped.starts_with('/') { "//" } else { "" };
    let opened = SqliteConnection::establish(&format!("file:{host}{escaped}?mode=ro"));
    let mut connection = opened.map_err(|error| anyhow!("{error}"))?;
    // Reads the header, and waits for who holds the file for a moment. What else may be wrong is told by who reads on.
    let header =
        connection.batch_execute(&format!("PRAGMA busy_timeout = {}; PRAGMA schema_version", LOCKED.as_millis()));
    let left = header.err().and_then(|error| left_beside(&error.to_string()));
    left.map_or(Ok(connection), |left| Err(anyhow!("{left}")))
}

/// What was said of a file that cannot be looked at.
fn unread(path: &Path) -> String {
    format!("{} cannot be read", path.display())
}

/// What SQLite means by an error of reading a file that it could open.
fn left_beside(words: &str) -> Option<&'static str> {
    match words {
        "attempt to write a readonly database" => Some(
            "its last writer did not finish and left a -journal or a -wal beside it: open it once with its own program, or a copy of \
             both",
        ),
        "unable to open database file" => Some(
            "its write-ahead log cannot be opened, as where its folder may not be written: open it once with its own program, or \
             give a copy with its -wal in a folder that may be",
        ),
        _ => None,
    }
}

/// The table or collection that is in every store of the URL's prefix.
fn noted_in(url: &str) -> String {
    format!("{}schema", split_prefix(url).1.unwrap_or("quota_"))
}

fn holds_store(path: &Path, noted: &str) -> anyhow::Result<bool> {
    let tables = "SELECT COUNT(*) AS count FROM sqlite_schema WHERE type = 'table' AND lower(name) = ?";
    let tables = sql_query(tables).bind::<Text, _>(noted);
    let found: Count = diesel::RunQueryDsl::get_result(tables, &mut open_file(path)?)?;
    Ok(found.count > 0)
}

fn look_at_file(path: &Path, noted: &str) -> anyhow::Result<bool> {
    if path.is_file() {
        return holds_store(path, noted).with_context(|| unread(path));
    }
    look_at_folder(path)?;
    Ok(false)
}

/// Whether a file is there, or could be made.
fn look_at_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !path.is_file() && (path.exists() || path.file_name().is_none() || !folder.is_dir()) {
        bail!("{} is no path of a file that could be made: make its folder, or look at its path", path.display());
    }
    Ok(())
}

async fn look_at_tables(url: &str) -> anyhow::Result<bool> {
    let (noted, (url, _)) = (noted_in(url), split_prefix(url));
    let found: Count = if url.starts_with("mysql:") {
        let tables = "SELECT COUNT(*) AS count FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = ?";
        let (mut connection, server) = mysql::connect(&url).await?;
        timely(&server, sql_query(tables).bind::<Text, _>(noted).get_result(&mut connection)).await??
    } else {
        let tables = "SELECT COUNT(*) AS count FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = current_schema() AND c.relname = $1";
        let (mut connection, server) = postgres::connect(&url).await?;
        timely(&server, sql_query(tables).bind::<Text, _>(noted).get_result(&mut connection)).await??
    };
    Ok(found.count > 0)
}

async fn look_at_collections(url: &str) -> anyhow::Result<bool> {
    let (noted, (url, _)) = (noted_in(url), split_prefix(url));
    let (database, server) = mongo::database(&url, Some("quota")).await?;
    let database = database.client().default_database().unwrap_or(database);
    let listed = database.list_collection_names().filter(doc! { "name": noted });
    let listed = timely(&server, listed.into_future()).await?;
    Ok(!listed.map_err(|error| mongo::cause(&error, &server))?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
        let late = timely("MySQL at db:3306", std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(late.to_string(), "MySQL at db:3306 did not answer within 60 s: is it locked, or overloaded?");
    }
}
