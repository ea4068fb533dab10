//! Where a server of PostgreSQL is, and connections to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls, Socket};

use crate::connect_error::{ConnectError, check_rest, is_of_certificate};
use crate::postgres::hosts;
use crate::postgres::link::{PostgresLink, is_lost};
use crate::postgres::opening;
use crate::postgres::texts::PostgresTexts;
use crate::server::{Engine, Fault, Settings, Texts};

/// A server of PostgreSQL.
pub(crate) struct Postgres {
    /// One for each host of the URL, in its order.
    hosts: Vec<Config>,
    /// Whether they are tried in any order.
    shuffles: bool,
    pub(super) server: String,
    pub(super) settings: Settings,
    /// What a connection is told first.
    session: String,
    own: Arc<PostgresTexts>,
    texts: Arc<Texts>,
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
}

impl fmt::Debug for Postgres {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Engine for Postgres {
    type Link = PostgresLink;

    fn new(url: &str, settings: &Settings) -> Result<Self, ConnectError> {
        let Some((_, rest)) = url.split_once("://") else {
            return Err(ConnectError::InvalidUrl { message: "it begins with postgres://".to_owned() });
        };
        // The parser's words name options, never their values.
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let mut message = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            if message.contains("`sslmode`") {
                message.push_str(
                    ": it is `disable`, `prefer` or `require`, which verifies as `verify-full` does elsewhere",
                );
            }
            ConnectError::InvalidUrl { message }
        })?;
        // A host's name may have several addresses, of which one that nobody answers at is not to take all of its time.
        config.connect_timeout(settings.connect_timeout / 2).keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("quota");
        }
        if config.get_hosts().len() > 1 && !url.contains("target_session_attrs") {
            // One of them is the primary, whichever it is by now.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if let Some((_, rest)) = rest.split_once('@') {
            check_rest(rest)?;
        }
        let server = address(&config)?;
        let (own, texts) = PostgresTexts::new(&settings.prefix);
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: wants_tls(&config).then(|| connector(&settings.root_certificates)).transpose()?,
            shuffles: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
            hosts: hosts::each(&encryption(config)?)?,
            server,
            session: session(settings),
            settings: settings.clone(),
            own: Arc::new(own),
            texts: Arc::new(texts),
        })
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn connecting(&self) -> Duration {
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        self.settings.connect_timeout.saturating_mul(hosts)
    }

    /// To the first host that answers in time and is what is wanted: the driver bounds how long it waits for a connection, and not
    /// how long for the first answer on it.
    async fn connect(&self) -> Result<PostgresLink, ConnectError> {
        let mut hosts: Vec<&Config> = self.hosts.iter().collect();
        if self.shuffles {
            hosts.sort_by_cached_key(|_| uuid::Uuid::new_v4());
        }
        let mut last = ConnectError::InvalidUrl { message: "it names no host".to_owned() };
        for host in hosts {
            let opened = tokio::time::timeout(self.settings.connect_timeout, self.open(host)).await;
            last = match opened {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(error)) => error,
                Err(late) => ConnectError::Unreachable { server: self.server.clone(), source: late.into() },
            };
        }
        Err(last)
    }

    async fn prepare(&self, link: &mut PostgresLink) -> Result<(), ConnectError> {
        opening::prepare(self, link).await
    }

    fn fault(error: &Error) -> Fault {
        match error {
            _ if is_lost(error) => Fault::Lost,
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Fault::Conflict,
            // Two processes made the same client's account.
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Fault::Conflict,
            Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Fault::ReadOnly,
            _ => Fault::Other,
        }
    }
}

