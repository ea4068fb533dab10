//! The server checked, and the tables made.

use diesel::result::Error;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::connect_error::ConnectError;
use crate::migrations::{MYSQL, OBJECTS, SCHEMA, newest};
use crate::mysql::engine::Mysql;
use crate::mysql::link::MysqlLink;
use crate::mysql::texts::is_on;
use crate::server::{Engine, Fault, Found, check};
use crate::statement::{Bind, Sql};

/// Names a lock that start-ups of one prefix in one database share; names of locks are short.
const LOCK: &str = "CONCAT('quota ', MD5(CONCAT(DATABASE(), ' ', ?)))";

/// How long another start-up that makes the tables is waited for, and each statement of making them: MariaDB takes the time of
/// all, MySQL of readings, and to wait for a lock is one. What changes a table waits for whoever reads it, and everybody else
/// behind it, for a year if it is not told otherwise.
const PATIENCE: &str = "SET SESSION wait_timeout = 120, SESSION lock_wait_timeout = 60 \
    /*M!, SESSION max_statement_time = 120 */ /*!80000 , SESSION max_execution_time = 0 */";

/// The shortest text that a server must take, as MariaDB does by default: what a batch writes comes in texts of some 2 MiB, and
/// an account with 10,000 holds in one of its own, of up to 15 MiB where every byte of their ids is escaped.
const LEAST_PACKET: i64 = 16 << 20;

/// Checks the server, makes or upgrades the tables.
pub(super) async fn prepare(engine: &Mysql, link: &mut MysqlLink) -> Result<(), ConnectError> {
    let connection = &mut link.connection;
    check_server(engine, connection).await?;
    if find(engine, connection).await? < newest(MYSQL) {
        make(engine, connection).await?;
    }
    check_rights(engine, connection).await
}

