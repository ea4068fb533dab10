//! Why no store could be opened.

use mongodb::error::{Error, ErrorKind};
use thiserror::Error as ThisError;

/// Why no store could be opened. It never repeats the URL, which may hold a password.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL names no server.
    #[error(
        "the URL of a MongoDB store is mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST…]/DATABASE[?OPTIONS]: {message}"
    )]
    Url {
        /// What is wrong with it.
        message: String,
    },
    /// A text is no prefix of collections.
    #[error("{prefix:?} is no prefix of collections: 1 to 64 of a-z, A-Z, 0-9, _ and -")]
    Prefix {
        /// The text, at most its first 100 characters.
        prefix: String,
    },
    /// No primary was reached there in time.
    #[error("no MongoDB primary answers there: check host, port, replicaSet and tls in the URL")]
    Unreachable(#[source] Error),
    /// The server's certificate was signed by nobody who is trusted, is for another host, or is out of date.
    #[error(
        "the server shows a certificate that is not trusted: name the authority that signed it, by a file in the URL \
         (?tls=true&tlsCAFile=PATH)"
    )]
    Untrusted(#[source] Error),
    /// The server does not accept the user or the password, or the user may not do what a store needs.
    #[error("the server refuses the user: check user, password, authSource and rights (readWrite on the database)")]
    NotAllowed(#[source] Error),
    /// The server refused a command.
    #[error("the server cannot serve a store: look at what it says and at its log, then open again")]
    Server(#[source] Error),
    /// The server is older than 5.0.
    #[error("the server is MongoDB {found}: a store needs 5.0 or newer")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The server takes no writes.
    #[error("the server is no primary: name the replica set in the URL (?replicaSet=NAME), or the primary itself")]
    ReadOnly,
    /// Collections were written before the first release of this crate.
    #[error(
        "the collections have format {found}, from before the first release, and this version knows {known}: choose \
         another prefix or database"
    )]
    Older {
        /// The format that is stored.
        found: i64,
        /// The format that this version knows.
        known: i64,
    },
    /// Collections were written by a newer version of this crate.
    #[error("the collections have format {found} and this version knows {known}: upgrade it")]
    Newer {
        /// The format that is stored.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// A collection of a name of ours is not ours.
    #[error("the collection {collection} is not this store's: choose another prefix or database")]
    Foreign {
        /// Its name.
        collection: String,
    },
}

impl ConnectError {
    /// Of a URL that the driver does not take.
    pub(crate) fn unreadable(url: &str) -> Self {
        let advice = "the user or the password holds one of / ? # @: write %2F %3F %23 %40";
        let message = if is_cut_short(url) { advice } else { "the driver cannot read it" };
        Self::Url { message: message.to_owned() }
    }
}

/// Whether a user or a password seems to hold what ends it, so that a part of it is taken for the host, the database or an
/// option.
fn is_cut_short(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, behind) = place.split_once(['/', '#']).unwrap_or((place, ""));
    // An option's value may hold an @.
    let ends_in_options = options.split_once('@').is_some_and(|(before, _)| !before.contains('='));
    authority.matches('@').count() > 1 || behind.contains('@') || ends_in_options
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        match &*error.kind {
            _ if error.to_string().contains("invalid peer certificate") => Self::Untrusted(error),
            ErrorKind::Authentication { .. } => Self::NotAllowed(error),
            // Unauthorized, AuthenticationFailed.
            ErrorKind::Command(refused) if matches!(refused.code, 13 | 18) => Self::NotAllowed(error),
            // NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary.
            ErrorKind::Command(refused) if matches!(refused.code, 10_107 | 13_435 | 13_436) => Self::ReadOnly,
            ErrorKind::Command(_) | ErrorKind::Write(_) => Self::Server(error),
            ErrorKind::InvalidArgument { message, .. } | ErrorKind::InvalidTlsConfig { message, .. } => {
                Self::Url { message: message.clone() }
            }
            _ => Self::Unreachable(error),
        }
    }
}
