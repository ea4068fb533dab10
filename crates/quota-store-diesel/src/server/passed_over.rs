//! Clients that a pruning could do nothing for.

use quota_core::ClientId;
use quota_service::StoreError;

use crate::failure::{Failure, Undone};
use crate::server::engine::{Engine, Fault};

/// After so many a pruning goes no further: each may have been waited for until its lock timed out.
const MOST: usize = 10;

/// Clients that a pruning could do nothing for, of which one keeps none of the others from it.
#[derive(Debug, Default)]
pub(crate) struct PassedOver {
    first: Option<StoreError>,
    clients: Vec<ClientId>,
}

impl PassedOver {
    /// Notes what became of one client.
    ///
    /// # Errors
    /// What is every client's, or that of the tenth.
    pub(crate) fn note<E: Engine>(&mut self, client: &ClientId, done: Result<(), Undone>) -> Result<(), StoreError> {
        let Err(undone) = done else { return Ok(()) };
        self.clients.push(client.clone());
        if self.clients.len() >= MOST || is_everyones::<E>(&undone) {
            return Err(undone.into());
        }
        tracing::warn!(client = client.as_str(), ?undone, "a client is passed over by a pruning");
        self.first.get_or_insert_with(|| StoreError::from(undone).of_client(client.as_str()));
        Ok(())
    }

    /// Whether something of a client may be left that was to be done before.
    pub(crate) fn has(&self, client: &ClientId) -> bool {
        self.clients.contains(client)
    }

    /// What was done for the others.
    ///
    /// # Errors
    /// The first client's that was passed over.
    pub(crate) fn or<T>(self, done: T) -> Result<T, StoreError> {
        self.first.map_or(Ok(done), Err)
    }
}

fn is_everyones<E: Engine>(undone: &Undone) -> bool {
    match undone {
        Undone::NotDone(Failure::Unconnected(_)) | Undone::Unknown(_) => true,
        Undone::NotDone(Failure::Database(error)) => matches!(E::fault(error), Fault::Lost | Fault::ReadOnly),
        Undone::NotDone(_) => false,
    }
}
