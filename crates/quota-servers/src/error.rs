//! Why a private server is not there.

use std::io;
use std::path::{Path, PathBuf};

/// A private server that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A program is not installed.
    #[error("{program} is not installed: it comes with {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What holds it: a package of Debian's, or how it is had.
        package: &'static str,
    },
    /// Its program ended by itself.
    #[error("{program} ended with {status}; it said:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs, but does not answer.
    #[error("{program} does not answer after {seconds} s; it said:\n{log}")]
    Silent {
        /// The program.
        program: String,
        /// How long it was waited for.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
    /// It answers something else than it should.
    #[error("{0}")]
    Answer(String),
    /// A file, a process or a connection.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it did not go.
        source: io::Error,
    },
}

impl ServerError {
    /// Whether it is only that a program is not installed.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path: PathBuf = path.to_owned();
        move |source| Self::Io { what: path.display().to_string(), source }
    }
}
