//! What a store says when it cannot answer.

use std::error::Error;

use quota_core::{DocumentError, PlanVersion, Refusal};
use thiserror::Error;

/// The cause of a store's failure, as its driver put it.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a store did not answer an operation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operation was refused; nothing changed. Not a failure of the store.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The plan that came with the request is not the account's; nothing happened. The service fetches it and asks
    /// again.
    #[error("the client's plan was changed")]
    PlanChanged(Option<PlanVersion>),
    /// The store failed and certainly did nothing.
    #[error("the store did nothing: {message}")]
    NotDone {
        /// What it was about.
        message: String,
        /// The driver's error, if there was one.
        source: Option<Source>,
    },
    /// The store failed and may have done it all, or nothing.
    #[error("it is not known whether the store did it: {message}")]
    Unknown {
        /// What it was about.
        message: String,
        /// The driver's error, if there was one.
        source: Option<Source>,
    },
    /// What is stored has a newer format than this version of the crate knows; nothing happened.
    #[error("the store holds format {found} and this version knows {known}: upgrade it")]
    UpgradeNeeded {
        /// The format that is stored.
        found: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// What is stored for this client cannot be read; nothing happened.
    #[error("what is stored for the client cannot be read: {message}")]
    Corrupt {
        /// What is wrong with it.
        message: String,
        /// The parser's error, if there was one.
        source: Option<Source>,
    },
}

impl From<DocumentError> for StoreError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Newer { found, known } => Self::UpgradeNeeded { found, known },
            other => Self::Corrupt { message: other.to_string(), source: None },
        }
    }
}

impl StoreError {
    /// The store certainly did nothing.
    pub fn not_done(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::NotDone { message: message.into(), source: Some(source.into()) }
    }

    /// The store may have done it.
    pub fn unknown(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unknown { message: message.into(), source: Some(source.into()) }
    }

    /// What is stored cannot be read.
    pub fn corrupt(message: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Corrupt { message: message.into(), source: Some(source.into()) }
    }

    /// The same error, which says whose it is where it is one client's: of many that were looked through.
    #[must_use]
    pub fn of_client(self, client: &str) -> Self {
        match self {
            Self::Corrupt { message, source } => Self::Corrupt { message: format!("{client}: {message}"), source },
            other => other,
        }
    }

    /// The same error for another request of the same batch. Its cause is told by its text.
    #[must_use]
    pub fn again(&self) -> Self {
        let cause = |source: &Option<Source>| source.as_ref().map(|source| Source::from(source.to_string()));
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::PlanChanged(version) => Self::PlanChanged(*version),
            Self::NotDone { message, source } => Self::NotDone { message: message.clone(), source: cause(source) },
            Self::Unknown { message, source } => Self::Unknown { message: message.clone(), source: cause(source) },
            Self::UpgradeNeeded { found, known } => Self::UpgradeNeeded { found: *found, known: *known },
            Self::Corrupt { message, source } => Self::Corrupt { message: message.clone(), source: cause(source) },
        }
    }
}
