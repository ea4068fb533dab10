//! Why a store could not be opened.

use std::path::PathBuf;

use thiserror::Error;

use crate::prefix::PrefixError;

/// Why a store could not be opened. The file is as it was before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path cannot be one of a database: empty, not UTF-8, or `:memory:`, where every connection would see
    /// a database of its own.
    #[error("{path:?} is no path of a database file: name a file, by a path in UTF-8")]
    InvalidPath {
        /// The path.
        path: PathBuf,
    },
    /// The prefix of table names is malformed.
    #[error(transparent)]
    InvalidPrefix(#[from] PrefixError),
    /// There is a file, but it is no SQLite database, or a damaged one.
    #[error(
        "{} is not an SQLite database, or a damaged one: restore it from a backup, or name another file",
        .path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: diesel::result::Error,
    },
    /// The file or its directory cannot be written.
    #[error("{} is read-only ({message}): make the file and its folder writable", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        message: String,
    },
    /// Another process held the file for longer than the busy timeout.
    #[error("{} is locked by another process: wait until that is done, or end it, then open again", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: diesel::result::Error,
    },
    /// There are tables with our names that this crate did not make. Choose another prefix.
    #[error("{} has an object {object} that is not this store's: choose another prefix", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The table, view or index.
        object: String,
    },
    /// A table of ours is gone.
    #[error(
        "{} lacks the table {table} that its schema promises: restore the file from a backup, or choose another prefix",
        .path.display()
    )]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// The tables were made by a newer version of this crate.
    #[error("{} has schema {found} and this version knows {known}: upgrade it", .path.display())]
    UpgradeNeeded {
        /// The file.
        path: PathBuf,
        /// The schema's version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// The file could not be opened or read: no such directory, no permission, no space, a fault of the disk.
    #[error("{} cannot be opened: {message}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// SQLite's words, and what to do.
        message: String,
    },
    /// A thread could not be started.
    #[error("a thread of the store could not be started: let this process have more")]
    Thread(#[source] std::io::Error),
}
