//! Charging clients.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{
    Answer, Asker, ClientId, Credits, Decision, EntryId, Instant, Label, Operation, OperationId, Refusal, Ttl,
};

use crate::builder::OnStoreError;
use crate::charge::Charge;
use crate::claims::Claims;
use crate::clock::Clock;
use crate::denials::Denials;
use crate::error::{ServiceError, cause};
use crate::guard::{GuardSeed, HoldEnder, Holding};
use crate::instruments::Instruments;
use crate::lanes::{Lanes, Reply};
use crate::made_id;
use crate::plans::Plans;
use crate::server_clock::ServerClock;
use crate::store::{PlainCharge, UsageStore};
use crate::store_error::StoreError;

/// Charges clients against their quotas, in whatever store. Clones share everything.
///
/// Every operation is one step: it happens whole or not at all, over all of the client's quotas, in any number of
/// processes. The present comes from the service's clock; [`Charge::with_at`] gives another instant.
///
/// A future that is dropped while its operation is queued withdraws it. Once sent to the store it runs to its end.
pub struct QuotaService<S> {
    pub(crate) inner: Arc<Inner<S>>,
}

pub(crate) struct Inner<S> {
    pub(crate) store: Arc<S>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The server's time, if the application tells it.
    pub(crate) reference: Option<Arc<dyn Clock>>,
    /// The server's time, if the store is asked.
    pub(crate) server: Option<Arc<ServerClock>>,
    /// The service's own clock is the server's.
    pub(crate) follows_server: bool,
    pub(crate) max_ahead: Duration,
    pub(crate) deadline: Duration,
    pub(crate) on_store_error: OnStoreError,
    pub(crate) lanes: Option<Lanes>,
    pub(crate) instruments: Instruments,
    pub(crate) claims: Claims,
    /// Who asks for its holds, among all processes.
    pub(crate) asker: Asker,
    /// Why clients were refused last, if the application asked for it.
    pub(crate) denials: Option<Denials>,
    pub(crate) shut_down: AtomicBool,
}

impl<S: UsageStore> QuotaService<S> {
    /// Charges a client now, if every finite quota of its plan has the credits.
    ///
    /// # Errors
    /// [`ServiceError`] where it could not be told; a denial is [`Decision::Denied`].
    pub async fn charge(&self, client: &ClientId, cost: Credits) -> Result<Decision, ServiceError> {
        let inner = &*self.inner;
        if let Some(decision) = inner.charge_now(client, cost, None) {
            return Ok(decision);
        }
        // Boxed, so that the way taken most often is a small future.
        Box::pin(inner.charge(client, Charge::new(cost))).await
    }

    /// Charges a client for what `charge` says.
    ///
    /// # Errors
    /// As for [`QuotaService::charge`]; [`Refusal::IdConflict`] where the id is taken by another operation.
    pub async fn charge_with(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        let inner = &*self.inner;
        if charge.id.is_none()
            && charge.at.is_none()
            && let Some(decision) = inner.charge_now(client, charge.credits, charge.label.as_ref())
        {
            return Ok(decision);
        }
        Box::pin(inner.charge(client, charge)).await
    }

    /// Records usage that has happened, without a check: it may lead into debt.
    ///
    /// # Errors
    /// As for [`QuotaService::charge_with`].
    pub async fn record(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        self.inner.record(client, charge).await
    }

