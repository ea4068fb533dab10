//! The predecessor's table in PostgreSQL.

use diesel::sql_types::Text;
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::import::columns::{Column, Kinds, Numbers};
use crate::import::table_name::{TableName, meanings, quoted};

/// Domains and the like are none of them.
pub(super) const KINDS: Kinds = Kinds {
    whole: &["int2", "int4", "int8"],
    decimal: &["numeric"],
    double: &["float4", "float8"],
    text: &["text", "varchar", "bpchar", "citext"],
};

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// The table that a name stands for, by the connection's search path.
pub(super) async fn find(
    connection: &mut AsyncPgConnection,
    typed: &str,
) -> anyhow::Result<Option<(TableName, Vec<Column>)>> {
    for (schema, table) in meanings(typed)? {
        let identifier = match schema {
            Some(schema) => format!("{}.{}", quoted(schema, '"'), quoted(table, '"')),
            None => quoted(table, '"'),
        };
        let query = "SELECT n.nspname::text AS schema, c.relname::text AS name FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
        let known: Option<Known> =
            sql_query(query).bind::<Text, _>(&identifier).get_result(connection).await.optional()?;
        if let Some(Known { schema, name }) = known {
            let table = TableName::new(&schema, &name, '"', "public");
            let columns = columns(connection, &table).await?;
            return Ok(Some((table, columns)));
        }
    }
    Ok(None)
}

async fn columns(connection: &mut AsyncPgConnection, table: &TableName) -> anyhow::Result<Vec<Column>> {
    let query = "SELECT a.attname::text AS name, t.typname::text AS kind FROM pg_attribute a \
         JOIN pg_type t ON t.oid = a.atttypid \
         WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
    Ok(sql_query(query).bind::<Text, _>(&table.quoted).load(connection).await?)
}

/// What texts are converted to: a database without an encoding has any bytes, which are taken as they are.
const ENCODING: &str = "CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII'::name ELSE 'UTF8'::name END";

/// Rows from an id on. Every value is one that its type has: a fraction of a second is none.
pub(super) fn rows(table: &TableName, numbers: Numbers) -> String {
    let seconds = if numbers.whole_seconds {
        "t.\"timestamp\"::bigint"
    } else {
        "CASE WHEN t.\"timestamp\" = trunc(t.\"timestamp\") AND abs(t.\"timestamp\") < 9e18 THEN t.\"timestamp\"::bigint END"
    };
    let (credits, exact) = if numbers.decimal_credits { ("NULL", "t.credits") } else { ("t.credits", "NULL") };
    format!(
        "SELECT t.id::bigint AS id, convert_to(t.client_id::text, {ENCODING}) AS client, {seconds} AS seconds, \
         {credits}::double precision AS credits, {exact}::text AS exact \
         FROM {} t WHERE t.id >= $1 ORDER BY t.id LIMIT $2",
        table.quoted
    )
}

/// How many rows have no id; one row, or none.
pub(super) fn rest(table: &TableName) -> String {
    let table = &table.quoted;
    format!("SELECT 'NULL'::bytea AS name, COUNT(*) AS count FROM {table} t WHERE t.id IS NULL HAVING COUNT(*) > 0")
}
