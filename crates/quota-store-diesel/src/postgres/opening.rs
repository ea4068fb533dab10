//! The server checked, and the tables made.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::connect_error::ConnectError;
use crate::migrations::{Migration, OBJECTS, POSTGRES, SCHEMA, newest};
use crate::postgres::engine::Postgres;
use crate::postgres::link::PostgresLink;
use crate::server::{Found, check};
use crate::statement::{Bind, Sql};

/// The oldest version that has what connections are told: `plan_cache_mode`.
const OLDEST: i64 = 120_000;

/// How long another start-up that makes the tables is waited for.
const PATIENCE: &str = "SET lock_timeout = '60s'; SET statement_timeout = '60s'";

/// Checks the server, makes or upgrades the tables.
pub(super) async fn prepare(engine: &Postgres, link: &mut PostgresLink) -> Result<(), ConnectError> {
    let connection = &mut link.connection;
    check_server(engine, connection).await?;
    let known = newest(POSTGRES);
    if find(engine, connection).await? < known {
        make(engine, connection).await?;
    }
    check_rights(engine, connection).await
}

async fn check_server(engine: &Postgres, connection: &mut AsyncPgConnection) -> Result<(), ConnectError> {
    let server = engine.server.clone();
    let text = "SELECT CAST(current_setting('server_version_num') AS BIGINT), current_setting('server_version'), \
         pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on', \
         current_setting('server_encoding'), COALESCE(CAST(current_schema() AS TEXT), '')";
    let sql = Sql::new(text);
    let rows: Vec<(i64, String, bool, bool, String, String)> =
        RunQueryDsl::load(sql.with::<(BigInt, Text, Bool, Bool, Text, Text)>(&[]), connection)
            .await
            .map_err(|error| ConnectError::failed(&server, error))?;
    let Some((number, version, is_replica, reads_only, encoding, schema)) = rows.into_iter().next() else {
        return Err(ConnectError::failed(&server, Error::NotFound));
    };
    if number < OLDEST {
        return Err(ConnectError::TooOld { server, found: format!("PostgreSQL {version}"), needed: "PostgreSQL 12" });
    }
    if is_replica {
        return Err(ConnectError::ReadOnly { server, reason: "it is in recovery, a replica".to_owned() });
    }
    if reads_only {
        return Err(ConnectError::ReadOnly { server, reason: "default_transaction_read_only is on".to_owned() });
    }
    if encoding != "UTF8" {
        let message = format!("the database's encoding is {encoding}: create one with the encoding UTF8");
        return Err(ConnectError::Unsuited { server, message });
    }
    if schema.is_empty() {
        let message = "no schema of its search_path exists or may be used: create one, or set search_path".to_owned();
        return Err(ConnectError::MissingRight { server, message });
    }
    Ok(())
}

/// The schema's version, 0 if there is none.
async fn find(engine: &Postgres, connection: &mut AsyncPgConnection) -> Result<i64, ConnectError> {
    let (server, prefix) = (&engine.server, &engine.settings.prefix);
    let failed = |error: Error| ConnectError::failed(server, error);
    let begins = format!("{}%", prefix.as_str().replace('_', "\\_"));
    let objects = "SELECT CAST(c.relname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND c.relname LIKE ?";
    let mut objects = words(connection, objects, &[begins.as_str().into()]).await.map_err(failed)?;
    let schema = prefix.fill(SCHEMA);
    objects.retain(|object| *object == schema || OBJECTS.iter().any(|name| prefix.fill(name) == *object));
    let mut found = Found { is_ours: false, version: None, objects };
    if found.objects.contains(&schema) {
        let columns = "SELECT CAST(a.attname AS TEXT) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relname = ? \
             AND a.attname IN ('version', 'applied_at') AND a.atttypid = CAST('int8' AS regtype)";
        found.is_ours = words(connection, columns, &[schema.as_str().into()]).await.map_err(failed)?.len() == 2;
        if found.is_ours {
            let newest = format!("SELECT version FROM {schema} ORDER BY version DESC LIMIT 1");
            let numbers: Result<Vec<i64>, Error> =
                RunQueryDsl::load(Sql::new(&newest).with::<BigInt>(&[]), connection).await;
            let numbers = numbers.map_err(|error| not_allowed(server, error))?;
            found.version = numbers.into_iter().next();
        }
    }
    check(server, prefix, &found, newest(POSTGRES))
}