impl Postgres {
    async fn open(&self, host: &Config) -> Result<PostgresLink, ConnectError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return self.open_through(host, tls.clone()).await;
        }
        self.open_through(host, NoTls).await
    }

    async fn open_through<T>(&self, host: &Config, tls: T) -> Result<PostgresLink, ConnectError>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = host.connect(tls).await.map_err(|error| self.not_connected(error))?;
        // What the server says as it ends a connection is the answer to what waits, or there is nobody who waits.
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        let failed = |error: diesel::ConnectionError| ConnectError::failed(&self.server, error);
        let mut connection = AsyncPgConnection::try_from(client).await.map_err(failed)?;
        let set = connection.batch_execute(&self.session).await;
        set.map_err(|error| ConnectError::failed(&self.server, error))?;
        let (own, texts) = (Arc::clone(&self.own), Arc::clone(&self.texts));
        Ok(PostgresLink { connection, driver, own, texts })
    }

    fn not_connected(&self, error: tokio_postgres::Error) -> ConnectError {
        let server = self.server.clone();
        if error.as_db_error().is_some() {
            ConnectError::Refused { server, source: error.into() }
        } else if is_of_certificate(&error) {
            ConnectError::Untrusted { server, source: error.into() }
        } else if only_reads(&error) {
            ConnectError::ReadOnly { server, reason: "no host of its URL takes writes".to_owned() }
        } else {
            ConnectError::Unreachable { server, source: error.into() }
        }
    }
}

/// Whether the last host was left because it only reads, which the driver tells by its words alone.
fn only_reads(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string() == "database does not allow writes")
}

/// The settings of every connection. Each statement finds its rows by index whatever the statistics say, or do not say
/// yet; it is planned once, for any values.
pub(super) fn session(settings: &Settings) -> String {
    let millis = |timeout: Duration| timeout.as_millis().clamp(1, 2_147_483_647);
    let (lock, statement) = (millis(settings.lock_timeout), millis(settings.statement_timeout));
    // A process that is stopped while it holds accounts is to lose them before others give up waiting, where these wait for more
    // than a second; but not one whose server is far away.
    let idle = millis((settings.lock_timeout / 2).max(Duration::from_secs(1)));
    // Whatever a server, a database or a user has for default. Who makes the tables begins with no level of its own.
    format!(
        "SET default_transaction_isolation = 'read committed'; SET TimeZone = 'UTC'; \
         SET lock_timeout = {lock}; SET statement_timeout = {statement}; \
         SET idle_in_transaction_session_timeout = {idle}; SET plan_cache_mode = force_generic_plan; \
         SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
         SET jit = off"
    )
}

/// Where the server is, without user and password.
fn address(config: &Config) -> Result<String, ConnectError> {
    let invalid = |message: &str| Err(ConnectError::InvalidUrl { message: message.to_owned() });
    let mut hosts = Vec::new();
    for (place, host) in config.get_hosts().iter().enumerate() {
        let ports = config.get_ports();
        let port = ports.get(place).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => hosts.push(format!("{name}:{port}")),
            #[cfg(unix)]
            Host::Unix(path) => hosts.push(path.display().to_string()),
        }
    }
    if hosts.is_empty() {
        return invalid("it names no host");
    }
    let database = config.get_dbname().map(|name| format!("/{name}")).unwrap_or_default();
    Ok(format!("PostgreSQL at {}{database}", hosts.join(",")))
}

/// Connects to servers whose certificate is trusted.
#[cfg(feature = "tls")]
fn connector(root_certificates: &[u8]) -> Result<tokio_postgres_rustls::MakeRustlsConnect, ConnectError> {
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(quota_trust::client_config(root_certificates)?))
}

fn wants_tls(config: &Config) -> bool {
    !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer)
}

