//! A charge for what may turn out to be a 405.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use quota_core::{ClientId, OperationId};
use tokio::runtime::Handle;
use tracing::Instrument;
use uuid::Uuid;

use crate::layer::Base;
use crate::routes::Route;

/// A charge of which it is not known whether a handler answers and not a 405. Dropped before the request went on (the
/// client has gone), it is taken back: nothing has run for it.
pub(crate) struct Trial {
    base: Arc<Base>,
    client: ClientId,
    route: Arc<Route>,
    id: OperationId,
    /// Whether a drop takes the charge back.
    armed: bool,
}

impl Trial {
    pub(crate) fn new(base: &Arc<Base>, client: &ClientId, route: &Arc<Route>) -> Option<Self> {
        let id = OperationId::new(Uuid::now_v7().simple().encode_lower(&mut Uuid::encode_buffer())).ok()?;
        Some(Self { base: Arc::clone(base), client: client.clone(), route: Arc::clone(route), id, armed: true })
    }

    /// The id of the charge.
    pub(crate) const fn id(&self) -> &OperationId {
        &self.id
    }

    /// Lets the charge stand from here on, unless [`Trial::take_back`] says otherwise.
    pub(crate) const fn disarm(&mut self) {
        self.armed = false;
    }

    /// Takes the charge back and waits for that; whether it was done. It goes on if nobody waits any more.
    pub(crate) async fn take_back(mut self) -> bool {
        self.disarm();
        match Handle::try_current() {
            Ok(runtime) => runtime.spawn(self.void()).await.unwrap_or(false),
            Err(_) => self.void().await,
        }
    }

    fn void(&self) -> impl Future<Output = bool> + Send + 'static {
        let (base, client, route, id) =
            (Arc::clone(&self.base), self.client.clone(), Arc::clone(&self.route), self.id.clone());
        let void = async move {
            let voided = base.service.void(&client, &id).await;
            if let Err(error) = &voided {
                let (route, error): (_, &dyn Error) = (route.pattern(), error);
                tracing::warn!(%client, route, error, "a request that no handler answered stays charged");
            }
            voided.is_ok()
        };
        void.in_current_span()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // Without a runtime there is nobody to do it, and no server either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.void());
        }
    }
}
