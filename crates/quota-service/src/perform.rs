//! How an operation gets to the store.

use std::sync::Arc;

use tracing::Instrument;

use quota_core::{Answer, ClientId, Decision, Instant, Operation, PlanCheck, Refusal};

use crate::deadline::within;
use crate::error::ServiceError;
use crate::guard::GuardSeed;
use crate::lanes::Reply;
use crate::service::Inner;
use crate::slip::Queued;
use crate::store::{PlanStamp, PlanView, Request, UsageStore};
use crate::store_error::StoreError;

/// How often an operation is tried while the client's plan changes under it. Each lost try means that someone's change
/// was done in between, so a small number would fail operations of a client whose plan is set again and again.
const MAX_TRIES: usize = 1_000;

impl<S: UsageStore> Inner<S> {
    /// Sends an operation to the store, with the client's plan if it is decided by one.
    pub(crate) async fn perform(&self, client: &ClientId, operation: Operation) -> Result<Reply, ServiceError> {
        if is_planned(&operation) {
            return self.decide_on(client, &operation, None, None).await;
        }
        let span = span(client, &operation);
        let performed = async {
            let at = self.begin(None).await?;
            let request = Request { client: client.clone(), operation, at, asked: at, plan: no_plan() };
            self.send(request, None, self.deadline_from_now()).await
        };
        performed.instrument(span).await
    }

    /// Sends an operation that is decided by the client's plan.
    pub(crate) async fn decide_on(
        &self,
        client: &ClientId,
        operation: &Operation,
        at: Option<Instant>,
        seed: Option<&GuardSeed>,
    ) -> Result<Reply, ServiceError> {
        let (span, mut begun) = (span(client, operation), None);
        if span.is_disabled()
            && let Some(queued) = self.queue_now(client, operation, at, seed)
        {
            let (began, queued) = queued?;
            match queued.await {
                Ok(reply) if self.is_of_another_plan(client, &reply) => begun = Some(began),
                Ok(reply) if is_told_nothing(&reply) => {
                    return Ok(Box::pin(self.told_anew(client, reply, began.deadline)).await);
                }
                answered => return answered,
            }
        }
        // Boxed, so that the way taken most often is a small future.
        let deciding = self.decide_in_span(client, operation, at, seed, begun);
        Box::pin(deciding.instrument(span)).await
    }

    /// Queues an operation where nothing has to be asked for, neither its plan nor the server's time.
    fn queue_now(
        &self,
        client: &ClientId,
        operation: &Operation,
        at: Option<Instant>,
        seed: Option<&GuardSeed>,
    ) -> Option<Result<(Begun, Queued<'_>), ServiceError>> {
        let lanes = self.lanes.as_ref()?;
        if let Err(error) = self.check_running() {
            return Some(Err(error));
        }
        let now = tokio::time::Instant::now();
        let is_present = at.is_none();
        let at = match self.instant_now(at, now)? {
            Ok(at) => at,
            Err(error) => return Some(Err(error)),
        };
        let plan = self.plans.view_now(client, if is_present { at } else { self.clock.now() })?;
        note_asked(seed.filter(|_| is_present), at);
        let (asked, deadline) = (if is_present { at } else { self.present() }, now + self.deadline);
        let request = Request { client: client.clone(), operation: operation.clone(), at, asked, plan };
        let queued = lanes.enqueue(request, seed.cloned().map(Box::new), deadline);
        Some(queued.map(|queued| (Begun { at, asked, deadline }, queued)))
    }

    async fn decide_in_span(
        &self,
        client: &ClientId,
        operation: &Operation,
        at: Option<Instant>,
        seed: Option<&GuardSeed>,
        begun: Option<Begun>,
    ) -> Result<Reply, ServiceError> {
        let Begun { at, asked, deadline } = match begun {
            Some(begun) => begun,
            None => {
                let is_present = at.is_none();
                let at = self.begin(at).await?;
                note_asked(seed.filter(|_| is_present), at);
                let asked = if is_present { at } else { self.present() };
                Begun { at, asked, deadline: self.deadline_from_now() }
            }
        };
        let request = |plan| Request { client: client.clone(), operation: operation.clone(), at, asked, plan };
        for _ in 0..MAX_TRIES {
            let plan = match self.plans.view(client, self.clock.now(), deadline).await {
                Ok(plan) => plan,
                Err(untold) if ends_hold(operation) => {
                    // Asking for the plan may have taken all of the time.
                    let reply = self.send(request(no_plan()), seed, self.deadline_from_now()).await?;
                    return if is_unplanned(&reply) { Err(untold) } else { Ok(reply) };
                }
                Err(untold) => return Err(untold),
            };
            let reply = self.send(request(plan), seed, deadline).await?;
            if is_told_nothing(&reply) {
                return Ok(self.told_anew(client, reply, deadline).await);
            }
            if !self.is_of_another_plan(client, &reply) {
                return Ok(reply);
            }
        }
        Err(ServiceError::PlanKeepsChanging)
    }

