//! The predecessor's table on a server.

use anyhow::{Context, anyhow};
use diesel::result::Error;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl};

use crate::import::columns::Numbers;
use crate::import::position::{Found, Position, Unkeyed};
use crate::import::row::Row;
use crate::import::source::PAGE;
use crate::import::table_name::TableName;
use crate::import::{mysql, postgres};
use crate::target;

/// A table in PostgreSQL or in MySQL.
pub(super) struct SqlTable {
    connection: Server,
    /// Where it is.
    place: String,
    table: TableName,
    numbers: Numbers,
    position: Position,
}

enum Server {
    Postgres(Box<AsyncPgConnection>),
    Mysql(Box<AsyncMysqlConnection>),
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Asks a statement of either server, and not for ever.
macro_rules! ask {
    ($source:expr, $statement:expr, $answer:ident) => {{
        let statement = $statement;
        let answer = async {
            match &mut $source.connection {
                Server::Postgres(connection) => statement.$answer(&mut **connection).await,
                Server::Mysql(connection) => statement.$answer(&mut **connection).await,
            }
        };
        timely(&$source.place, answer).await?.map_err(|error| refused(&error, &$source.place))
    }};
}

impl SqlTable {
    pub(super) async fn postgres(url: &str, typed: &str) -> anyhow::Result<Self> {
        let connected = crate::postgres::connect(url).await;
        let (mut connection, place) = connected.context("the source cannot be connected to")?;
        let found = timely(&place, postgres::find(&mut connection, typed)).await?;
        let found = found.with_context(|| unread(&place))?;
        let (table, columns) = found.with_context(|| absent(typed))?;
        let numbers = postgres::KINDS.check(&table.shown, &columns)?;
        let connection = Server::Postgres(Box::new(connection));
        Self { connection, place, table, numbers, position: Position::START }.readable().await
    }

    pub(super) async fn mysql(url: &str, typed: &str) -> anyhow::Result<Self> {
        let connected = crate::mysql::connect(url).await;
        let (mut connection, place) = connected.context("the source cannot be connected to")?;
        let found = timely(&place, mysql::find(&mut connection, typed)).await?;
        let found = found.with_context(|| unread(&place))?;
        let (table, columns) = found.with_context(|| absent(typed))?;
        let numbers = mysql::KINDS.check(&table.shown, &columns)?;
        let connection = Server::Mysql(Box::new(connection));
        Self { connection, place, table, numbers, position: Position::START }.readable().await
    }

    /// Reads no row, which tells whether the user may: before the store is made.
    async fn readable(mut self) -> anyhow::Result<Self> {
        self.found(i64::MAX, 0).await?;
        Ok(self)
    }

    /// The table's own name, whatever the spelling that found it.
    pub(super) fn name(&self) -> &str {
        &self.table.shown
    }

    pub(super) async fn count(&mut self) -> anyhow::Result<u64> {
        let query = sql_query(format!("SELECT COUNT(*) AS count FROM {}", self.table.quoted));
        // Not for 60 s only: nobody waits for it.
        let counted: Result<Count, Error> = match &mut self.connection {
            Server::Postgres(connection) => query.get_result(&mut **connection).await,
            Server::Mysql(connection) => query.get_result(&mut **connection).await,
        };
        let found = counted.map_err(|error| refused(&error, &self.place))?;
        Ok(u64::try_from(found.count)?)
    }

    pub(super) async fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        loop {
            match self.position.clone() {
                Position::From(from) => {
                    let found = self.rows(from).await?;
                    let rows = self.position.pass(found)?;
                    if !rows.is_empty() {
                        return Ok(rows);
                    }
                }
                Position::Rest(after) => return self.rest(&after).await,
                Position::End => return Ok(Vec::new()),
            }
        }
    }

    async fn rows(&mut self, from: i64) -> anyhow::Result<Vec<Found>> {
        self.found(from, i64::try_from(PAGE)?).await
    }

    async fn found(&mut self, from: i64, most: i64) -> anyhow::Result<Vec<Found>> {
        let query = match &self.connection {
            Server::Postgres(_) => postgres::rows(&self.table, self.numbers),
            Server::Mysql(_) => mysql::rows(&self.table, self.numbers),
        };
        let query = sql_query(query).bind::<BigInt, _>(from).bind::<BigInt, _>(most);
        ask!(self, query, load)
    }

    async fn rest(&mut self, after: &[u8]) -> anyhow::Result<Vec<Row>> {
        let query = match &self.connection {
            Server::Postgres(_) => postgres::rest(&self.table),
            Server::Mysql(_) => mysql::rest(&self.table, after),
        };
        let found: Vec<Unkeyed> = ask!(self, sql_query(query), load)?;
        self.position.pass_rest(&found, PAGE);
        found
            .into_iter()
            .map(|rows| Ok(Row::without_id(String::from_utf8(rows.name)?, rows.count.try_into()?)))
            .collect()
    }
}

fn absent(typed: &str) -> String {
    format!(
        "the source has no table {typed} that the user may see: name it with --table, in another schema as SCHEMA.TABLE"
    )
}

/// Waits for an answer of the server, and not for ever.
pub(super) async fn timely<T>(server: &str, answer: impl Future<Output = T>) -> anyhow::Result<T> {
    target::timely(&format!("the source, {server},"), answer).await
}

fn refused(error: &Error, server: &str) -> anyhow::Error {
    let text = error.to_string();
    let is_denied = text.contains("denied");
    anyhow!("{text}{}", if is_denied { ": grant the user SELECT on it" } else { "" }).context(unread(server))
}

fn unread(server: &str) -> String {
    format!("the source cannot be read: {server} failed")
}
