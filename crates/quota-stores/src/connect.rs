//! From a URL to a store.

use quota_service::{AnyStore, Source};
use thiserror::Error;

use crate::prefix::split_prefix;

/// Schemes that a build with all features knows.
const SCHEMES: &[&str] = &[
    "memory",
    "sqlite",
    "postgres",
    "postgresql",
    "mysql",
    "redis",
    "rediss",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "valkey",
    "valkeys",
    "valkey+cluster",
    "valkeys+cluster",
    "valkey+sentinel",
    "valkeys+sentinel",
    "mongodb",
];

/// Why a URL opens no store. It never repeats the URL, which may hold a password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no scheme before a colon.
    #[error("a store's URL begins with its scheme, such as memory: or sqlite:quota.db")]
    NoScheme,
    /// No store has this scheme.
    #[error("no store has the scheme {scheme}: known are {}", SCHEMES.join(", "))]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
    /// The store of this scheme is left out of this build.
    #[error("the scheme {scheme} is not compiled in: build with the feature {feature} of quota-stores")]
    NotCompiledIn {
        /// The scheme.
        scheme: String,
        /// The feature that has it.
        feature: &'static str,
    },
    /// A URL of `mongodb+srv`, whose hosts are looked up in DNS. No build has the resolver that it takes.
    #[error(
        "the scheme mongodb+srv is not compiled in: name the hosts with \
         mongodb://HOST:PORT,HOST:PORT/DATABASE?replicaSet=NAME&tls=true"
    )]
    NoServiceRecords,
    /// What follows the scheme is not what the store takes.
    #[error("a URL with the scheme {scheme} is {expected}")]
    Malformed {
        /// The scheme.
        scheme: &'static str,
        /// The form that it has.
        expected: &'static str,
    },
    /// The store could not be opened.
    #[error("the {scheme} store{} could not be opened", place(.hosts.as_deref()))]
    Store {
        /// The scheme.
        scheme: &'static str,
        /// The hosts that the URL names, where the store's own words do not.
        hosts: Option<String>,
        /// Why, in the store's words.
        source: Source,
    },
}

/// Opens the store that a URL names: a file or a server is connected to, and its schema brought up to date.
///
/// ```
/// use quota_stores::connect;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let error = connect("cassandra://host").await.unwrap_err();
/// assert!(error.to_string().starts_with("no store has the scheme cassandra: known are memory, sqlite"));
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ConnectError`]: the URL is none, its scheme is unknown or not compiled in, or the store cannot be opened.
pub async fn connect(url: &str) -> Result<AnyStore, ConnectError> {
    let (whole, prefix) = split_prefix(url);
    let url = whole.as_str();
    let (scheme, rest) = url.split_once(':').ok_or(ConnectError::NoScheme)?;
    match scheme {
        "" => Err(ConnectError::NoScheme),
        "memory" => memory(rest),
        "sqlite" => sqlite(rest, prefix).await,
        "postgres" | "postgresql" => postgres(url, prefix).await,
        "mysql" => mysql(url, prefix).await,
        "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel" | "valkey"
        | "valkeys" | "valkey+cluster" | "valkeys+cluster" | "valkey+sentinel" | "valkeys+sentinel" => redis(url).await,
        "mongodb" => mongodb(url, prefix).await,
        "mongodb+srv" => Err(ConnectError::NoServiceRecords),
        _ if is_scheme(scheme) => Err(ConnectError::UnknownScheme { scheme: scheme.chars().take(32).collect() }),
        _ => Err(ConnectError::NoScheme),
    }
}

/// Whether it has a scheme's form. What has not may be anything, as a part of a password.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

/// What has the scheme of a URL, one of those that are known, is not in this build.
#[cfg(not(all(
    feature = "memory",
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "redis",
    feature = "mongodb"
)))]
fn left_out(url: &str, feature: &'static str) -> ConnectError {
    let scheme = url.split(':').next().unwrap_or_default().to_owned();
    ConnectError::NotCompiledIn { scheme, feature }
}

fn place(hosts: Option<&str>) -> String {
    hosts.map(|hosts| format!(" at {hosts}")).unwrap_or_default()
}

/// The hosts of a URL, without user and password; none where they cannot be told from a password for sure.
///
/// ```
/// use quota_stores::hosts;
///
/// assert_eq!(hosts("redis+cluster://user:secret@a:1,b:2").as_deref(), Some("a:1,b:2"));
/// // A password with a slash, which is to be written as %2F.
/// assert_eq!(hosts("redis://user:sec/ret@a:1"), None);
/// ```
#[must_use]
pub fn hosts(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (address, behind) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    if behind.contains('@') || address.matches('@').count() > 1 {
        return None;
    }
    let hosts = address.rsplit('@').next()?;
    hosts.split(',').all(is_host).then(|| hosts.to_owned())
}

/// Whether it is a name or an address, with a port or without. A user and a password without a host behind them are not.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, port.strip_prefix(':').or(Some(""))),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    let is_address = text.starts_with('[') && name.chars().all(|character| is_plain(character) || character == ':');
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    !name.is_empty() && (is_address || name.chars().all(is_plain)) && port.is_none_or(is_port)
}

