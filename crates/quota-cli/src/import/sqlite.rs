//! The predecessor's table in an SQLite file.

use anyhow::{Context, bail};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};

use crate::import::row::Row;
use crate::import::source::PAGE;
use crate::import::sql::{Found, quoted};

pub(super) struct SqliteTable {
    connection: SqliteConnection,
    table: String,
    after: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl SqliteTable {
    pub(super) fn open(path: &str, table: &str) -> anyhow::Result<Self> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
            bail!("the source {path} is no file");
        }
        // The bytes that a URI of SQLite gives a meaning to.
        let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let mut connection = SqliteConnection::establish(&format!("file:{escaped}?mode=ro"))
            .with_context(|| format!("the source {path} cannot be opened"))?;
        // Read while the predecessor may still be writing.
        connection.batch_execute("PRAGMA busy_timeout = 10000")?;
        let mut source = Self { connection, table: quoted(table, '"')?, after: i64::MIN };
        source
            .rows(1)
            .with_context(|| format!("the source has no table {table} with id, client_id, timestamp and credits"))?;
        Ok(source)
    }

    pub(super) fn count(&mut self) -> anyhow::Result<u64> {
        let query = format!("SELECT COUNT(*) AS count FROM {}", self.table);
        let found: Count = sql_query(query).get_result(&mut self.connection).context("the source cannot be read")?;
        Ok(u64::try_from(found.count)?)
    }

    pub(super) fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        let found = self.rows(PAGE).context("the source cannot be read")?;
        if let Some(last) = found.last() {
            self.after = last.id;
        }
        Ok(found.into_iter().map(Found::into_row).collect())
    }

    /// SQLite keeps any type in any column: only numbers are taken for numbers, since a cast would guess.
    fn rows(&mut self, limit: usize) -> anyhow::Result<Vec<Found>> {
        let query = format!(
            "SELECT id, \
             CASE WHEN typeof(client_id) IN ('text', 'integer') THEN CAST(client_id AS TEXT) END AS client, \
             CASE WHEN typeof(timestamp) = 'integer' THEN timestamp END AS seconds, \
             CASE WHEN typeof(credits) IN ('real', 'integer') THEN CAST(credits AS REAL) END AS credits \
             FROM {} WHERE id > ? ORDER BY id LIMIT ?",
            self.table
        );
        let query = sql_query(query).bind::<BigInt, _>(self.after).bind::<BigInt, _>(i64::try_from(limit)?);
        Ok(query.load(&mut self.connection)?)
    }
}
