//! Connections to MySQL and MariaDB.

use anyhow::anyhow;
use diesel_async::AsyncMysqlConnection;
use mysql_async::{Conn, Error, Opts, OptsBuilder, UrlError};

#[cfg(feature = "tls")]
use crate::postgres::UNENCRYPTED;
use crate::postgres::{CONNECTING, check_rest, late, unreachable};

/// Connects; gives the server's name as well. It is encrypted, and then the server verified, where the URL says `require_ssl=true`.
///
/// # Errors
/// Why not, with the host and without user and password.
pub(crate) async fn connect(url: &str) -> anyhow::Result<(AsyncMysqlConnection, String)> {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    check_rest(rest.find(['/', '?', '#']).and_then(|end| rest.get(end..)).unwrap_or_default())?;
    let options = Opts::from_url(url).map_err(|error| anyhow!("its URL is malformed: {}", malformed(&error)))?;
    if options.db_name().is_none() {
        return Err(anyhow!(
            "its URL is malformed: it names no database, as mysql://USER:PASSWORD@HOST:PORT/DATABASE does"
        ));
    }
    let server = format!("MySQL at {}:{}", options.ip_or_hostname(), options.tcp_port());
    #[cfg(feature = "tls")]
    let encryption = encryption(&options)?;
    // Diesel has statements of its own.
    let options = OptsBuilder::from_opts(options).prefer_socket(false).stmt_cache_size(0);
    #[cfg(feature = "tls")]
    let options = options.ssl_opts(encryption);
    let options: Opts = options.into();
    let opened = tokio::time::timeout(CONNECTING, async {
        let connection = Conn::new(options).await.map_err(|error| cause(&error, &server))?;
        let connection = AsyncMysqlConnection::try_from(connection).await;
        connection.map_err(|error| anyhow!("{server} cannot be used: {error}"))
    });
    let connection = opened.await.map_err(|_| late(&server))??;
    Ok((connection, server))
}

#[cfg(feature = "tls")]
fn encryption(options: &Opts) -> anyhow::Result<Option<mysql_async::SslOpts>> {
    use anyhow::Context;

    let Some(wanted) = options.ssl_opts().cloned() else { return Ok(None) };
    let authorities = quota_trust::authorities(&[]).context(UNENCRYPTED)?;
    let roots = authorities.iter().map(|certificate| certificate.to_vec().into()).collect();
    Ok(Some(wanted.with_root_certs(roots).with_disable_built_in_roots(true)))
}

/// Not the parser's words where they repeat what stands in the URL.
fn malformed(error: &UrlError) -> String {
    match error {
        UrlError::FeatureRequired { param, .. } => {
            format!("its option {param} asks for an encrypted connection, build with the feature tls of quota-cli")
        }
        UrlError::InvalidParamValue { param, .. } => format!("its option {param} has an invalid value"),
        UrlError::UnknownParameter { param } => format!("it has an unknown option {param}"),
        UrlError::Parse(error) => error.to_string(),
        _ => "it is mysql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
    }
}

fn cause(error: &Error, server: &str) -> anyhow::Error {
    let Error::Server(refused) = error else { return unreachable(server, &words(error)) };
    let advice = match refused.code {
        // Access denied to a database; to anything at all.
        1_044 => "grant the user rights on the database",
        1_045 => "check user and password in the URL",
        1_049 => "create the database, or name another in the URL",
        // Too many connections, of all and of one user.
        1_040 | 1_203 => "try again when others have left, or raise max_connections",
        _ => "check user, password and database in the URL",
    };
    anyhow!("{server} refuses the connection: {}: {advice}", refused.message)
}

/// An error of the driver, whose own words repeat themselves.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::Server(refused) => refused.message.clone(),
        Error::Io(mysql_async::IoError::Io(error)) => error.to_string(),
        other => other.to_string(),
    }
}
