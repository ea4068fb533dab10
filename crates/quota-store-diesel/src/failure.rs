//! Why a step on the tables failed.

use std::sync::Arc;

use diesel::result::Error;
use quota_service::StoreError;

use crate::rows::Broken;

/// Why a step on the tables failed. Cloned for every request of a batch that it takes along.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The database refused or could not.
    Database(Arc<Error>),
    /// What is stored for a client cannot be read.
    Broken(Broken),
    /// Rows that a large deletion has left are in the way; they are to be taken out first.
    Unfinished,
    /// There is no connection to the server.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Unconnected(Arc<dyn std::error::Error + Send + Sync>),
    /// Others hold this account and so many more that its turn to wait for the lock did not come.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Crowded,
    /// The server did not answer in time, and no commit was on its way: it is rolled back with its connection.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Late,
    /// Another process made the account of a client that had none.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Overtaken,
    /// Sums of a long time are to be read for one client of several, whose accounts are all held meanwhile: each is to run alone.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Long,
    /// An id that was taken for absent is there.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    Repeated,
}

/// What became of a transaction that did not succeed.
#[derive(Clone, Debug)]
pub(crate) enum Undone {
    /// It was certainly rolled back.
    NotDone(Failure),
    /// It may have been committed.
    Unknown(Arc<Error>),
}

impl Undone {
    /// The same, where what may have been committed has nothing to do with the requests that are to be answered.
    pub(crate) fn before_the_requests(self) -> Self {
        match self {
            Self::Unknown(error) => Self::NotDone(Failure::Database(error)),
            not_done => not_done,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Failure> for StoreError {
    /// Nothing was done: it was a reading, or was rolled back.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => Self::not_done("the transaction was rolled back", error),
            Failure::Broken(broken) => broken.into(),
            Failure::Unfinished => Self::NotDone {
                message: "what a deletion or a pruning left is still being taken out: try again".to_owned(),
                source: None,
            },
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Failure::Unconnected(error) => Self::not_done("there is no connection", error),
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Failure::Crowded => Self::NotDone {
                message:
                    "others hold the client's account, and too many more for all to be waited for: look for what holds \
                          locks on the table of accounts"
                        .to_owned(),
                source: None,
            },
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Failure::Late | Failure::Long => {
                Self::NotDone { message: "the server did not answer in time".to_owned(), source: None }
            }
            #[cfg(any(feature = "postgres", feature = "mysql"))]
            Failure::Overtaken | Failure::Repeated => {
                Self::NotDone { message: "another process was faster every time".to_owned(), source: None }
            }
        }
    }
}

impl From<Undone> for StoreError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::NotDone(failure) => failure.into(),
            Undone::Unknown(error) => Self::unknown("the commit failed", error),
        }
    }
}
