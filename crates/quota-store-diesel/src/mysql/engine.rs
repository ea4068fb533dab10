//! Where a server of MySQL is, and connections to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection};
use mysql_async::{Conn, Opts, OptsBuilder, UrlError};

use crate::connect_error::{ConnectError, check_rest, is_of_certificate};
use crate::mysql::link::{MysqlLink, is_lost};
use crate::mysql::opening;
use crate::mysql::texts::MysqlTexts;
use crate::server::{Engine, Fault, Settings, Texts};

/// A server of MySQL or MariaDB.
pub(crate) struct Mysql {
    options: Opts,
    pub(super) server: String,
    pub(super) settings: Settings,
    own: Arc<MysqlTexts>,
    texts: Arc<Texts>,
}

impl fmt::Debug for Mysql {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Engine for Mysql {
    type Link = MysqlLink;

    fn new(url: &str, settings: &Settings) -> Result<Self, ConnectError> {
        let (_, rest) = url.split_once("://").unwrap_or_default();
        check_rest(rest.find(['/', '?', '#']).and_then(|end| rest.get(end..)).unwrap_or_default())?;
        let options = Opts::from_url(url).map_err(invalid)?;
        let Some(database) = options.db_name() else {
            return Err(ConnectError::InvalidUrl { message: "it names no database".to_owned() });
        };
        let server = format!("MySQL at {}:{}/{database}", options.ip_or_hostname(), options.tcp_port());
        let builder = OptsBuilder::from_opts(options.clone())
            .prefer_socket(false)
            .tcp_keepalive(Some(30_000_u32))
            // Diesel has its own.
            .stmt_cache_size(0)
            .client_found_rows(true);
        #[cfg(feature = "tls")]
        let builder = builder.ssl_opts(encryption(&options, settings)?);
        let (own, texts) = MysqlTexts::new(&settings.prefix);
        Ok(Self {
            options: builder.into(),
            server,
            settings: settings.clone(),
            own: Arc::new(own),
            texts: Arc::new(texts),
        })
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn connecting(&self) -> Duration {
        self.settings.connect_timeout
    }

    async fn connect(&self) -> Result<MysqlLink, ConnectError> {
        let opened = tokio::time::timeout(self.settings.connect_timeout, self.open()).await;
        opened.map_err(|late| ConnectError::Unreachable { server: self.server.clone(), source: late.into() })?
    }

    async fn prepare(&self, link: &mut MysqlLink) -> Result<(), ConnectError> {
        opening::prepare(self, link).await
    }

    fn fault(error: &Error) -> Fault {
        match error {
            _ if is_lost(error) => Fault::Lost,
            // Two processes made the same client's account.
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Fault::Conflict,
            Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Fault::ReadOnly,
            // The connection asked for English.
            Error::DatabaseError(_, info) if info.message().contains("read-only") => Fault::ReadOnly,
            Error::DatabaseError(_, info) if is_conflict(info.message()) => Fault::Conflict,
            _ => Fault::Other,
        }
    }
}

impl Mysql {
    async fn open(&self) -> Result<MysqlLink, ConnectError> {
        let connection = Conn::new(self.options.clone()).await.map_err(|error| self.not_connected(error))?;
        let failed = |error: diesel::ConnectionError| ConnectError::failed(&self.server, error);
        let is_mariadb = connection.server_version() >= (10, 0, 0);
        let mut connection = AsyncMysqlConnection::try_from(connection).await.map_err(failed)?;
        for statement in session(&self.settings, is_mariadb) {
            let set = connection.batch_execute(&statement).await;
            set.map_err(|error| ConnectError::failed(&self.server, error))?;
        }
        Ok(MysqlLink { connection, own: Arc::clone(&self.own), texts: Arc::clone(&self.texts) })
    }

