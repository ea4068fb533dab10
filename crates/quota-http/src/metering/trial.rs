//! A charge for what may turn out not to be charged.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{ClientId, Decision, Instant, OperationId};
use quota_service::{HoldGuard, ServiceError};
use tokio::runtime::Handle;
use tracing::Instrument;
use uuid::Uuid;

use crate::metering::meter::Meter;
use crate::metering::routes::Route;
use crate::task::to_its_end;

/// A charge that may be taken back: of which it is not known whether a handler answers and not a 405, or whether it
/// succeeds. Dropped while it is armed (the client has gone), it is taken back.
pub(crate) struct Trial {
    meter: Arc<Meter>,
    client: ClientId,
    route: Arc<Route>,
    charge: Made,
    /// Whether a drop takes the charge back.
    is_armed: bool,
}

/// A charge that may have been made, and that is one request's whatever stands under its id.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    id: OperationId,
    /// When the charge counts, where its id may be another's as soon as it is taken back. A made one is nobody else's.
    at: Option<Instant>,
}

impl Made {
    /// Under an id that was made for it.
    pub(crate) const fn under(id: OperationId) -> Self {
        Self { id, at: None }
    }

    /// Of what this request was told that it holds, under its key: it counts when it was held. None where it was told nothing.
    pub(crate) fn of_hold(held: &HoldGuard) -> Option<Self> {
        counted_at(held.decision()).map(|at| Self { id: held.id().clone(), at: Some(at) })
    }
}

const fn counted_at(decision: &Decision) -> Option<Instant> {
    match decision {
        Decision::Allowed(allowed) => Some(allowed.counted_at()),
        Decision::Denied(_) | Decision::Unchecked => None,
    }
}

impl Trial {
    pub(crate) fn new(meter: &Arc<Meter>, client: &ClientId, route: &Arc<Route>, charge: Made) -> Self {
        Self { meter: Arc::clone(meter), client: client.clone(), route: Arc::clone(route), charge, is_armed: true }
    }

    /// Of a charge under a request's key: only that one is taken back, and not what the next request pays under the same key.
    pub(crate) fn of(mut self, charged: &Decision) -> Self {
        self.charge.at = counted_at(charged);
        self
    }

    /// The id of the charge.
    pub(crate) const fn id(&self) -> &OperationId {
        &self.charge.id
    }

    /// Lets the charge stand from here on, unless [`Trial::take_back`] says otherwise.
    pub(crate) const fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// Lets the charge stand for good.
    pub(crate) fn let_stand(mut self) {
        self.disarm();
    }

    /// Takes the charge back and waits for that; whether it was done. It goes on if nobody waits any more, and is tried again
    /// where the store does not answer, for which nobody waits.
    pub(crate) async fn take_back(self) -> bool {
        self.take_back_once(true).await
    }

    /// Takes the charge back and waits for that, or lets it stand for good; whether it was taken back.
    pub(crate) async fn take_back_or_let_stand(self) -> bool {
        self.take_back_once(false).await
    }

    async fn take_back_once(mut self, tries_again: bool) -> bool {
        self.disarm();
        let once = async move {
            let voided = self.void().await;
            // Armed, it goes on when it is dropped.
            self.is_armed = tries_again && may_be_tried_again(&voided);
            if !self.is_armed {
                self.log(&voided);
            }
            voided.is_ok()
        };
        to_its_end(once).await.unwrap_or(false)
    }

    /// One try.
    fn void(&self) -> impl Future<Output = Result<bool, ServiceError>> + Send + 'static {
        let (meter, client, Made { id, at }) = (Arc::clone(&self.meter), self.client.clone(), self.charge.clone());
        async move {
            match at {
                Some(at) => meter.service.void_at(&client, &id, at).await,
                None => meter.service.void(&client, &id).await,
            }
        }
    }

    /// Tries until the store answers, or to no avail; nobody waits for it.
    async fn void_in_the_end(self) {
        let mut voided = self.void().await;
        for pause in PAUSES {
            if !may_be_tried_again(&voided) {
                break;
            }
            tokio::time::sleep(pause).await;
            voided = self.void().await;
        }
        self.log(&voided);
    }

    fn log(&self, voided: &Result<bool, ServiceError>) {
        if let Err(error) = voided {
            let (client, route, error): (_, _, &dyn Error) = (&self.client, self.route.pattern(), error);
            tracing::warn!(%client, route, error, "a request that was not to be charged stays charged");
        }
    }
}

/// While nobody waits for it: a store that did not answer the charge may not answer what comes next either.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

const fn may_be_tried_again(voided: &Result<bool, ServiceError>) -> bool {
    matches!(voided, Err(error) if error.is_store_failure() || matches!(error, ServiceError::Overloaded))
}

/// An id for a charge that has none.
pub(crate) fn made_id() -> Option<OperationId> {
    OperationId::new(Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer())).ok()
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        // Without a runtime there is nobody to do it, and no server either.
        if let Ok(runtime) = Handle::try_current() {
            let mut trial = Self::new(&self.meter, &self.client, &self.route, self.charge.clone());
            trial.disarm();
            runtime.spawn(trial.void_in_the_end().in_current_span());
        }
    }
}
