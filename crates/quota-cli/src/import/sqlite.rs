//! The predecessor's table in an SQLite file.

use std::path::Path;

use anyhow::{Context, bail};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl, sql_query};

use crate::import::columns;
use crate::import::position::{Found, Position, Unkeyed};
use crate::import::row::Row;
use crate::import::source::PAGE;
use crate::import::table_name::{TableName, meanings};
use crate::target;

pub(super) struct SqliteTable {
    connection: SqliteConnection,
    table: TableName,
    position: Position,
    /// How a unit of a text is read, where texts are UTF-16.
    wide: Option<ReadUnit>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Takes the bytes of a unit of UTF-16 for a number.
type ReadUnit = fn([u8; 2]) -> u16;

const UNREADABLE: &str = "the source cannot be read";

impl SqliteTable {
    pub(super) fn open(path: &Path, table: &str) -> anyhow::Result<Self> {
        let shown = path.display();
        if !path.is_file() {
            bail!("the source {shown} is no file: look at its path");
        }
        let mut connection = target::open_file(path).with_context(|| format!("the source {shown} cannot be opened"))?;
        // Read while the predecessor may still be writing.
        connection.batch_execute("PRAGMA busy_timeout = 10000").context(UNREADABLE)?;
        let found = find(&mut connection, meanings(table)?);
        let found = found.with_context(|| format!("the source {shown} cannot be read: is it an SQLite database?"))?;
        let name = found.with_context(|| format!("the source {shown} has no table {table}: name it with --table"))?;
        let columns = "SELECT name FROM pragma_table_xinfo(?)";
        let columns: Vec<Name> = sql_query(columns).bind::<Text, _>(&name).load(&mut connection).context(UNREADABLE)?;
        columns::lacking(&name, columns.iter().map(|column| column.name.as_str()))?;
        let table = TableName::new("main", &name, '"', "main");
        let wide = wide(&mut connection).context(UNREADABLE)?;
        Ok(Self { connection, table, position: Position::START, wide })
    }

    /// The table's own name, whatever the spelling that found it.
    pub(super) fn name(&self) -> &str {
        &self.table.shown
    }

    pub(super) fn count(&mut self) -> anyhow::Result<u64> {
        let query = format!("SELECT COUNT(*) AS count FROM {}", self.table.quoted);
        let found: Count = sql_query(query).get_result(&mut self.connection).context(UNREADABLE)?;
        Ok(u64::try_from(found.count)?)
    }

    pub(super) fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        loop {
            match self.position.clone() {
                Position::From(from) => {
                    let found = self.rows(from).context(UNREADABLE)?;
                    let rows = self.position.pass(found)?;
                    if !rows.is_empty() {
                        return Ok(rows);
                    }
                }
                Position::Rest(after) => return self.rest(&after).context(UNREADABLE),
                Position::End => return Ok(Vec::new()),
            }
        }
    }

    /// SQLite keeps any type in any column: only numbers are taken for numbers, since a cast would guess.
    fn rows(&mut self, from: i64) -> anyhow::Result<Vec<Found>> {
        let query = format!(
            "SELECT id, \
             CASE WHEN typeof(client_id) IN ('text', 'integer') THEN CAST(CAST(client_id AS TEXT) AS BLOB) END AS client, \
             CASE WHEN typeof(timestamp) = 'integer' \
             OR (typeof(timestamp) = 'real' AND abs(timestamp) < 9e15 AND timestamp = CAST(timestamp AS INTEGER)) \
             THEN CAST(timestamp AS INTEGER) END AS seconds, \
             CASE WHEN typeof(credits) IN ('real', 'integer') THEN CAST(credits AS REAL) END AS credits, NULL AS exact \
             FROM {} WHERE typeof(id) = 'integer' AND id >= ? ORDER BY id LIMIT ?",
            self.table.quoted
        );
        let query = sql_query(query).bind::<BigInt, _>(from).bind::<BigInt, _>(i64::try_from(PAGE)?);
        let mut found: Vec<Found> = query.load(&mut self.connection)?;
        if let Some(read_unit) = self.wide {
            for row in &mut found {
                row.client = row.client.take().map(|bytes| narrow(&bytes, read_unit));
            }
        }
        Ok(found)
    }

    /// Rows without an id, or with one that is no whole number: a page of those behind the name that was read last.
    fn rest(&mut self, after: &[u8]) -> anyhow::Result<Vec<Row>> {
        let query = format!(
            "SELECT name, COUNT(*) AS count FROM \
             (SELECT CAST(substr(quote(id), 1, 200) AS BLOB) AS name FROM {} WHERE typeof(id) <> 'integer') \
             WHERE name > ? GROUP BY name ORDER BY name LIMIT ?",
            self.table.quoted
        );
        let query = sql_query(query).bind::<Binary, _>(after).bind::<BigInt, _>(i64::try_from(PAGE)?);
        let found: Vec<Unkeyed> = query.load(&mut self.connection)?;
        self.position.pass_rest(&found, PAGE);
        let read_unit = self.wide;
        let text = |name: Vec<u8>| match read_unit {
            Some(read_unit) => narrow(&name, read_unit),
            None => name,
        };
        let row =
            |rows: Unkeyed| Ok(Row::without_id(String::from_utf8_lossy(&text(rows.name)), u64::try_from(rows.count)?));
        found.into_iter().map(row).collect()
    }
}

/// A text of UTF-16 as UTF-8; what is none becomes none.
fn narrow(bytes: &[u8], read_unit: ReadUnit) -> Vec<u8> {
    let units = bytes.chunks_exact(2).filter_map(|unit| unit.try_into().ok()).map(read_unit);
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map_or_else(|_| vec![0xff], String::into_bytes)
}

/// How a unit of the file's texts is read, unless they are UTF-8.
fn wide(connection: &mut SqliteConnection) -> anyhow::Result<Option<ReadUnit>> {
    let encoding: Name = sql_query("SELECT encoding AS name FROM pragma_encoding").get_result(connection)?;
    Ok(match encoding.name.as_str() {
        "UTF-16le" => Some(u16::from_le_bytes),
        "UTF-16be" => Some(u16::from_be_bytes),
        _ => None,
    })
}

/// The name of a table or view. SQLite tells names apart without case.
fn find(connection: &mut SqliteConnection, meanings: Vec<(Option<&str>, &str)>) -> anyhow::Result<Option<String>> {
    for (schema, table) in meanings {
        if schema.is_some_and(|schema| !schema.eq_ignore_ascii_case("main")) {
            continue;
        }
        let query = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE";
        let found: Option<Name> = sql_query(query).bind::<Text, _>(table).get_result(connection).optional()?;
        if let Some(found) = found {
            return Ok(Some(found.name));
        }
    }
    Ok(None)
}