    /// Sets credits aside for `ttl`, if every finite quota has them. The charge's id is the hold's; one is made where
    /// it has none.
    ///
    /// # Errors
    /// As for [`QuotaService::charge_with`]; [`Refusal::TooManyHolds`].
    pub async fn hold(&self, client: &ClientId, charge: Charge, ttl: Ttl) -> Result<Holding, ServiceError> {
        let inner = &self.inner;
        let id = match charge.entry_id(made_id::operation_id) {
            EntryId::Absent => return Err(Refusal::IdRequired.into()),
            id => id,
        };
        let Some(known) = id.as_id().cloned() else { return Err(Refusal::IdRequired.into()) };
        let _trying = matches!(id, EntryId::Given(_)).then(|| inner.trying(client, &known));
        let ender: Arc<dyn HoldEnder> = self.inner.clone();
        let seed = GuardSeed {
            ender,
            client: client.clone(),
            id: known,
            credits: charge.credits,
            ttl,
            label: charge.label.clone(),
            is_given: matches!(id, EntryId::Given(_)),
            asked_at: Arc::default(),
        };
        let operation =
            Operation::Hold { credits: charge.credits, id, ttl, label: charge.label, asker: Some(inner.asker) };
        let replied = inner.decide_on(client, &operation, charge.at, Some(&seed)).await;
        let (answer, guard) = match replied {
            Ok(Reply { answer, guard }) => (inner.decision(answer, &seed.id), guard),
            Err(error) => (Err(error), None),
        };
        let answer = inner.open(answer);
        inner.instruments.charged(&answer);
        if let Ok(decision) = &answer {
            inner.note(client, decision);
        }
        Ok(match (answer?, guard) {
            (Decision::Denied(denied), _) => Holding::Denied(denied),
            (Decision::Allowed(_), Some(guard)) => Holding::Held(guard.received()),
            (decision @ Decision::Allowed(_), None) => Holding::Held(seed.guard(decision)),
            (decision @ Decision::Unchecked, _) => Holding::Unchecked(seed.guard(decision)),
        })
    }

    /// Lets an active hold expire `ttl` from now.
    ///
    /// # Errors
    /// [`Refusal::HoldNotActive`] where it expired or ended; otherwise as for [`QuotaService::charge`].
    pub async fn extend(&self, client: &ClientId, id: &OperationId, ttl: Ttl) -> Result<Decision, ServiceError> {
        self.inner.end(client, Operation::Extend { id: id.clone(), ttl, at: None, at_least: false }).await
    }

    /// Ends an active hold and charges what it did cost, at the hold's instant. Settled before for the same cost, it is allowed
    /// and replayed.
    ///
    /// # Errors
    /// [`Refusal::HoldNotActive`] where it expired or was released, [`Refusal::IdConflict`] where it was settled for another
    /// cost; otherwise as for [`QuotaService::charge`].
    pub async fn settle(&self, client: &ClientId, id: &OperationId, cost: Credits) -> Result<Decision, ServiceError> {
        self.inner.end(client, Operation::Settle { id: id.clone(), credits: cost }).await
    }

    /// Ends an active hold without a charge.
    ///
    /// # Errors
    /// [`Refusal::HoldNotActive`] where it expired or ended; otherwise as for [`QuotaService::charge`].
    pub async fn release(&self, client: &ClientId, id: &OperationId) -> Result<Decision, ServiceError> {
        self.inner.end(client, Operation::Release { id: id.clone(), at: None, asker: None }).await
    }

    /// Takes nothing more, sends what is queued, releases the holds of guards that still live, and waits until all
    /// of it is answered. Operations asked for later answer [`ServiceError::ShutDown`].
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.shut_down.store(true, Ordering::SeqCst);
        for (key, owed) in inner.claims.take() {
            inner.pay(key, owed);
        }
        if let Some(lanes) = &inner.lanes {
            lanes.shutdown().await;
            inner.release_the_rest().await;
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.inner.store
    }

    /// The present instant of the service's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.inner.clock.now()
    }
}

impl<S: UsageStore> Inner<S> {
    /// Decides without waiting, if the store has all that it takes and nothing is out of the ordinary. The answer is
    /// handed through as it is: each copy of it would cost as much as the decision.
    #[inline]
    pub(crate) fn charge_now(&self, client: &ClientId, credits: Credits, label: Option<&Label>) -> Option<Decision> {
        if self.lanes.is_some() || self.reference.is_some() || self.shut_down.load(Ordering::Relaxed) {
            return None;
        }
        let charge = PlainCharge { client, credits, label, at: self.clock.now(), plans: self.plans.now() };
        let decision = self.store.charge_now(&charge);
        if let Some(decision) = &decision {
            self.instruments.decided(decision);
            self.note(client, decision);
        }
        decision
    }

