//! What the service does to the holds of its guards.

use async_trait::async_trait;
use futures_util::FutureExt;
use quota_core::{ClientId, Credits, Decision, Instant, Operation, OperationId, Refusal, Ttl};

use crate::charge::Charge;
use crate::claims::{Key, Made, Parting};
use crate::deadline::within;
use crate::error::{ServiceError, cause};
use crate::flight::log_release;
use crate::guard::{GuardSeed, HoldEnder, Settled};
use crate::lanes::release_request;
use crate::service::Inner;
use crate::store::UsageStore;

impl<S: UsageStore> Inner<S> {
    /// Neither waits nor fails: at worst the hold's ttl ends it.
    pub(crate) fn pay(&self, key: Key, owed: Vec<Made>) {
        if !owed.iter().all(|made| self.release_later(&key, *made)) {
            self.claims.owe(key, owed);
        }
    }

    /// False where the lanes have stopped.
    fn release_later(&self, (client, id): &Key, made: Made) -> bool {
        let request = release_request(client.clone(), self.release_of(id.clone(), made), self.present());
        let Some(lanes) = &self.lanes else {
            if self.store.apply(vec![request]).now_or_never().is_none() {
                tracing::warn!("a hold is left to its ttl: the store said it decides at once and did not");
            }
            return true;
        };
        lanes.release_later(request)
    }

    const fn release_of(&self, id: OperationId, made: Made) -> Operation {
        let asker = if made.only_here { Some(self.asker) } else { None };
        Operation::Release { id, at: made.at, asker }
    }

    /// Notes that a call asks for this hold, perhaps again, until what it yields drops.
    pub(crate) fn trying(&self, client: &ClientId, id: &OperationId) -> Trying<'_, S> {
        let key = (client.clone(), id.clone());
        self.claims.try_begins(key.clone());
        Trying { inner: self, key }
    }

    /// Releases, past the lanes that have stopped, the holds of guards that were made or dropped while they did.
    pub(crate) async fn release_the_rest(&self) {
        // One at a time: what a caller who gives up has not released is left to the next shutdown.
        while let Some(((client, id), owed)) = self.claims.take_one() {
            let request = |made| release_request(client.clone(), self.release_of(id.clone(), made), self.present());
            match within(self.deadline, self.store.apply(owed.into_iter().map(request).collect())).await {
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

    async fn release(&self, seed: &GuardSeed, made: Made) -> Result<Decision, ServiceError> {
        self.end(&seed.client, self.release_of(seed.id.clone(), made)).await
    }

    async fn extend(&self, seed: &GuardSeed, at: Option<Instant>, ttl: Ttl) -> Result<Decision, ServiceError> {
        self.end(&seed.client, Operation::Extend { id: seed.id.clone(), ttl, at, at_least: false }).await
    }

    async fn renew(&self, seed: &GuardSeed, at: Option<Instant>) -> Result<Decision, ServiceError> {
        self.end(&seed.client, Operation::Extend { id: seed.id.clone(), ttl: seed.ttl, at, at_least: true }).await
    }

    fn lost(&self, seed: GuardSeed) {
        let asked_at = if seed.is_given { seed.asked_at.get().copied() } else { None };
        if seed.is_given && asked_at.is_none() {
            return;
        }
        let key = (seed.client, seed.id);
        let owed = self.claims.lost(&key, asked_at);
        self.pay(key, owed);
    }

    fn made(&self, seed: &GuardSeed, owes: Option<Made>) {
        self.claims.guard_made((seed.client.clone(), seed.id.clone()), owes);
    }

    fn changed(&self, seed: &GuardSeed, before: Option<Made>, owes: Option<Made>) {
        self.claims.guard_changed(&(seed.client.clone(), seed.id.clone()), before, owes);
    }

    fn dropped(&self, seed: &GuardSeed, owes: Option<Made>, parted: (Option<Instant>, Parting)) {
        let key = (seed.client.clone(), seed.id.clone());
        let owed = self.claims.guard_dropped(&key, owes, parted);
        self.pay(key, owed);
    }
}

/// A call that asks for a hold by an id that was given.
pub(crate) struct Trying<'a, S: UsageStore> {
    inner: &'a Inner<S>,
    key: Key,
}

impl<S: UsageStore> Drop for Trying<'_, S> {
    fn drop(&mut self) {
        let owed = self.inner.claims.try_ends(&self.key);
        self.inner.pay(self.key.clone(), owed);
    }
}
