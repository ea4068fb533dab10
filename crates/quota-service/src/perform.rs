//! How an operation gets to the store.

use std::sync::Arc;

use tracing::Instrument;

use quota_core::{ClientId, Instant, Operation, PlanCheck, Refusal};

use crate::deadline::within;
use crate::error::ServiceError;
use crate::guard::GuardSeed;
use crate::lanes::Reply;
use crate::service::Inner;
use crate::store::{PlanStamp, PlanView, Request, UsageStore};
use crate::store_error::StoreError;

/// How often an operation is tried while the client's plan changes under it. Each lost try means that someone's change
/// was done in between, so a small number would fail operations of a client whose plan is set again and again.
const MAX_TRIES: usize = 1_000;

impl<S: UsageStore> Inner<S> {
    /// Sends an operation to the store, with the client's plan if it is decided by one.
    pub(crate) async fn perform(
        &self,
        client: &ClientId,
        operation: Operation,
        at: Option<Instant>,
        seed: Option<GuardSeed>,
    ) -> Result<Reply, ServiceError> {
        let span = tracing::debug_span!("quota", operation = operation.name(), %client);
        self.perform_planned(client, operation, at, seed).instrument(span).await
    }

    async fn perform_planned(
        &self,
        client: &ClientId,
        operation: Operation,
        at: Option<Instant>,
        seed: Option<GuardSeed>,
    ) -> Result<Reply, ServiceError> {
        self.check_running()?;
        self.follow_server().await?;
        let is_present = at.is_none();
        let at = self.instant(at)?;
        if let Some(seed) = seed.as_ref().filter(|_| is_present) {
            // It is asked once.
            let _ = seed.asked_at.set(at);
        }
        let deadline = tokio::time::Instant::now() + self.deadline;
        if !is_planned(&operation) {
            let request = Request { client: client.clone(), operation, at, plan: no_plan() };
            return self.send(request, seed, deadline).await;
        }
        for _ in 0..MAX_TRIES {
            let plan = match self.plans.view(client, self.clock.now()).await {
                Ok(plan) => plan,
                Err(untold) if ends_hold(&operation) => {
                    // Asking for the plan may have taken all of the time.
                    let deadline = tokio::time::Instant::now() + self.deadline;
                    let request = Request { client: client.clone(), operation, at, plan: no_plan() };
                    let reply = self.send(request, seed, deadline).await?;
                    return if is_unplanned(&reply) { Err(untold) } else { Ok(reply) };
                }
                Err(untold) => return Err(untold),
            };
            let request = Request { client: client.clone(), operation: operation.clone(), at, plan };
            let reply = self.send(request, seed.clone(), deadline).await?;
            match reply.answer {
                Err(StoreError::PlanChanged(version)) => {
                    self.instruments.plan_changed();
                    self.plans.forget_unless(client, version);
                }
                _ => return Ok(reply),
            }
        }
        Err(ServiceError::PlanKeepsChanging)
    }

    pub(crate) async fn send(
        &self,
        request: Request,
        seed: Option<GuardSeed>,
        deadline: tokio::time::Instant,
    ) -> Result<Reply, ServiceError> {
        if let Some(lanes) = &self.lanes {
            return lanes.submit(request, seed, deadline).await;
        }
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

/// Whether a plan would have been needed.
const fn is_unplanned(reply: &Reply) -> bool {
    matches!(reply.answer, Err(StoreError::Refused(Refusal::UnknownClient)))
}

const fn no_plan() -> PlanView {
    PlanView { plan: None, check: PlanCheck::Any, stamp: PlanStamp::ONCE }
}
