//! The predecessor's table on a server.

use anyhow::{Context, bail};
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl};

use crate::import::row::Row;
use crate::import::source::PAGE;

/// A table in PostgreSQL or in MySQL.
pub(super) struct SqlTable {
    connection: Server,
    table: String,
    after: i64,
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

#[derive(QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) client: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub(super) credits: Option<f64>,
}

impl SqlTable {
    pub(super) async fn postgres(url: &str, table: &str) -> anyhow::Result<Self> {
        // The driver's words name the host, never the password.
        let connection = AsyncPgConnection::establish(url).await.context("the source cannot be connected to")?;
        Self::open(Server::Postgres(Box::new(connection)), quoted(table, '"')?, table).await
    }

    pub(super) async fn mysql(url: &str, table: &str) -> anyhow::Result<Self> {
        let connection = AsyncMysqlConnection::establish(url).await.context("the source cannot be connected to")?;
        Self::open(Server::Mysql(Box::new(connection)), quoted(table, '`')?, table).await
    }

    async fn open(connection: Server, table: String, name: &str) -> anyhow::Result<Self> {
        let mut source = Self { connection, table, after: i64::MIN };
        let read = source.rows(1).await;
        read.with_context(|| format!("the source has no table {name} with id, client_id, timestamp and credits"))?;
        Ok(source)
    }

    pub(super) async fn count(&mut self) -> anyhow::Result<u64> {
        let query = sql_query(format!("SELECT COUNT(*) AS count FROM {}", self.table));
        let found: Count = match &mut self.connection {
            Server::Postgres(connection) => query.get_result(&mut **connection).await,
            Server::Mysql(connection) => query.get_result(&mut **connection).await,
        }
        .context("the source cannot be read")?;
        Ok(u64::try_from(found.count)?)
    }

    pub(super) async fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        let found = self.rows(PAGE).await.context("the source cannot be read")?;
        if let Some(last) = found.last() {
            self.after = last.id;
        }
        Ok(found.into_iter().map(Found::into_row).collect())
    }

    /// Columns are read as the widest type of their kind: a FLOAT of MySQL is shown with six digits, but added to it has all.
    async fn rows(&mut self, limit: usize) -> anyhow::Result<Vec<Found>> {
        let (table, limit) = (&self.table, i64::try_from(limit)?);
        match &mut self.connection {
            Server::Postgres(connection) => {
                let query = format!(
                    "SELECT id::bigint AS id, client_id::text AS client, timestamp::bigint AS seconds, \
                     credits::double precision AS credits FROM {table} WHERE id > $1 ORDER BY id LIMIT $2"
                );
                let query = sql_query(query).bind::<BigInt, _>(self.after).bind::<BigInt, _>(limit);
                Ok(query.load(&mut **connection).await?)
            }
            Server::Mysql(connection) => {
                let query = format!(
                    "SELECT CAST(id AS SIGNED) AS id, CAST(client_id AS CHAR) AS client, \
                     CAST(timestamp AS SIGNED) AS seconds, credits + 0e0 AS credits \
                     FROM {table} WHERE id > ? ORDER BY id LIMIT ?"
                );
                let query = sql_query(query).bind::<BigInt, _>(self.after).bind::<BigInt, _>(limit);
                Ok(query.load(&mut **connection).await?)
            }
        }
    }
}

impl Found {
    pub(super) fn into_row(self) -> Row {
        let at = self.seconds.map(|seconds| seconds.saturating_mul(1_000));
        Row { key: self.id.to_string(), client: self.client, at, credits: self.credits }
    }
}

/// A table's name, perhaps with its schema's before it, as an identifier.
pub(super) fn quoted(name: &str, quote: char) -> anyhow::Result<String> {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        bail!("{name:?} is no table's name");
    }
    let (one, two) = (String::from(quote), String::from_iter([quote, quote]));
    let parts: Vec<String> =
        name.split('.').map(|part| format!("{quote}{}{quote}", part.replace(&one, &two))).collect();
    Ok(parts.join("."))
}
