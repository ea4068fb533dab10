//! What the service does to the holds of its guards.

use async_trait::async_trait;
use futures_util::FutureExt;
use quota_core::{ClientId, Credits, Decision, Operation, OperationId, Refusal, Ttl};

use crate::charge::Charge;
use crate::claims::{Key, Parting};
use crate::deadline::within;
use crate::error::{ServiceError, cause};
use crate::guard::{GuardSeed, HoldEnder, Settled};
use crate::lane::log_release;
use crate::lanes::release_request;
use crate::service::Inner;
use crate::store::UsageStore;

impl<S: UsageStore> Inner<S> {
    /// Neither waits nor fails: at worst the hold's ttl ends it.
    pub(crate) fn release_later(&self, client: ClientId, id: OperationId) {
        let request = release_request(client.clone(), id.clone(), self.present());
        let Some(lanes) = &self.lanes else {
            if self.store.apply(vec![request]).now_or_never().is_none() {
                tracing::warn!("a hold is left to its ttl: the store said it decides at once and did not");
            }
            return;
        };
        if !lanes.release_later(request) {
            self.claims.owe((client, id));
        }
    }

    /// Notes that a call asks for this hold, perhaps again, until what it yields drops.
    pub(crate) fn trying(&self, client: &ClientId, id: &OperationId) -> Trying<'_, S> {
        let key = (client.clone(), id.clone());
        self.claims.try_begins(key.clone());
        Trying { inner: self, key }
    }

    /// Releases, past the lanes that have stopped, the holds of guards that were made or dropped while they did.
    pub(crate) async fn release_the_rest(&self) {
        for (client, id) in self.claims.take() {
            let request = release_request(client, id, self.present());
            match within(self.deadline, self.store.apply(vec![request])).await {
                Ok(answers) => answers.iter().for_each(log_release),
                Err(error) => {
                    tracing::warn!(error = cause(&error), "holds were not released and are left to their ttl");
                    return;
                }
            }
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
        self.claims.guard_made((seed.client.clone(), seed.id.clone()));
    }

    fn dropped(&self, seed: &GuardSeed, parting: Parting) {
        let key = (seed.client.clone(), seed.id.clone());
        if self.claims.guard_dropped(&key, parting) {
            self.release_later(key.0, key.1);
        }
    }
}

/// A call that asks for a hold by an id that was given.
pub(crate) struct Trying<'a, S: UsageStore> {
    inner: &'a Inner<S>,
    key: Key,
}

impl<S: UsageStore> Drop for Trying<'_, S> {
    fn drop(&mut self) {
        if self.inner.claims.try_ends(&self.key) {
            self.inner.release_later(self.key.0.clone(), self.key.1.clone());
        }
    }
}
