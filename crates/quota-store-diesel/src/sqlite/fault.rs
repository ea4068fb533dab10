//! What SQLite's errors mean.

use std::path::Path;

use diesel::result::{DatabaseErrorKind, Error};

use crate::open_error::OpenError;

/// What kind of error SQLite answered. Diesel keeps its words but not its code, so they are told apart by the
/// words, which SQLite fixes for each code (`sqlite3_errstr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another connection holds the lock.
    Locked,
    /// No space on the disk, or the greatest size is reached.
    Full,
    ReadOnly,
    /// The disk or the system refused.
    Io,
    /// The file cannot be opened.
    CannotOpen,
    /// The file is no database, or a damaged one.
    NotADatabase,
    /// The statement's own fault: a constraint, an overflow, a missing table.
    Statement,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::Unknown, info) => Self::of_message(info.message()),
            _ => Self::Statement,
        }
    }

    fn of_message(message: &str) -> Self {
        match message {
            "database is locked" | "database table is locked" | "locking protocol" => Self::Locked,
            "database or disk is full" => Self::Full,
            "attempt to write a readonly database" => Self::ReadOnly,
            "disk I/O error" | "out of memory" | "interrupted" => Self::Io,
            "unable to open database file" => Self::CannotOpen,
            "file is not a database" => Self::NotADatabase,
            message if message.starts_with("database disk image is malformed") => Self::NotADatabase,
            message if message.starts_with("malformed database schema") => Self::NotADatabase,
            _ => Self::Statement,
        }
    }

    /// Whether the clients of a batch may differ in it, so that they are worth trying one by one.
    pub(crate) const fn may_be_one_clients(self) -> bool {
        matches!(self, Self::Statement | Self::NotADatabase)
    }

    /// Whether a commit that failed so certainly did not happen: SQLite meets these before the frame that
    /// commits is in the log. A failed write or flush of the log may be found there after a crash.
    pub(crate) const fn precedes_the_commit(self) -> bool {
        matches!(self, Self::Locked | Self::Full | Self::ReadOnly)
    }

    /// The same as an error of opening.
    pub(crate) fn into_open_error(path: &Path, source: Error) -> OpenError {
        let advice = match Self::of(&source) {
            Self::Locked => return OpenError::Locked { path: path.to_owned(), source },
            Self::NotADatabase => return OpenError::NotADatabase { path: path.to_owned(), source },
            Self::ReadOnly => return OpenError::ReadOnly { path: path.to_owned(), message: source.to_string() },
            Self::Full => "make room on the disk, or let the file have more pages",
            Self::Io => "look at the disk and at the system's log, then open again",
            Self::CannotOpen => MAKE_FOLDER,
            Self::Statement => "close it elsewhere, or name another file",
        };
        failed(path, source.to_string(), advice)
    }

    /// As [`Self::CannotOpen`].
    pub(crate) fn cannot_open(path: &Path, message: String) -> OpenError {
        failed(path, message, MAKE_FOLDER)
    }
}

/// What to do where there is no file and none can be made.
const MAKE_FOLDER: &str = "make its folder, let this process write there, or name another file";

/// The file could not be opened; perhaps since it is read-only, which SQLite does not always say: it may stumble over the
/// log that it cannot make beside the file.
fn failed(path: &Path, words: String, advice: &str) -> OpenError {
    let path = path.to_owned();
    if is_read_only(&path) {
        return OpenError::ReadOnly { path, message: words };
    }
    OpenError::Io { path, message: format!("{words}: {advice}") }
}

/// Without opening the file: to close it again would drop the locks that another store of this process has on it
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
#[cfg(unix)]
fn is_read_only(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;

    matches!(access(path, Access::WRITE_OK), Err(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

#[cfg(not(unix))]
fn is_read_only(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().readonly())
}