    async fn charge(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        let (id, at) = (self.entry_id(&charge), charge.at);
        self.spend(client, &Operation::Charge { credits: charge.credits, id, label: charge.label }, at).await
    }

    pub(crate) async fn record(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        let (id, at) = (self.entry_id(&charge), charge.at);
        self.spend(client, &Operation::Record { credits: charge.credits, id, label: charge.label }, at).await
    }

    fn note(&self, client: &ClientId, decision: &Decision) {
        if let Some(denials) = &self.denials {
            denials.note(client, decision);
        }
    }

    /// Decides what is counted as a charge.
    async fn spend(
        &self,
        client: &ClientId,
        operation: &Operation,
        at: Option<Instant>,
    ) -> Result<Decision, ServiceError> {
        let answer = self.decide(client, operation, at).await;
        self.instruments.charged(&answer);
        if let Ok(decision) = &answer {
            self.note(client, decision);
        }
        answer
    }

    pub(crate) async fn end(&self, client: &ClientId, operation: Operation) -> Result<Decision, ServiceError> {
        self.decide(client, &operation, None).await
    }

    /// A store that decides at once leaves nothing unknown, so nobody needs an id to ask what became of it.
    fn entry_id(&self, charge: &Charge) -> EntryId {
        charge.entry_id(|| self.lanes.as_ref().and_then(|_| made_id::operation_id()))
    }

    async fn decide(
        &self,
        client: &ClientId,
        operation: &Operation,
        at: Option<Instant>,
    ) -> Result<Decision, ServiceError> {
        let answer = match self.decide_on(client, operation, at, None).await {
            Ok(reply) => match reply.answer {
                Ok(Answer::Decision(decision)) => Ok(decision),
                Ok(other) => Err(unexpected(&other)),
                Err(error) => Err(failed(error, operation.id().cloned())),
            },
            Err(error) => Err(error),
        };
        self.open(answer)
    }

    fn decision(&self, answer: Result<Answer, StoreError>, id: &OperationId) -> Result<Decision, ServiceError> {
        match answer {
            Ok(Answer::Decision(decision)) => Ok(decision),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(failed(error, Some(id.clone()))),
        }
    }

    /// Lets an operation pass unchecked where the store failed and the application chose so.
    fn open(&self, answer: Result<Decision, ServiceError>) -> Result<Decision, ServiceError> {
        match answer {
            Err(error) if self.on_store_error == OnStoreError::FailOpen && error.is_store_failure() => {
                tracing::warn!(error = cause(&error), "unchecked: the store could not answer");
                self.instruments.let_pass();
                Ok(Decision::Unchecked)
            }
            answer => answer,
        }
    }

    pub(crate) fn check_running(&self) -> Result<(), ServiceError> {
        if self.shut_down.load(Ordering::SeqCst) { Err(ServiceError::ShutDown) } else { Ok(()) }
    }
}

/// What a store's error means for the operation with this id.
pub(crate) fn failed(error: StoreError, id: Option<OperationId>) -> ServiceError {
    match error {
        StoreError::Refused(refusal) => ServiceError::Refused(refusal),
        StoreError::Unknown { .. } => ServiceError::Unknown { id, source: Some(error) },
        _ => ServiceError::NotDone { source: error },
    }
}

/// A store that answers another question than it was asked.
pub(crate) fn unexpected(answer: &Answer) -> ServiceError {
    let message = format!("the store answered another question: {answer:?}");
    ServiceError::Unknown { id: None, source: Some(StoreError::Unknown { message, source: None }) }
}

impl<S> Clone for QuotaService<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S> fmt::Debug for QuotaService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaService")
            .field("plans", &self.inner.plans)
            .field("lanes", &self.inner.lanes)
            .field("deadline", &self.inner.deadline)
            .field("on_store_error", &self.inner.on_store_error)
            .finish_non_exhaustive()
    }
}
