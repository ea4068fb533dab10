//! The predecessor's table in MySQL or MariaDB.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::import::columns::{Column, Kinds, Numbers};
use crate::import::source::PAGE;
use crate::import::table_name::{TableName, meanings};

pub(super) const KINDS: Kinds = Kinds {
    whole: &["tinyint", "smallint", "mediumint", "int", "bigint"],
    decimal: &["decimal"],
    double: &["float", "double"],
    text: &["char", "varchar", "tinytext", "text", "mediumtext", "longtext"],
};

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
    /// The database that the URL names.
    #[diesel(sql_type = Text)]
    usual: String,
    #[diesel(sql_type = BigInt)]
    folds_case: i64,
}

/// The table that a name stands for, in the URL's database where it names no other.
pub(super) async fn find(
    connection: &mut AsyncMysqlConnection,
    typed: &str,
) -> anyhow::Result<Option<(TableName, Vec<Column>)>> {
    for (schema, table) in meanings(typed)? {
        let query = "SELECT CONVERT(table_schema USING utf8mb4) AS `schema`, CONVERT(table_name USING utf8mb4) AS name, \
             DATABASE() AS `usual`, CAST(@@lower_case_table_names AS SIGNED) AS folds_case \
             FROM information_schema.tables WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?";
        let query = sql_query(query).bind::<Nullable<Text>, _>(schema).bind::<Text, _>(table);
        let known: Vec<Known> = query.load(connection).await?;
        // The catalogue may compare without case where tables are told apart by it.
        let is_meant = |known: &Known| {
            let is_same = known.name == table && schema.is_none_or(|schema| known.schema == schema);
            is_same || known.folds_case != 0
        };
        if let Some(known) = known.into_iter().find(is_meant) {
            let columns = columns(connection, &known).await?;
            return Ok(Some((TableName::new(&known.schema, &known.name, '`', &known.usual), columns)));
        }
    }
    Ok(None)
}

async fn columns(connection: &mut AsyncMysqlConnection, table: &Known) -> anyhow::Result<Vec<Column>> {
    let query = "SELECT CONVERT(column_name USING utf8mb4) AS name, CONVERT(data_type USING utf8mb4) AS kind \
         FROM information_schema.columns WHERE table_schema = ? AND table_name = ?";
    let query = sql_query(query).bind::<Text, _>(&table.schema).bind::<Text, _>(&table.name);
    Ok(query.load(connection).await?)
}

/// Rows from an id on. A fraction of a second is none; a FLOAT is shown with six digits, but added to it has all.
pub(super) fn rows(table: &TableName, numbers: Numbers) -> String {
    let seconds = if numbers.whole_seconds {
        "CAST(t.`timestamp` AS SIGNED)"
    } else {
        "CASE WHEN t.`timestamp` = TRUNCATE(t.`timestamp`, 0) AND ABS(t.`timestamp`) < 9e18 \
         THEN CAST(t.`timestamp` AS SIGNED) END"
    };
    let (credits, exact) = if numbers.decimal_credits { ("NULL", "t.credits") } else { ("t.credits", "NULL") };
    format!(
        "SELECT CAST(t.id AS SIGNED) AS id, CAST(CONVERT(t.client_id USING utf8mb4) AS BINARY) AS client, \
         {seconds} AS seconds, {credits} + 0e0 AS credits, CAST({exact} AS CHAR) AS exact \
         FROM {} t WHERE t.id >= ? AND t.id <= 9223372036854775807 ORDER BY t.id LIMIT ?",
        table.quoted
    )
}

/// How many rows have no id, and then how many have which that is greater than ids are: those behind the one that was read last, a
/// page of them.
pub(super) fn rest(table: &TableName, after: &[u8]) -> String {
    let after: Option<u64> = str::from_utf8(after).ok().and_then(|id| id.parse().ok());
    let rows = match after {
        Some(after) => format!("t.id > {after}"),
        None => "t.id IS NULL OR t.id > 9223372036854775807".to_owned(),
    };
    format!(
        "SELECT CAST(COALESCE(CAST(t.id AS CHAR), 'NULL') AS BINARY) AS name, COUNT(*) AS count FROM {} t WHERE {rows} \
         GROUP BY t.id ORDER BY t.id LIMIT {PAGE}",
        table.quoted
    )
}