#[cfg(feature = "memory")]
fn memory(rest: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_memory::MemoryStore;

    let expected = "memory:, memory:?detail=quarters or memory:?detail=entries";
    match rest {
        "" | "?detail=quarters" => Ok(AnyStore::new(MemoryStore::new())),
        "?detail=entries" => Ok(AnyStore::new(MemoryStore::with_entries())),
        _ => Err(ConnectError::Malformed { scheme: "memory", expected }),
    }
}

#[cfg(not(feature = "memory"))]
fn memory(_rest: &str) -> Result<AnyStore, ConnectError> {
    Err(left_out("memory", "memory"))
}

/// Two slashes before the path are taken for the URL's and left out: `sqlite:///var/quota.db` is `/var/quota.db`.
#[cfg(feature = "sqlite")]
async fn sqlite(rest: &str, prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::{SqliteBuilder, TablePrefix};

    let path = rest.strip_prefix("//").unwrap_or(rest).to_owned();
    if path.is_empty() {
        return Err(ConnectError::Malformed { scheme: "sqlite", expected: "sqlite:PATH" });
    }
    let failed = |source| ConnectError::Store { scheme: "sqlite", hosts: None, source };
    let prefix = prefix.map_or_else(|| Ok(TablePrefix::default()), TablePrefix::new);
    let builder = SqliteBuilder::new(path).with_prefix(prefix.map_err(|error| failed(error.into()))?);
    // It blocks on the disk, and on other processes that hold the file.
    let opened = tokio::task::spawn_blocking(move || builder.open()).await;
    let store = opened.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
    Ok(AnyStore::new(store))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_rest: &str, _prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    Err(left_out("sqlite", "sqlite"))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::{PostgresStore, TablePrefix};

    let failed = |error: quota_store_diesel::ConnectError| ConnectError::Store {
        scheme: "postgres",
        hosts: None,
        source: error.into(),
    };
    let prefix = prefix.map_or_else(|| Ok(TablePrefix::default()), TablePrefix::new);
    let builder = PostgresStore::builder(url).with_prefix(prefix.map_err(|error| failed(error.into()))?);
    Ok(AnyStore::new(builder.connect().await.map_err(failed)?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(url: &str, _prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    Err(left_out(url, "postgres"))
}

#[cfg(feature = "mysql")]
async fn mysql(url: &str, prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::{MysqlStore, TablePrefix};

    let failed = |error: quota_store_diesel::ConnectError| ConnectError::Store {
        scheme: "mysql",
        hosts: None,
        source: error.into(),
    };
    let prefix = prefix.map_or_else(|| Ok(TablePrefix::default()), TablePrefix::new);
    let builder = MysqlStore::builder(url).with_prefix(prefix.map_err(|error| failed(error.into()))?);
    Ok(AnyStore::new(builder.connect().await.map_err(failed)?))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(url: &str, _prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    Err(left_out(url, "mysql"))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_redis::RedisStore;

    let failed = |error: quota_store_redis::ConnectError| ConnectError::Store {
        scheme: "redis",
        hosts: hosts(url),
        source: error.into(),
    };
    Ok(AnyStore::new(RedisStore::connect(url).await.map_err(failed)?))
}

#[cfg(not(feature = "redis"))]
async fn redis(url: &str) -> Result<AnyStore, ConnectError> {
    Err(left_out(url, "redis"))
}

#[cfg(feature = "mongodb")]
async fn mongodb(url: &str, prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    use quota_store_mongo::MongoStore;

    let failed = |error: quota_store_mongo::ConnectError| ConnectError::Store {
        scheme: "mongodb",
        hosts: hosts(url),
        source: error.into(),
    };
    let builder = MongoStore::builder(url);
    let builder = match prefix {
        Some(prefix) => builder.with_prefix(prefix),
        None => builder,
    };
    Ok(AnyStore::new(builder.connect().await.map_err(failed)?))
}

#[cfg(not(feature = "mongodb"))]
async fn mongodb(url: &str, _prefix: Option<&str>) -> Result<AnyStore, ConnectError> {
    Err(left_out(url, "mongodb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_and_never_a_part_of_a_password() {
        for (url, told) in [
            ("redis://h:1/0?detail=entries", Some("h:1")),
            ("redis+cluster://:p@a:1,b:2", Some("a:1,b:2")),
            ("valkeys+sentinel://:p@a:1,b:2/main", Some("a:1,b:2")),
            ("mongodb://u:p%40@[::1]:2/d", Some("[::1]:2")),
            ("redis://:a/b@h:1", None),
            ("redis://:a?b@h:1", None),
            ("redis://u:a@b@h:1", None),
            ("redis:", None),
            ("redis://", None),
            ("redis://h", Some("h")),
            ("redis://[::1]", Some("[::1]")),
            // Nothing but a user and a password.
            ("redis://quota:s3cret", None),
            ("redis://:s3cret/0", None),
            ("redis://:12345", None),
            ("mongodb://a:1,quota:s3cret/app", None),
            ("redis://[::1]s3cret", None),
        ] {
            assert_eq!(hosts(url).as_deref(), told, "{url}");
        }
    }
}
