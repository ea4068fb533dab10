//! Connections, and the tables made and checked.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::result::Error;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, ConnectionError, OptionalExtension, QueryResult, RunQueryDsl};

use crate::migrations::{Migration, OBJECTS, SCHEMA, SQLITE, newest};
use crate::open_error::OpenError;
use crate::prefix::TablePrefix;
use crate::sqlite::builder::{SqliteBuilder, Synchronous};
use crate::sqlite::fault::Fault;
use crate::sqlite::location::Location;
use crate::statement::{Bind, Sql};

/// Pages of the log after which a commit copies them into the file: 64 MiB. Rarer than SQLite's own 1,000, since a
/// batch of many clients touches some hundred pages, mostly the same ones again.
const CHECKPOINT_PAGES: u32 = 16_384;

/// KiB that the writer's connection may keep of the file.
const WRITER_CACHE: u32 = 32_768;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Writing,
    Reading,
}

/// Opens the connection that writes: makes the file and its tables.
pub(crate) fn open_writer(builder: &SqliteBuilder, location: &Location) -> Result<SqliteConnection, OpenError> {
    let path = location.path();
    let mut connection = connect(&location.create_uri(), path)?;
    let fail = |error| Fault::into_open_error(path, error);
    set_busy_timeout(&mut connection, builder).map_err(fail)?;
    // Reads the header: what is no database is told here, before anything is written.
    value::<BigInt, i64>(&mut connection, "PRAGMA schema_version", &[]).map_err(fail)?;
    refuse_utf16(&mut connection, path)?;
    // Before the switch to the log, which stays: a file that is not for this store is left as it is.
    // In one transaction, so that it is not read while another start-up makes the tables.
    connection.batch_execute("BEGIN").map_err(fail)?;
    let version = known_version(&mut connection, &builder.prefix, path);
    connection.batch_execute("COMMIT").map_err(fail)?;
    version?;
    use_log(&mut connection, builder).map_err(fail)?;
    settings(&mut connection, builder, Use::Writing).map_err(fail)?;
    migrate(&mut connection, &builder.prefix, path)?;
    Ok(connection)
}

/// Opens a connection that reads a file whose tables are there.
pub(crate) fn open_reader(builder: &SqliteBuilder, location: &Location) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(&location.existing_uri(), location.path())?;
    let set =
        set_busy_timeout(&mut connection, builder).and_then(|()| settings(&mut connection, builder, Use::Reading));
    set.map_err(|error| Fault::into_open_error(location.path(), error))?;
    Ok(connection)
}

fn connect(uri: &str, path: &Path) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::establish(uri).map_err(|error| match error {
        ConnectionError::CouldntSetupConfiguration(error) => Fault::into_open_error(path, error),
        other => Fault::cannot_open(path, other.to_string()),
    })
}

fn set_busy_timeout(connection: &mut SqliteConnection, builder: &SqliteBuilder) -> QueryResult<()> {
    // SQLite counts in a signed 32-bit number of milliseconds.
    let millis = builder.busy_timeout.as_millis().min(2_147_483_647);
    connection.batch_execute(&format!("PRAGMA busy_timeout = {millis}"))
}