/// An encrypted connection is one whose server was verified: `sslmode=require`. Without that there is none, for one to
/// whoever answers protects from nobody who can change the answer.
fn encryption(mut config: Config) -> Result<Config, ConnectError> {
    if !wants_tls(&config) {
        config.ssl_mode(SslMode::Disable);
    } else if cfg!(not(feature = "tls")) {
        let message = "build with the feature tls of quota-store-diesel".to_owned();
        return Err(ConnectError::Tls { message });
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use quota_servers::Server;

    use super::*;
    use crate::prefix::TablePrefix;
    use crate::server::Link;
    use crate::statement::Sql;

    #[tokio::test]
    async fn of_several_hosts_the_one_that_takes_writes_is_connected_to() {
        let Some(reads) = quota_servers::private(Server::Postgres) else { return };
        let Some(writes) = quota_servers::private(Server::Postgres) else { return };
        let (client, connection) = tokio_postgres::connect(reads.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("ALTER ROLE quota SET default_transaction_read_only = on").await.unwrap();
        // The URL has one password for all.
        let (client, connection) = tokio_postgres::connect(writes.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let (before, _) = reads.url().rsplit_once('@').unwrap();
        let (_, password) = before.rsplit_once(':').unwrap();
        client.batch_execute(&format!("ALTER ROLE quota PASSWORD '{password}'")).await.unwrap();
        let [first, second] = [&reads, &writes].map(|server| server.nodes()[0].port());
        let (before, after) = reads.url().split_once(&format!(":{first}")).unwrap();
        let (_, host) = before.rsplit_once('@').unwrap();
        let url = |port: u16, options: &str| format!("{before}:{first},{host}:{port}{after}{options}");
        let connect = async |url: &str| {
            let engine = Postgres::new(url, &Settings::new(TablePrefix::default())).unwrap();
            let mut link = engine.connect().await?;
            Ok::<_, ConnectError>(link.words(&Sql::new("SELECT current_setting('port')"), &[]).await.unwrap())
        };
        assert_eq!(connect(&url(second, "")).await.unwrap(), [second.to_string()]);
        // As it says, whatever comes of that.
        let any = if after.contains('?') { "&target_session_attrs=any" } else { "?target_session_attrs=any" };
        assert_eq!(connect(&url(second, any)).await.unwrap(), [first.to_string()]);
        let none = connect(&url(first, "")).await;
        assert!(matches!(none, Err(ConnectError::ReadOnly { .. })), "{none:?}");
    }

    /// It takes connections, as the system does for a process that is stopped.
    #[tokio::test]
    async fn a_host_that_never_answers_is_passed_over() {
        let Some(url) = quota_servers::url(Server::Postgres) else { return };
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let (before, rest) = url.split_once('@').unwrap();
        let url = format!("{before}@127.0.0.1:{port},127.0.0.1:{port},{rest}");
        let mut settings = Settings::new(TablePrefix::default());
        settings.connect_timeout = Duration::from_secs(2);
        let engine = Postgres::new(&url, &settings).unwrap();
        assert_eq!(engine.connecting(), Duration::from_secs(6));
        let began = std::time::Instant::now();
        engine.connect().await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(4), "each of them had its time");
    }

    #[tokio::test]
    async fn a_connection_is_set_whatever_the_servers_defaults_are() {
        let Some(server) = quota_servers::private(Server::Postgres) else { return };
        let (client, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let set = |default: &str| format!("ALTER DATABASE quota SET {default}; ALTER ROLE quota SET {default}; ");
        let defaults = ["default_transaction_isolation = 'serializable'", "TimeZone = 'Asia/Kathmandu'", "jit = on"];
        client.batch_execute(&defaults.map(set).concat()).await.unwrap();
        let engine = Postgres::new(server.url(), &Settings::new(TablePrefix::default())).unwrap();
        let mut link = engine.connect().await.unwrap();
        for (setting, value) in [
            ("transaction_isolation", "read committed"),
            ("default_transaction_isolation", "read committed"),
            ("TimeZone", "UTC"),
            ("jit", "off"),
            ("lock_timeout", "4s"),
            ("statement_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "2s"),
        ] {
            let found = link.words(&Sql::new(&format!("SELECT current_setting('{setting}')")), &[]).await.unwrap();
            assert_eq!(found, [value], "{setting}");
        }
    }
}