    /// With where the quotas stand under the client's plan, which is not the one that its hold was ended with. What can't be told does
    /// not undo it.
    async fn told_anew(&self, client: &ClientId, mut reply: Reply, deadline: tokio::time::Instant) -> Reply {
        let status = Box::pin(self.perform(client, Operation::Status));
        if let Ok(Answer::Decision(Decision::Allowed(allowed))) = &mut reply.answer
            && let Ok(Ok(Reply { answer: Ok(Answer::Status(status)), .. })) =
                tokio::time::timeout_at(deadline, status).await
        {
            *allowed = allowed.clone().with_quotas(status.quotas().clone());
        }
        reply
    }

    /// Whether the client's plan was changed meanwhile: then it is asked for anew.
    fn is_of_another_plan(&self, client: &ClientId, reply: &Reply) -> bool {
        let Err(StoreError::PlanChanged(version)) = &reply.answer else { return false };
        self.instruments.plan_changed();
        self.plans.forget_unless(client, *version);
        true
    }

    /// The instant of an operation that is about to be sent.
    async fn begin(&self, at: Option<Instant>) -> Result<Instant, ServiceError> {
        self.check_running()?;
        self.follow_server().await?;
        self.instant(at)
    }

    pub(crate) fn deadline_from_now(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.deadline
    }

    /// Sends a request to the store. It is queued at once, so that who waits for its answer is a small future.
    pub(crate) fn send(
        &self,
        request: Request,
        seed: Option<&GuardSeed>,
        deadline: tokio::time::Instant,
    ) -> impl Future<Output = Result<Reply, ServiceError>> + Send {
        let sent = match &self.lanes {
            Some(lanes) => Ok(lanes.enqueue(request, seed.cloned().map(Box::new), deadline)),
            None => Err(Box::pin(self.apply(request, seed.cloned()))),
        };
        async move {
            match sent {
                Ok(queued) => queued?.await,
                Err(applied) => applied.await,
            }
        }
    }

    /// Has a store apply a request that wants no lanes.
    async fn apply(&self, request: Request, seed: Option<GuardSeed>) -> Result<Reply, ServiceError> {
        let id = request.operation.id().cloned();
        let begun = std::time::Instant::now();
        let applied = within(self.deadline, self.store.apply(vec![request])).await;
        self.instruments.batch(1, begun.elapsed());
        let answer = applied.ok().and_then(|answers| answers.into_iter().next());
        if let (Some(seed), None | Some(Err(StoreError::Unknown { .. }))) = (seed, &answer) {
            Arc::clone(&seed.ender).lost(seed);
        }
        answer.map(|answer| Reply { answer, guard: None }).ok_or(ServiceError::Unknown { id, source: None })
    }
}

/// When an operation was begun, and until when it waits.
struct Begun {
    at: Instant,
    asked: Instant,
    deadline: tokio::time::Instant,
}

/// It is asked once.
fn note_asked(seed: Option<&GuardSeed>, at: Instant) {
    if let Some(seed) = seed {
        let _ = seed.asked_at.set(at);
    }
}

fn span(client: &ClientId, operation: &Operation) -> tracing::Span {
    tracing::debug_span!("quota", operation = operation.name(), %client)
}

const fn is_planned(operation: &Operation) -> bool {
    !matches!(
        operation,
        Operation::Void { .. }
            | Operation::Delete { .. }
            | Operation::Backfill { .. }
            | Operation::SetPlan { .. }
            | Operation::RemovePlan
    )
}

/// Whether it is about a hold that, while it is active, needs no plan.
const fn ends_hold(operation: &Operation) -> bool {
    matches!(operation, Operation::Extend { .. } | Operation::Settle { .. } | Operation::Release { .. })
}

/// Whether it has ended a hold under another plan than the client's.
fn is_told_nothing(reply: &Reply) -> bool {
    matches!(&reply.answer, Ok(Answer::Decision(Decision::Allowed(allowed))) if allowed.plan_changed())
}

/// Whether a plan would have been needed.
const fn is_unplanned(reply: &Reply) -> bool {
    matches!(reply.answer, Err(StoreError::Refused(Refusal::UnknownClient)))
}

const fn no_plan() -> PlanView {
    PlanView { plan: None, check: PlanCheck::Any, stamp: PlanStamp::ONCE }
}