    fn not_connected(&self, error: mysql_async::Error) -> ConnectError {
        let server = self.server.clone();
        match error {
            _ if is_of_certificate(&error) => ConnectError::Untrusted { server, source: error.into() },
            mysql_async::Error::Io(_) => ConnectError::Unreachable { server, source: error.into() },
            _ => ConnectError::Refused { server, source: error.into() },
        }
    }
}

/// The settings of every connection. Its words are English, for by them errors are told apart.
fn session(settings: &Settings, is_mariadb: bool) -> Vec<String> {
    let seconds = |timeout: Duration| timeout.as_millis().div_ceil(1_000).clamp(1, 1_000_000);
    let (lock, statement) = (seconds(settings.lock_timeout), settings.statement_timeout);
    let mut set = vec![
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        format!(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
             SESSION time_zone = '+00:00', SESSION lc_messages = 'en_US', SESSION innodb_lock_wait_timeout = {lock}, \
             SESSION autocommit = 0, SESSION unique_checks = 1, SESSION completion_type = 'NO_CHAIN', \
             SESSION sql_select_limit = 18446744073709551615"
        ),
    ];
    // A process that is stopped while it holds accounts is to lose them before others give up waiting, where these wait for more
    // than a second.
    let idle = seconds(settings.lock_timeout / 2);
    if is_mariadb {
        set.push(format!(
            "SET SESSION max_statement_time = {}, SESSION idle_transaction_timeout = {idle}",
            statement.as_secs_f64()
        ));
    } else {
        // MySQL has no such timeout but for every connection: one that was idle in the pool is replaced at its next use.
        set.push(format!(
            "SET SESSION max_execution_time = {}, SESSION wait_timeout = {idle}",
            statement.as_millis().clamp(1, 4_294_967_295)
        ));
    }
    set
}

fn is_conflict(message: &str) -> bool {
    message.starts_with("Deadlock found") || message.starts_with("Record has changed since last read")
}

/// Not the parser's words where they repeat what stands in the URL.
fn invalid(error: UrlError) -> ConnectError {
    match error {
        UrlError::FeatureRequired { .. } => {
            ConnectError::Tls { message: "build with the feature tls of quota-store-diesel".to_owned() }
        }
        UrlError::InvalidParamValue { param, .. } => {
            ConnectError::InvalidUrl { message: format!("its parameter {param} has an invalid value") }
        }
        UrlError::UnknownParameter { param } => {
            ConnectError::InvalidUrl { message: format!("it has an unknown parameter {param}") }
        }
        UrlError::UnsupportedScheme { .. } => {
            ConnectError::InvalidUrl { message: "its scheme is not mysql".to_owned() }
        }
        UrlError::Parse(error) => ConnectError::InvalidUrl { message: error.to_string() },
        UrlError::Invalid | UrlError::InvalidPoolConstraints { .. } => {
            ConnectError::InvalidUrl { message: "it is not mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned() }
        }
    }
}

/// Trusts the authorities that were given, or else the system's.
#[cfg(feature = "tls")]
fn encryption(options: &Opts, settings: &Settings) -> Result<Option<mysql_async::SslOpts>, ConnectError> {
    let Some(wanted) = options.ssl_opts().cloned() else { return Ok(None) };
    // The driver leaves the algorithms to the process, and panics where they are not chosen and more than one is built in.
    // Where they are chosen, this fails and nothing is changed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authorities = quota_trust::authorities(&settings.root_certificates)?;
    let roots = authorities.iter().map(|certificate| certificate.to_vec().into()).collect();
    Ok(Some(wanted.with_root_certs(roots).with_disable_built_in_roots(true)))
}

#[cfg(test)]
mod tests {
    use mysql_async::prelude::Queryable;
    use quota_servers::Server;

    use super::*;
    use crate::prefix::TablePrefix;
    use crate::server::Link;
    use crate::statement::Sql;

    #[tokio::test]
    async fn a_connection_is_set_whatever_the_servers_defaults_are() {
        let Some(server) = quota_servers::private(Server::Mysql) else { return };
        let mut connection = Conn::from_url(server.url()).await.unwrap();
        for default in [
            "GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "GLOBAL sql_mode = ''",
            "GLOBAL time_zone = '+05:45'",
            "GLOBAL innodb_lock_wait_timeout = 50",
            // An id that is used twice, an answer that is cut short, a transaction that is begun by the end of another.
            "GLOBAL unique_checks = 0",
            "GLOBAL sql_select_limit = 1",
            "GLOBAL completion_type = 'CHAIN'",
        ] {
            connection.query_drop(format!("SET {default}")).await.unwrap();
        }
        let engine = Mysql::new(server.url(), &Settings::new(TablePrefix::default())).unwrap();
        let mut link = engine.connect().await.unwrap();
        let strict = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";
        for (variable, value) in [
            // MariaDB's name for it, and MySQL's.
            ("/*M! @@session.tx_isolation */ /*!80000 @@session.transaction_isolation */", "READ-COMMITTED"),
            ("@@session.sql_mode", strict),
            ("@@session.time_zone", "+00:00"),
            ("@@session.autocommit + 0", "0"),
            ("@@session.innodb_lock_wait_timeout", "4"),
            ("@@session.unique_checks + 0", "1"),
            ("@@session.sql_select_limit", "18446744073709551615"),
            ("@@session.completion_type", "NO_CHAIN"),
        ] {
            let text = format!("SELECT CONVERT(CONCAT({variable}) USING utf8mb4)");
            let found = link.words(&Sql::new(&text), &[]).await.unwrap();
            assert_eq!(found, [value], "{variable}");
        }
    }

    /// On whichever there is: both have what MySQL is told.
    #[tokio::test]
    async fn what_a_stopped_process_holds_is_let_go_before_others_give_up() {
        let Some(url) = quota_servers::url(Server::Mysql) else { return };
        let settings = Settings::new(TablePrefix::default());
        let told = session(&settings, false).concat();
        let (_, idle) = told.split_once("SESSION wait_timeout = ").unwrap();
        assert!(session(&settings, true).concat().contains(&format!("idle_transaction_timeout = {idle}")));
        let (mut stopped, mut other) = (Conn::from_url(&url).await.unwrap(), Conn::from_url(&url).await.unwrap());
        let held = format!("quota {:08x}", fastrand::u32(..));
        stopped.query_drop(format!("SET SESSION wait_timeout = {idle}; DO GET_LOCK('{held}', 0)")).await.unwrap();
        let patience = settings.lock_timeout.as_secs();
        let got: Option<i64> = other.query_first(format!("SELECT GET_LOCK('{held}', {patience})")).await.unwrap();
        assert_eq!(got, Some(1));
    }
}
