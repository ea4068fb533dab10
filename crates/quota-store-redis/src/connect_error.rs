//! Why no store could be opened.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

use crate::keys::PrefixError;

/// Why no store could be opened. It never repeats the URL, which may hold a password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL names no server.
    #[error("the URL of a Redis store: {message}")]
    Url {
        /// What is wrong with it.
        message: String,
    },
    /// The URL wants an encrypted connection, and a certificate of an authority cannot be read or there is none.
    #[error("no encrypted connection: {message}")]
    Tls {
        /// Why not.
        message: String,
    },
    /// No server was reached there, or it did not answer.
    #[error("no Redis server answers there: check host and port in the URL")]
    Unreachable(#[source] RedisError),
    /// The server's certificate was signed by nobody who is trusted, is for another host, or is out of date.
    #[error(
        "the server shows a certificate that is not trusted: name the authority that signed it, by a file in \
         SSL_CERT_FILE or by with_root_certificates"
    )]
    Untrusted(#[source] RedisError),
    /// The server does not accept the user or the password, or the user may not do what a store needs.
    #[error("the server refuses the user: check user, password and rights (keys, scripts, INFO)")]
    NotAllowed(#[source] RedisError),
    /// The server has no database of the URL's number.
    #[error("the server has no database of this number: name another behind the host in the URL, or none")]
    NoDatabase(#[source] RedisError),
    /// The server refused a command.
    #[error("the server cannot serve a store: look at what it says and at its log, then open again")]
    Server(#[source] RedisError),
    /// The server is older than 6.2.
    #[error("the server is Redis {found}: a store needs 6.2 or newer, or Valkey")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The server is a replica: connect to its primary, or by way of its sentinels.
    #[error("the server is a read-only replica: connect to its primary, or through redis+sentinel:")]
    Replica,
    /// The server deletes keys when its memory is full.
    #[error(
        "the server's maxmemory-policy is {policy}: it would delete usage when its memory is full. Set it to noeviction, or \
         allow this policy by name with ?allowed_eviction={policy} or RedisBuilder::with_allowed_eviction"
    )]
    Evicts {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// Keys were written before the first release of this crate.
    #[error(
        "the keys have format {found}, from before the first release, and this version knows {known}: choose another prefix \
         or database"
    )]
    Older {
        /// The format that is stored.
        found: u64,
        /// The format that this version knows.
        known: u64,
    },
    /// Keys were written by a newer version of this crate.
    #[error("the keys have format {found} and this version knows {known}: upgrade it")]
    Newer {
        /// The format that is stored.
        found: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// The store was made with another level of detail.
    #[error("the store keeps {found}: open it with ?detail={found}, or leave that out; or choose another prefix")]
    OtherDetail {
        /// What it keeps: `quarters` or `entries`.
        found: &'static str,
    },
    /// A key of a name of ours is not ours.
    #[error("the key {key} is not this store's: choose another prefix")]
    Foreign {
        /// Its name.
        key: String,
    },
    /// What was chosen cannot be had there.
    #[error("{message}")]
    Unsupported {
        /// Which choice, and why not.
        message: String,
    },
    /// The prefix is none.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
}

#[cfg(feature = "tls")]
impl From<quota_trust::TrustError> for ConnectError {
    fn from(error: quota_trust::TrustError) -> Self {
        Self::Tls { message: error.to_string() }
    }
}

impl From<RedisError> for ConnectError {
    fn from(error: RedisError) -> Self {
        let refused = ["NOAUTH", "WRONGPASS", "NOPERM"];
        match error.kind() {
            _ if error.to_string().contains("invalid peer certificate") => Self::Untrusted(error),
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => Self::NotAllowed(error),
            // What the driver says where `SELECT` is refused.
            _ if error.to_string().contains("refused to switch database") => Self::NoDatabase(error),
            ErrorKind::RESP3NotSupported => Self::TooOld { found: "before 6.0".to_owned() },
            _ if error.code().is_some_and(|code| refused.contains(&code)) => Self::NotAllowed(error),
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Server(error),
            _ => Self::Unreachable(error),
        }
    }
}
