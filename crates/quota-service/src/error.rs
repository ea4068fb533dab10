//! Why the service could not say yes or no.

use std::error::Error;

use quota_core::{OperationId, Refusal};
use thiserror::Error as ThisError;

use crate::store_error::{Source, StoreError};

/// Why the service could not say yes or no. A denial is not an error: it is [`quota_core::Decision::Denied`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ServiceError {
    /// Refused for what was asked: an unknown client, an id that is taken, an overflow, a clock ahead. Nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not answer; certainly nothing happened. Safe to try again.
    #[error("nothing was done: the store could not answer")]
    NotDone {
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The deadline passed before the operation was sent to the store; certainly nothing happened. Safe to try again.
    #[error("nothing was done: the deadline passed while the operation was queued")]
    DeadlineQueued,
    /// It is not known whether the operation happened: the store failed, or did not answer before the deadline.
    /// Trying again with `id` finds out without a second charge, for as long as the store knows the id: while its entry is
    /// kept, or, where only quarters of an hour are, for 24 hours (the store's `with_ids_for`). One that was made for a charge
    /// or a record is for trying again at once: with quarters, Redis finds it for ten minutes at least, and not after
    /// twenty. Whoever may come back later gives an id of their own ([`crate::Charge::with_id`]).
    #[error("it is not known whether the operation was done{}", id_note(.id.as_ref()))]
    Unknown {
        /// The id of the operation: made for a hold, and, where the store takes batches, for a charge or a record, if the
        /// caller gave none. None for what has no id: a deletion or a plan is simply asked for again.
        id: Option<OperationId>,
        /// Why; none if the deadline passed.
        #[source]
        source: Option<StoreError>,
    },
    /// Too many operations are queued; nothing happened.
    #[error("nothing was done: too many operations are queued")]
    Overloaded,
    /// The service was shut down; nothing happened.
    #[error("nothing was done: the service is shut down")]
    ShutDown,
    /// The source of plans failed; nothing happened.
    #[error("nothing was done: the client's plan could not be read")]
    Plans(#[source] Source),
    /// The client's plan was changed again and again while the operation was tried; nothing happened.
    #[error("nothing was done: the client's plan keeps changing")]
    PlanKeepsChanging,
    /// Plans come from a source that this service cannot write to.
    #[error("plans are read-only here: change them at their source")]
    PlansReadOnly,
}

/// For a log: the error with its sources.
pub(crate) fn cause<E: Error + 'static>(error: &E) -> &(dyn Error + 'static) {
    error
}

fn id_note(id: Option<&OperationId>) -> String {
    id.map(|id| format!(": try again with the id {id}")).unwrap_or_default()
}

impl ServiceError {
    /// Whether the store (or the source of plans) failed to answer, which a service that fails open lets pass.
    #[must_use]
    pub const fn is_store_failure(&self) -> bool {
        matches!(
            self,
            Self::NotDone { source: StoreError::NotDone { .. } | StoreError::Unknown { .. } }
                | Self::DeadlineQueued
                | Self::Unknown { .. }
                | Self::Plans(_)
        )
    }
}