fn settings(connection: &mut SqliteConnection, builder: &SqliteBuilder, purpose: Use) -> QueryResult<()> {
    let synchronous = match builder.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.batch_execute(&format!("PRAGMA synchronous = {synchronous}"))?;
    if builder.synchronous == Synchronous::Full {
        // Elsewhere than on macOS a flush reaches the disk without them.
        connection.batch_execute("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON")?;
    }
    connection.batch_execute(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"))?;
    if let (Use::Writing, Some(pages)) = (purpose, builder.max_pages) {
        connection.batch_execute(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    match purpose {
        Use::Writing => connection.batch_execute(&format!("PRAGMA cache_size = -{WRITER_CACHE}")),
        Use::Reading => connection.batch_execute("PRAGMA query_only = ON"),
    }
}

/// Switches to the write-ahead log. The switch needs the file for itself and does not wait for it as other
/// statements do, so start-ups at the same time have to try again.
fn use_log(connection: &mut SqliteConnection, builder: &SqliteBuilder) -> QueryResult<()> {
    let began = Instant::now();
    loop {
        match value::<Text, String>(connection, "PRAGMA journal_mode = WAL", &[]) {
            Ok(mode) if mode.as_deref() == Some("wal") => return Ok(()),
            Ok(mode) => {
                let message = format!("the file keeps the journal mode {}", mode.unwrap_or_default());
                return Err(Error::QueryBuilderError(message.into()));
            }
            Err(error) if Fault::of(&error) != Fault::Locked || began.elapsed() >= builder.busy_timeout => {
                return Err(error);
            }
            Err(_) => sleep(Duration::from_millis(5)),
        }
    }
}

/// The order of texts is the order of their bytes in UTF-8 only if the file keeps UTF-8.
fn refuse_utf16(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let encoding = value::<Text, String>(connection, "PRAGMA encoding", &[]);
    match encoding.map_err(|error| Fault::into_open_error(path, error))?.as_deref() {
        Some("UTF-8") => Ok(()),
        other => {
            let texts = other.unwrap_or("of no encoding");
            let message = format!("its texts are {texts}, this store needs UTF-8: name another file");
            Err(OpenError::Io { path: path.to_owned(), message })
        }
    }
}

/// Makes or upgrades the tables in one transaction that keeps every other start-up out.
fn migrate(connection: &mut SqliteConnection, prefix: &TablePrefix, path: &Path) -> Result<(), OpenError> {
    let fail = |error| Fault::into_open_error(path, error);
    connection.batch_execute("BEGIN IMMEDIATE").map_err(fail)?;
    let migrated = migrate_inside(connection, prefix, path);
    let ended = connection.batch_execute(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" });
    migrated.and(ended.map_err(fail))
}

/// The schema's version, unless the tables are another's or those of a newer crate.
fn known_version(connection: &mut SqliteConnection, prefix: &TablePrefix, path: &Path) -> Result<i64, OpenError> {
    let (version, known) = (version(connection, prefix, path)?, newest(SQLITE));
    if version > known {
        let (found, known) = (version.unsigned_abs(), known.unsigned_abs());
        return Err(OpenError::UpgradeNeeded { path: path.to_owned(), found, known });
    }
    Ok(version)
}

fn migrate_inside(connection: &mut SqliteConnection, prefix: &TablePrefix, path: &Path) -> Result<(), OpenError> {
    let fail = |error| Fault::into_open_error(path, error);
    let version = known_version(connection, prefix, path)?;
    for migration in SQLITE.iter().filter(|migration| migration.version > version) {
        run(connection, prefix, migration).map_err(fail)?;
    }
    for object in OBJECTS.map(|name| prefix.fill(name)) {
        if !exists(connection, &object).map_err(fail)? {
            return Err(OpenError::Incomplete { path: path.to_owned(), table: object });
        }
    }
    // SQLite begins a transaction on a file that it may not write as one that reads, and says nothing: ask for the
    // lock by a statement that needs it.
    connection.batch_execute(&prefix.fill(&format!("DELETE FROM {SCHEMA} WHERE FALSE"))).map_err(fail)
}

/// The schema's version; 0 where there are no tables of ours.
fn version(connection: &mut SqliteConnection, prefix: &TablePrefix, path: &Path) -> Result<i64, OpenError> {
    let fail = |error| Fault::into_open_error(path, error);
    let foreign = |object: String| OpenError::Foreign { path: path.to_owned(), object };
    let schema = prefix.fill(SCHEMA);
    if !exists(connection, &schema).map_err(fail)? {
        for object in OBJECTS.map(|name| prefix.fill(name)) {
            if exists(connection, &object).map_err(fail)? {
                return Err(foreign(object));
            }
        }
        return Ok(0);
    }
    let columns = "SELECT COUNT(*) FROM pragma_table_info(?) WHERE name IN ('version', 'applied_at')";
    let columns = value::<BigInt, i64>(connection, columns, &[schema.as_str().into()]).map_err(fail)?;
    if columns != Some(2) {
        return Err(foreign(schema));
    }
    let newest = format!("SELECT MAX(version) FROM {schema}");
    // Our own table has a row from the transaction that made it.
    let version = value::<Nullable<BigInt>, Option<i64>>(connection, &newest, &[]).map_err(fail)?.flatten();
    version.filter(|version| *version > 0).ok_or_else(|| foreign(schema))
}

fn run(connection: &mut SqliteConnection, prefix: &TablePrefix, migration: &Migration) -> QueryResult<()> {
    for statement in migration.statements {
        connection.batch_execute(&prefix.fill(statement))?;
    }
    let note = "INSERT INTO {p}schema (version, applied_at) VALUES (?, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    Sql::new(&prefix.fill(note)).with::<()>(&[migration.version.into()]).execute(connection)?;
    Ok(())
}

/// Whether there is a table, view, index or trigger of this name. SQLite tells names apart without case.
fn exists(connection: &mut SqliteConnection, name: &str) -> QueryResult<bool> {
    let count = "SELECT COUNT(*) FROM sqlite_schema WHERE lower(name) = ?";
    Ok(value::<BigInt, i64>(connection, count, &[name.into()])? != Some(0))
}

/// The first column of the first row.
fn value<ST, T>(connection: &mut SqliteConnection, text: &str, binds: &[Bind<'_>]) -> QueryResult<Option<T>>
where
    T: diesel::deserialize::FromSqlRow<ST, diesel::sqlite::Sqlite> + 'static,
    ST: diesel::query_builder::QueryId + diesel::sql_types::SingleValue + 'static,
    diesel::sqlite::Sqlite: diesel::sql_types::HasSqlType<ST> + diesel::backend::Backend,
    for<'a> crate::statement::Statement<'a, ST>: diesel::query_dsl::methods::LoadQuery<'a, SqliteConnection, T>,
{
    Sql::new(text).with::<ST>(binds).get_result(connection).optional()
}
