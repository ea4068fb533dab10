//! A charge for what may turn out not to be charged.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{ClientId, OperationId};
use quota_service::ServiceError;
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
    id: OperationId,
    /// Whether a drop takes the charge back.
    is_armed: bool,
}

impl Trial {
    pub(crate) fn new(meter: &Arc<Meter>, client: &ClientId, route: &Arc<Route>, id: OperationId) -> Self {
        Self { meter: Arc::clone(meter), client: client.clone(), route: Arc::clone(route), id, is_armed: true }
    }

    /// The id of the charge.
    pub(crate) const fn id(&self) -> &OperationId {
        &self.id
    }

    /// Lets the charge stand from here on, unless [`Trial::take_back`] says otherwise.
    pub(crate) const fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// Lets the charge stand for good.
    pub(crate) fn let_stand(mut self) {
        self.disarm();
    }

    /// Takes the charge back and waits for that; whether it was done. It goes on if nobody waits any more.
    pub(crate) async fn take_back(mut self) -> bool {
        self.disarm();
        to_its_end(self.void(&[])).await.unwrap_or(false)
    }

    /// Tries again after these pauses, where the store does not answer.
    fn void(&self, pauses: &'static [Duration]) -> impl Future<Output = bool> + Send + 'static {
        let (meter, client, route, id) =
            (Arc::clone(&self.meter), self.client.clone(), Arc::clone(&self.route), self.id.clone());
        async move {
            let mut voided = meter.service.void(&client, &id).await;
            for pause in pauses {
                if !matches!(&voided, Err(error) if may_be_tried_again(error)) {
                    break;
                }
                tokio::time::sleep(*pause).await;
                voided = meter.service.void(&client, &id).await;
            }
            if let Err(error) = &voided {
                let (route, error): (_, &dyn Error) = (route.pattern(), error);
                tracing::warn!(%client, route, error, "a request that was not to be charged stays charged");
            }
            voided.is_ok()
        }
    }
}

/// While nobody waits for it: a store that did not answer the charge may not answer what comes next either.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

const fn may_be_tried_again(error: &ServiceError) -> bool {
    error.is_store_failure() || matches!(error, ServiceError::Overloaded)
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
            runtime.spawn(self.void(&PAUSES).in_current_span());
        }
    }
}
