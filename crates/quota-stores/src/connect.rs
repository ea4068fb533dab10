//! From a URL to a store.

use quota_service::{AnyStore, Source};
use thiserror::Error;

/// Schemes that a build with all features knows.
const SCHEMES: &[&str] = &[
    "memory",
    "sqlite",
    "postgres",
    "mysql",
    "redis",
    "rediss",
    "redis+cluster",
    "redis+sentinel",
    "mongodb",
    "mongodb+srv",
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
    #[error("the scheme {scheme} is not compiled in: build with the feature {scheme} of quota-stores")]
    NotCompiledIn {
        /// The scheme, which is the feature's name as well.
        scheme: &'static str,
    },
    /// What follows the scheme is not what the store takes.
    #[error("a URL with the scheme {scheme} is {expected}")]
    Malformed {
        /// The scheme.
        scheme: &'static str,
        /// The form that it has.
        expected: &'static str,
    },
    /// The store could not be opened.
    #[error("the {scheme} store could not be opened")]
    Store {
        /// The scheme.
        scheme: &'static str,
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
    let (scheme, rest) = url.split_once(':').ok_or(ConnectError::NoScheme)?;
    match scheme {
        "" => Err(ConnectError::NoScheme),
        "memory" => memory(rest),
        "sqlite" => sqlite(rest).await,
        "postgres" | "postgresql" => postgres(url).await,
        "mysql" => mysql(url).await,
        "redis" | "rediss" | "redis+cluster" | "redis+sentinel" => redis(url).await,
        "mongodb" | "mongodb+srv" => mongodb(url).await,
        _ => Err(ConnectError::UnknownScheme { scheme: scheme.chars().take(32).collect() }),
    }
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
    Err(ConnectError::NotCompiledIn { scheme: "memory" })
}

/// Two slashes before the path are taken for the URL's and left out: `sqlite:///var/quota.db` is `/var/quota.db`.
#[cfg(feature = "sqlite")]
async fn sqlite(rest: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::SqliteStore;

    let path = rest.strip_prefix("//").unwrap_or(rest).to_owned();
    if path.is_empty() {
        return Err(ConnectError::Malformed { scheme: "sqlite", expected: "sqlite:PATH" });
    }
    let failed = |source| ConnectError::Store { scheme: "sqlite", source };
    // It blocks on the disk, and on other processes that hold the file.
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(path)).await;
    let store = opened.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
    Ok(AnyStore::new(store))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_rest: &str) -> Result<AnyStore, ConnectError> {
    Err(ConnectError::NotCompiledIn { scheme: "sqlite" })
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::PostgresStore;

    let failed =
        |error: quota_store_diesel::ConnectError| ConnectError::Store { scheme: "postgres", source: error.into() };
    Ok(AnyStore::new(PostgresStore::connect(url).await.map_err(failed)?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<AnyStore, ConnectError> {
    Err(ConnectError::NotCompiledIn { scheme: "postgres" })
}

#[cfg(feature = "mysql")]
async fn mysql(url: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_diesel::MysqlStore;

    let failed =
        |error: quota_store_diesel::ConnectError| ConnectError::Store { scheme: "mysql", source: error.into() };
    Ok(AnyStore::new(MysqlStore::connect(url).await.map_err(failed)?))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_url: &str) -> Result<AnyStore, ConnectError> {
    Err(ConnectError::NotCompiledIn { scheme: "mysql" })
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_redis::RedisStore;

    let failed = |error: quota_store_redis::ConnectError| ConnectError::Store { scheme: "redis", source: error.into() };
    Ok(AnyStore::new(RedisStore::connect(url).await.map_err(failed)?))
}

#[cfg(not(feature = "redis"))]
async fn redis(_url: &str) -> Result<AnyStore, ConnectError> {
    Err(ConnectError::NotCompiledIn { scheme: "redis" })
}

#[cfg(feature = "mongodb")]
async fn mongodb(url: &str) -> Result<AnyStore, ConnectError> {
    use quota_store_mongo::MongoStore;

    let failed =
        |error: quota_store_mongo::ConnectError| ConnectError::Store { scheme: "mongodb", source: error.into() };
    Ok(AnyStore::new(MongoStore::connect(url).await.map_err(failed)?))
}

#[cfg(not(feature = "mongodb"))]
async fn mongodb(_url: &str) -> Result<AnyStore, ConnectError> {
    Err(ConnectError::NotCompiledIn { scheme: "mongodb" })
}