/// Makes or upgrades the tables in one transaction; other start-ups wait for it, and find them made.
async fn make(engine: &Postgres, connection: &mut AsyncPgConnection) -> Result<(), ConnectError> {
    let (server, prefix) = (&engine.server, &engine.settings.prefix);
    let fail = |error: Error| not_allowed(server, error);
    connection.batch_execute(&format!("{PATIENCE}; BEGIN")).await.map_err(fail)?;
    // It ends with the transaction. The database's own, so databases on one server do not wait for each other.
    let lock = format!("SELECT pg_advisory_xact_lock(hashtext('quota {prefix}'), hashtext(current_schema()))");
    connection.batch_execute(&lock).await.map_err(fail)?;
    let version = find(engine, connection).await?;
    for migration in POSTGRES.iter().filter(|migration| migration.version > version) {
        run(engine, connection, migration).await.map_err(fail)?;
    }
    connection.batch_execute("COMMIT").await.map_err(fail)?;
    let (newest, known) = (find(engine, connection).await?, newest(POSTGRES));
    if newest < known {
        let message = "its tables were made and are not there: is search_path another for each connection?".to_owned();
        return Err(ConnectError::Unsuited { server: server.clone(), message });
    }
    Ok(())
}

async fn run(engine: &Postgres, connection: &mut AsyncPgConnection, migration: &Migration) -> Result<(), Error> {
    let prefix = &engine.settings.prefix;
    for statement in migration.statements {
        connection.batch_execute(&prefix.fill(statement)).await?;
    }
    let note = "INSERT INTO {p}schema (version, applied_at) \
         VALUES (?, CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT))";
    let note = Sql::new(&prefix.fill(note));
    RunQueryDsl::execute(note.with::<()>(&[migration.version.into()]), connection).await.map(|_| ())
}

/// Tables of ours that the user may not read or write.
async fn check_rights(engine: &Postgres, connection: &mut AsyncPgConnection) -> Result<(), ConnectError> {
    let server = &engine.server;
    let text = "SELECT t.name || ': ' || r.name FROM (VALUES ('{p}accounts'), ('{p}entries'), ('{p}quarters'), \
         ('{p}plans')) AS t (name), (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS r (name) \
         WHERE NOT has_table_privilege(quote_ident(current_schema()) || '.' || t.name, r.name)";
    let lacking = words(connection, &engine.settings.prefix.fill(text), &[]).await;
    let lacking = lacking.map_err(|error| ConnectError::failed(server, error))?;
    if lacking.is_empty() {
        return Ok(());
    }
    Err(ConnectError::MissingRight { server: server.clone(), message: lacking.join(", ") })
}

async fn words(connection: &mut AsyncPgConnection, text: &str, binds: &[Bind<'_>]) -> Result<Vec<String>, Error> {
    RunQueryDsl::load(Sql::new(text).with::<Text>(binds), connection).await
}

/// An error of making tables: mostly a right that lacks.
fn not_allowed(server: &str, error: Error) -> ConnectError {
    match &error {
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, info) => {
            ConnectError::ReadOnly { server: server.to_owned(), reason: info.message().to_owned() }
        }
        // Who may change tables of an older version is who owns them.
        Error::DatabaseError(DatabaseErrorKind::Unknown, info)
            if ["permission denied", "must be owner"].iter().any(|words| info.message().starts_with(words)) =>
        {
            let message = format!("{}: grant it, or make the tables as a user who may", info.message());
            ConnectError::MissingRight { server: server.to_owned(), message }
        }
        _ => ConnectError::failed(server, error),
    }
}
