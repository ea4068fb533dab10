//! What the service does to the holds of its guards.

use std::sync::PoisonError;

use async_trait::async_trait;
use futures_util::FutureExt;
use quota_core::{ClientId, Credits, Decision, Operation, OperationId, Refusal, Ttl};

use crate::charge::Charge;
use crate::error::ServiceError;
use crate::guard::{GuardSeed, HoldEnder, Settled};
use crate::lane::release_request;
use crate::service::Inner;
use crate::store::UsageStore;

impl<S: UsageStore> Inner<S> {
    /// Neither waits nor fails: at worst the hold's ttl ends it.
    pub(crate) fn release_later(&self, client: ClientId, id: OperationId) {
        let request = release_request(client, id, self.clock.now());
        match &self.lanes {
            Some(lanes) => lanes.release_later(request),
            None if self.store.apply(vec![request]).now_or_never().is_none() => {
                tracing::warn!("a hold is left to its ttl: the store said it decides at once and did not");
            }
            None => {}
        }
    }
}

#[async_trait]
impl<S: UsageStore> HoldEnder for Inner<S> {
    async fn settle(&self, seed: &GuardSeed, cost: Credits) -> Result<Settled, ServiceError> {
        let settle = Operation::Settle { id: seed.id.clone(), credits: cost };
        match self.end(&seed.client, settle).await {
            Ok(decision) => Ok(Settled::InTime(decision)),
            Err(ServiceError::Refused(Refusal::HoldNotActive { .. })) => {
                let mut late = Charge::new(cost).with_id(seed.id.clone());
                late.label.clone_from(&seed.label);
                self.record(&seed.client, late).await.map(Settled::Late)
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self, seed: &GuardSeed) -> Result<Decision, ServiceError> {
        self.end(&seed.client, Operation::Release { id: seed.id.clone() }).await
    }

    async fn extend(&self, seed: &GuardSeed, ttl: Ttl) -> Result<Decision, ServiceError> {
        self.end(&seed.client, Operation::Extend { id: seed.id.clone(), ttl }).await
    }

    fn made(&self, seed: &GuardSeed) {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.insert((seed.client.clone(), seed.id.clone()));
    }

    fn dropped(&self, seed: &GuardSeed, armed: bool) {
        let key = (seed.client.clone(), seed.id.clone());
        self.guards.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if armed {
            self.release_later(key.0, key.1);
        }
    }
}