async fn check_server(engine: &Mysql, connection: &mut AsyncMysqlConnection) -> Result<(), ConnectError> {
    let server = engine.server.clone();
    let is_read_only = is_on("@@global.read_only");
    let text = format!("SELECT VERSION(), {is_read_only}, CAST(@@session.max_allowed_packet AS SIGNED)");
    let sql = Sql::new(&text);
    let rows: Result<Vec<(String, i64, i64)>, Error> =
        RunQueryDsl::load(sql.with::<(Text, BigInt, BigInt)>(&[]), connection).await;
    let Some((version, read_only, packet)) =
        rows.map_err(|error| ConnectError::failed(&server, error))?.into_iter().next()
    else {
        return Err(ConnectError::failed(&server, Error::NotFound));
    };
    let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
    let oldest = if is_mariadb { (10, 6, 0) } else { (8, 0, 16) };
    if numbers(&version) < oldest {
        let found = if is_mariadb { version } else { format!("MySQL {version}") };
        return Err(ConnectError::TooOld { server, found, needed: "MySQL 8.0.16 or MariaDB 10.6" });
    }
    if packet < LEAST_PACKET {
        let message = format!("its max_allowed_packet is {packet}: set it to {LEAST_PACKET} at least");
        return Err(ConnectError::Unsuited { server, message });
    }
    if read_only != 0 {
        return Err(ConnectError::ReadOnly { server, reason: "read_only is on".to_owned() });
    }
    Ok(())
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> (u32, u32, u32) {
    // MariaDB before 11 says 5.5.5- first where it speaks to old replicas.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = version.split(|character: char| !character.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The schema's version, 0 if there is none.
async fn find(engine: &Mysql, connection: &mut AsyncMysqlConnection) -> Result<i64, ConnectError> {
    let (server, prefix) = (&engine.server, &engine.settings.prefix);
    let failed = |error: Error| ConnectError::failed(server, error);
    let schema = prefix.fill(SCHEMA);
    let names = OBJECTS.iter().chain(&[SCHEMA]).map(|name| prefix.fill(name)).collect::<Vec<_>>();
    let places = vec!["?"; names.len()].join(", ");
    let objects = format!(
        "SELECT CONVERT(table_name USING utf8mb4) FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name IN ({places}) \
         UNION SELECT CONVERT(index_name USING utf8mb4) FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND index_name IN ({places})"
    );
    let binds: Vec<Bind<'_>> = names.iter().chain(&names).map(|name| name.as_str().into()).collect();
    let present = words(connection, &objects, &binds).await.map_err(failed)?;
    let mut found = Found { is_ours: false, version: None, objects: present };
    if found.objects.contains(&schema) {
        let columns = "SELECT CONVERT(column_name USING utf8mb4) FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = ? AND column_name IN ('version', 'applied_at') \
             AND data_type = 'bigint'";
        found.is_ours = words(connection, columns, &[schema.as_str().into()]).await.map_err(failed)?.len() == 2;
        if found.is_ours {
            let newest = Sql::new(&format!("SELECT MAX(version) FROM {schema}"));
            let numbers: Result<Vec<Option<i64>>, Error> =
                RunQueryDsl::load(newest.with::<Nullable<BigInt>>(&[]), connection).await;
            let numbers = numbers.map_err(|error| not_allowed(server, error))?;
            found.version = numbers.into_iter().next().flatten();
            if found.version.is_some() {
                // Another start-up may have made the rest before it noted the version, and after they were looked for.
                found.objects = words(connection, &objects, &binds).await.map_err(failed)?;
            }
        }
    }
    // What was read is not to be what is read after another start-up has made the tables.
    connection.batch_execute("ROLLBACK").await.map_err(failed)?;
    check(server, prefix, &found, newest(MYSQL))
}

/// Makes or upgrades the tables; other start-ups wait for it, and find them made. MySQL commits after each statement,
/// so the version is noted last: one that was killed in between is gone on with.
async fn make(engine: &Mysql, connection: &mut AsyncMysqlConnection) -> Result<(), ConnectError> {
    let (server, prefix) = (&engine.server, &engine.settings.prefix);
    connection.batch_execute(PATIENCE).await.map_err(|error| ConnectError::failed(server, error))?;
    let lock = Sql::new(&format!("SELECT CAST(COALESCE(GET_LOCK({LOCK}, 60), 0) AS SIGNED)"));
    let locked: Result<Vec<i64>, Error> =
        RunQueryDsl::load(lock.with::<BigInt>(&[prefix.as_str().into()]), connection).await;
    if locked.map_err(|error| ConnectError::failed(server, error))? != [1] {
        let message = "another start-up has been making the tables for a minute".to_owned();
        return Err(ConnectError::Unsuited { server: server.clone(), message });
    }
    let made = make_locked(engine, connection).await;
    let unlock = Sql::new(&format!("DO RELEASE_LOCK({LOCK})"));
    let unlocked = RunQueryDsl::execute(unlock.with::<()>(&[prefix.as_str().into()]), connection).await;
    made.and(unlocked.map(|_| ()).map_err(|error| ConnectError::failed(server, error)))
}

async fn make_locked(engine: &Mysql, connection: &mut AsyncMysqlConnection) -> Result<(), ConnectError> {
    let (server, prefix) = (&engine.server, &engine.settings.prefix);
    let version = find(engine, connection).await?;
    for migration in MYSQL.iter().filter(|migration| migration.version > version) {
        for statement in migration.statements {
            let done = connection.batch_execute(&prefix.fill(statement)).await;
            done.map_err(|error| not_allowed(server, error))?;
        }
        let note = prefix.fill(
            "INSERT INTO {p}schema (version, applied_at) VALUES (?, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED))",
        );
        let note = Sql::new(&note);
        let noted = RunQueryDsl::execute(note.with::<()>(&[migration.version.into()]), connection).await;
        noted.map_err(|error| not_allowed(server, error))?;
        connection.batch_execute("COMMIT").await.map_err(|error| not_allowed(server, error))?;
    }
    find(engine, connection).await.map(|_| ())
}

/// Whether the user may read and write the tables, which statements on no rows tell.
async fn check_rights(engine: &Mysql, connection: &mut AsyncMysqlConnection) -> Result<(), ConnectError> {
    let text = "SELECT client FROM {t} WHERE FALSE; UPDATE {t} SET client = client WHERE FALSE; \
         DELETE FROM {t} WHERE FALSE; INSERT INTO {t} SELECT * FROM {t} WHERE FALSE";
    let texts = ["{p}accounts", "{p}entries", "{p}quarters", "{p}plans"].map(|table| text.replace("{t}", table));
    let text = engine.settings.prefix.fill(&format!("{}; ROLLBACK", texts.join("; ")));
    connection.batch_execute(&text).await.map_err(|error| not_allowed(&engine.server, error))
}

async fn words(connection: &mut AsyncMysqlConnection, text: &str, binds: &[Bind<'_>]) -> Result<Vec<String>, Error> {
    RunQueryDsl::load(Sql::new(text).with::<Text>(binds), connection).await
}

/// An error of making or using tables: mostly a right that lacks.
fn not_allowed(server: &str, error: Error) -> ConnectError {
    let server = server.to_owned();
    match &error {
        Error::DatabaseError(_, info) if Mysql::fault(&error) == Fault::ReadOnly => {
            ConnectError::ReadOnly { server, reason: info.message().to_owned() }
        }
        Error::DatabaseError(_, info) if info.message().contains("denied to user") => {
            let message = format!("{}: grant it, or make the tables as a user who may", info.message());
            ConnectError::MissingRight { server, message }
        }
        _ => ConnectError::failed(&server, error),
    }
}

#[cfg(test)]
mod tests {
    use quota_servers::Server;

    use super::*;
    use crate::prefix::TablePrefix;
    use crate::server::{Link, Settings};

    /// On whichever there is: both have what both are told.
    #[tokio::test]
    async fn who_makes_tables_waits_a_minute_for_those_who_read_them() {
        let Some(url) = quota_servers::url(Server::Mysql) else { return };
        let engine = Mysql::new(&url, &Settings::new(TablePrefix::default())).unwrap();
        let mut link = engine.connect().await.unwrap();
        link.connection.batch_execute(PATIENCE).await.unwrap();
        let text = "SELECT CONVERT(CONCAT(@@session.lock_wait_timeout, ' ', @@session.wait_timeout) USING utf8mb4)";
        assert_eq!(link.words(&Sql::new(text), &[]).await.unwrap(), ["60 120"]);
    }

    #[tokio::test]
    async fn a_variable_is_read_as_older_and_newer_servers_tell_it() {
        let Some(url) = quota_servers::url(Server::Mysql) else { return };
        let engine = Mysql::new(&url, &Settings::new(TablePrefix::default())).unwrap();
        let mut link = engine.connect().await.unwrap();
        for (told, on) in [("0", 0), ("1", 1), ("'OFF'", 0), ("'ON'", 1), ("'NO_LOCK'", 1), ("'NO_LOCK_NO_ADMIN'", 1)] {
            let text = format!("SELECT {}", is_on(told));
            assert_eq!(link.numbers(&Sql::new(&text), &[]).await.unwrap(), [on], "{told}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("8.0.36-0ubuntu0.22.04.1") >= (8, 0, 16));
        assert!(numbers("5.7.44-log") < (8, 0, 16));
        assert!(numbers("8.0.15") < (8, 0, 16));
        assert_eq!(numbers("5.5.5-10.6.4-MariaDB-log"), (10, 6, 4));
        assert_eq!(numbers("11.8.3-MariaDB-0+deb13u1"), (11, 8, 3));
        assert_eq!(numbers("9.1"), (9, 1, 0));
    }
}
