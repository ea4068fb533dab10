//! Why a server could not be used.

use thiserror::Error;

use crate::prefix::PrefixError;

/// The cause, as the driver put it.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store on a server could not be used. Nothing was changed there. It never repeats the URL, which may hold a password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none of this engine's.
    #[error("the URL is malformed: {message}")]
    InvalidUrl {
        /// What is wrong with it.
        message: String,
    },
    /// The prefix of table names is malformed.
    #[error(transparent)]
    InvalidPrefix(#[from] PrefixError),
    /// The URL wants an encrypted connection and this build has none, or a certificate cannot be read.
    #[error("no encrypted connection: {message}")]
    Tls {
        /// Why not.
        message: String,
    },
    /// Nobody answers there: no such host, nothing listens, no way there, no answer in time.
    #[error("{server} cannot be reached: check host and port in the URL")]
    Unreachable {
        /// The server's address.
        server: String,
        /// The driver's words.
        source: Source,
    },
    /// The server's certificate was signed by nobody who is trusted, is for another host, or is out of date.
    #[error(
        "{server} shows a certificate that is not trusted: name the authority that signed it, by a file in SSL_CERT_FILE \
         or by with_root_certificates"
    )]
    Untrusted {
        /// The server's address.
        server: String,
        /// Why it is not trusted.
        source: Source,
    },
    /// The server does not let us in: a wrong user or password, no such database, too many connections.
    #[error("{server} refuses the connection: check user, password and database in the URL")]
    Refused {
        /// The server's address.
        server: String,
        /// The server's words.
        source: Source,
    },
    /// The server is too old.
    #[error("{server} is {found}, this store needs {needed}: upgrade the server")]
    TooOld {
        /// The server's address.
        server: String,
        /// What it says it is.
        found: String,
        /// What is needed.
        needed: &'static str,
    },
    /// The server only reads: a replica, or one that was set so.
    #[error("{server} is read-only ({reason}): connect to the primary")]
    ReadOnly {
        /// The server's address.
        server: String,
        /// How it says so.
        reason: String,
    },
    /// The server or the database is set in a way that the store cannot work with.
    #[error("{server} cannot be used: {message}")]
    Unsuited {
        /// The server's address.
        server: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The user lacks a right.
    #[error("the user at {server} lacks a right: {message}")]
    MissingRight {
        /// The server's address.
        server: String,
        /// Which, and on what.
        message: String,
    },
    /// There are tables with our names that this crate did not make. Choose another prefix.
    #[error("{server} has a table {object} that is not this store's: choose another prefix")]
    Foreign {
        /// The server's address.
        server: String,
        /// The table, view or index.
        object: String,
    },
    /// A table of ours is gone.
    #[error(
        "{server} lacks the table {table} that its schema promises: restore it from a backup, or choose another prefix"
    )]
    Incomplete {
        /// The server's address.
        server: String,
        /// The table.
        table: String,
    },
    /// The tables were made by a newer version of this crate.
    #[error("{server} has schema {found} and this version knows {known}: upgrade it")]
    UpgradeNeeded {
        /// The server's address.
        server: String,
        /// The schema's version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// The server answered with an error.
    #[error("{server} failed: look at what it says and at its log, then open again")]
    Failed {
        /// The server's address.
        server: String,
        /// The server's words.
        source: Source,
    },
}

impl ConnectError {
    pub(crate) fn failed(server: &str, source: impl Into<Source>) -> Self {
        Self::Failed { server: server.to_owned(), source: source.into() }
    }
}

/// Refuses what follows the user and the password in a URL where a part of the password stands there: the driver took it for the
/// host, the database or an option, and would say so.
///
/// # Errors
/// [`ConnectError::InvalidUrl`]
pub(crate) fn check_rest(rest: &str) -> Result<(), ConnectError> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    // A part of a password may look like an option.
    if place.contains('@') || options.contains('@') {
        let message = "the user or the password holds one of / ? # @: write %2F %3F %23 %40".to_owned();
        return Err(ConnectError::InvalidUrl { message });
    }
    Ok(())
}

#[cfg(feature = "tls")]
impl From<quota_trust::TrustError> for ConnectError {
    fn from(error: quota_trust::TrustError) -> Self {
        Self::Tls { message: error.to_string() }
    }
}

/// Whether a certificate is why there is no connection. Drivers keep its error behind layers of their own, and it
/// always begins with the same words.
pub(crate) fn is_of_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = error.to_string().contains("invalid peer certificate");
    own || error.source().is_some_and(is_of_certificate)
}
