//! Connections to PostgreSQL.

use std::error::Error;
use std::time::Duration;

use anyhow::{anyhow, bail};
use diesel_async::AsyncPgConnection;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, NoTls, Socket};

/// How long a connection may take.
pub(crate) const CONNECTING: Duration = Duration::from_secs(10);

/// What is said where nobody can be trusted.
#[cfg(feature = "tls")]
pub(crate) const UNENCRYPTED: &str = "no encrypted connection";

/// Connects; gives the server's name as well. As for the store, a connection is encrypted, and then its server verified, where the URL says `sslmode=require`.
///
/// # Errors
/// Why not, with the host and without user and password.
pub(crate) async fn connect(url: &str) -> anyhow::Result<(AsyncPgConnection, String)> {
    let mut config = configuration(url)?;
    let server = server(&config)?;
    config.connect_timeout(CONNECTING);
    if matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        config.ssl_mode(SslMode::Disable);
        return Ok((through(&config, NoTls, &server).await?, server));
    }
    Ok((encrypted(&config, &server).await?, server))
}

#[cfg(feature = "tls")]
async fn encrypted(config: &Config, server: &str) -> anyhow::Result<AsyncPgConnection> {
    use anyhow::Context;
    use tokio_postgres_rustls::MakeRustlsConnect;

    let trusting = quota_trust::client_config(&[]).context(UNENCRYPTED)?;
    through(config, MakeRustlsConnect::new(trusting), server).await
}

#[cfg(not(feature = "tls"))]
async fn encrypted(_config: &Config, _server: &str) -> anyhow::Result<AsyncPgConnection> {
    bail!("sslmode asks for an encrypted connection: build with the feature tls of quota-cli")
}

async fn through<T>(config: &Config, tls: T, server: &str) -> anyhow::Result<AsyncPgConnection>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let opened = tokio::time::timeout(CONNECTING, config.connect(tls)).await;
    let (client, connection) = opened.map_err(|_| late(server))?.map_err(|error| cause(&error, server))?;
    // It ends with the client; why, is the answer to what waits then.
    tokio::spawn(connection);
    AsyncPgConnection::try_from(client).await.map_err(|error| anyhow!("{server} cannot be used: {error}"))
}

/// # Errors
/// Where a part of a password stands behind what was taken for the user and the password: it would be told as the host's name, the
/// database's or an option's.
pub(crate) fn check_rest(rest: &str) -> anyhow::Result<()> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    // A part of a password may look like an option.
    if place.contains('@') || options.contains('@') {
        bail!("its URL is malformed: the user or the password holds one of / ? # @, write %2F %3F %23 %40");
    }
    Ok(())
}

fn configuration(url: &str) -> anyhow::Result<Config> {
    let Some((_, rest)) = url.split_once("://") else {
        bail!("its URL is malformed: it begins with postgres://");
    };
    if let Some((_, rest)) = rest.split_once('@') {
        check_rest(rest)?;
    }
    // The parser's words name options, never their values.
    url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        anyhow!("its URL is malformed: {cause}")
    })
}

/// Where the server is.
fn server(config: &Config) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for (place, host) in config.get_hosts().iter().enumerate() {
        let port = config.get_ports().get(place).or(config.get_ports().first()).copied().unwrap_or(5_432);
        match host {
            Host::Tcp(name) => names.push(format!("{name}:{port}")),
            #[cfg(unix)]
            Host::Unix(path) => names.push(path.display().to_string()),
        }
    }
    if names.is_empty() {
        bail!("its URL is malformed: it names no host, as postgres://USER:PASSWORD@HOST:PORT/DATABASE does");
    }
    Ok(format!("PostgreSQL at {}", names.join(",")))
}

fn cause(error: &tokio_postgres::Error, server: &str) -> anyhow::Error {
    if let Some(refused) = error.as_db_error() {
        let advice = match refused.code() {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "check user and password in the URL"
            }
            &SqlState::INVALID_CATALOG_NAME => "create the database, or name another in the URL",
            &SqlState::INSUFFICIENT_PRIVILEGE => "grant the user CONNECT on the database",
            &SqlState::TOO_MANY_CONNECTIONS => "try again when others have left, or raise max_connections",
            _ => "check user, password and database in the URL",
        };
        return anyhow!("{server} refuses the connection: {}: {advice}", refused.message());
    }
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    unreachable(server, &causes.join(": "))
}

/// Nobody answered in time.
pub(crate) fn late(server: &str) -> anyhow::Error {
    let seconds = CONNECTING.as_secs();
    anyhow!("{server} did not answer within {seconds} s: check host and port in the URL, and whether it is overloaded")
}

/// Why there is no connection, and what to do about it.
pub(crate) fn unreachable(server: &str, words: &str) -> anyhow::Error {
    if !words.contains("invalid peer certificate") {
        return anyhow!("{server} cannot be reached: {words}: check host and port in the URL");
    }
    anyhow!(
        "{server} shows a certificate that is not trusted: name the authority that signed it, by a file in \
         SSL_CERT_FILE: {words}"
    )
}
