//! Plans, status, and reading and mending usage.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{
    Answer, Backfilled, ClientId, Credits, DayUsage, Denied, Instant, Operation, OperationId, PastEntry, Plan, Status,
    Window,
};

use crate::clock::{Clock, SystemClock};
use crate::deadline::within;
use crate::error::ServiceError;
use crate::made_id;
use crate::plans::{Origin, not_told};
use crate::service::{Inner, QuotaService, failed, unexpected};
use crate::store::{ClientsQuery, DailyQuery, EntriesPage, EntriesQuery, Pruned, Request, UsageStore};
use crate::store_error::StoreError;

/// For how long a retry finds the entry that it asks for again.
const KEEP_IDS: Duration = Duration::from_secs(24 * 3_600);

/// The greatest number of entries or clients in a page.
const MAX_PAGE: usize = 10_000;

impl<S: UsageStore> QuotaService<S> {
    /// Where a client's quotas stand. Changes nothing.
    ///
    /// # Errors
    /// [`quota_core::Refusal::UnknownClient`] without a plan; otherwise [`ServiceError`].
    pub async fn status(&self, client: &ClientId) -> Result<Status, ServiceError> {
        match self.inner.ask(client, Operation::Status).await? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Replaces a client's plan. What was used and is held counts in it at once, in every process if plans are stored.
    ///
    /// # Errors
    /// [`ServiceError::PlansReadOnly`] where plans come from a source or a file; [`quota_core::Refusal`] where the plan
    /// has no window now: the old plan then stays.
    pub async fn set_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError> {
        let inner = &self.inner;
        let plan = Arc::new(plan);
        let answer = match inner.plans.origin() {
            Origin::Store(_) => {
                let version = made_id::plan_version();
                let answer = inner.ask(client, Operation::SetPlan { plan: Arc::clone(&plan), version }).await;
                match &answer {
                    Ok(_) => inner.plans.learn(client, plan, version),
                    Err(_) => inner.plans.forget_unless(client, None),
                }
                answer?
            }
            Origin::Registry(registry) => {
                let answer = inner.status_under(client, Arc::clone(&plan)).await?;
                registry.set(client.clone(), plan);
                answer
            }
            Origin::Source(_) => return Err(ServiceError::PlansReadOnly),
        };
        match answer {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Where a client's quotas would stand if it had this plan now. Changes nothing.
    ///
    /// # Errors
    /// [`quota_core::Refusal`] where the plan has no window now; otherwise [`ServiceError`].
    pub async fn preview_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError> {
        match self.inner.status_under(client, Arc::new(plan)).await? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether plans can be set and removed through this service, and not only at their source.
    #[must_use]
    pub fn can_set_plans(&self) -> bool {
        !matches!(self.inner.plans.origin(), Origin::Source(_))
    }

    /// The last denials of a client that this process saw, the last one first, at most 20; none where the service does
    /// not remember them ([`crate::QuotaServiceBuilder::with_denials`]).
    #[must_use]
    pub fn denials(&self, client: &ClientId) -> Option<Vec<Denied>> {
        self.inner.denials.as_ref().map(|denials| denials.of(client))
    }

    /// Removes a client's plan. Its entries and holds stay.
    ///
    /// # Errors
    /// [`ServiceError::PlansReadOnly`] where plans come from a source or a file.
    pub async fn remove_plan(&self, client: &ClientId) -> Result<(), ServiceError> {
        let inner = &self.inner;
        match inner.plans.origin() {
            Origin::Store(_) => {
                let answer = inner.ask(client, Operation::RemovePlan).await;
                inner.plans.forget_unless(client, None);
                answer.map(|_| ())
            }
            Origin::Registry(registry) => {
                registry.remove(client);
                Ok(())
            }
            Origin::Source(_) => Err(ServiceError::PlansReadOnly),
        }
    }

    /// A client's plan.
    ///
    /// # Errors
    /// [`ServiceError::Plans`] where the source or the store fails; [`ServiceError::NotDone`] where what is stored
    /// cannot be read.
    pub async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, ServiceError> {
        let inner = &self.inner;
        match inner.plans.origin() {
            Origin::Store(store) => {
                let stored = within(inner.deadline, store.stored_plan(client)).await;
                let stored = stored.map_err(|elapsed| ServiceError::Plans(elapsed.into()))?;
                Ok(stored.map_err(not_told)?.plan)
            }
            _ => Ok(inner.plans.view(client, inner.clock.now(), inner.deadline_from_now()).await?.plan),
        }
    }

    /// Takes the entry with this id out of the ledger, as if it had not happened; false if there is none.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn void(&self, client: &ClientId, id: &OperationId) -> Result<bool, ServiceError> {
        self.void_if(client, id, None).await
    }

    /// The same where the entry counts at this instant ([`quota_core::Allowed::counted_at`]; one that was settled, at its hold's);
    /// false if there is none, or another. For whoever tries again: after the first try the id is free, and may be another
    /// entry's by the time of the second.
    ///
    /// # Errors
    /// [`ServiceError`]
    pub async fn void_at(&self, client: &ClientId, id: &OperationId, at: Instant) -> Result<bool, ServiceError> {
        self.void_if(client, id, Some(at)).await
    }

    async fn void_if(&self, client: &ClientId, id: &OperationId, at: Option<Instant>) -> Result<bool, ServiceError> {
        match self.inner.ask(client, Operation::Void { id: id.clone(), at }).await? {
            Answer::Voided(voided) => Ok(voided),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a client's entries in a range and says how many; their ids are free again. What was used follows at
    /// once. [`Window::ALL`] deletes everything.
    ///
    /// A large deletion is whole at once as well, and then its rows are taken out step by step while charges go on; this
    /// waits for that. Where it cannot be brought to its end, or the caller goes away, a pruning does it
    /// ([`QuotaService::prune`]).
    ///
    /// # Errors
    /// [`quota_core::Refusal::RangeNotAligned`] where the ledger keeps only quarters of an hour and the range cuts one.
    pub async fn delete_usage(&self, client: &ClientId, range: Window) -> Result<u64, ServiceError> {
        match self.inner.ask(client, Operation::Delete { range }).await? {
            Answer::Deleted(entries) => {
                if entries > 0
                    && let Err(error) = self.inner.store.finish_deletion(client).await
                {
                    tracing::warn!(%client, %error, "rows of what was deleted are left for the next pruning");
                }
                Ok(entries)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Adds past usage at its own instants, unchecked, at most [`Operation::MAX_BACKFILL`] entries. Entries that are
    /// there already are skipped, so it is safe to repeat.
    ///
    /// An entry may be as far ahead of the present as clocks are tolerated to be (`max_ahead`).
    ///
    /// # Errors
    /// [`quota_core::Refusal::EntryInFuture`], [`quota_core::Refusal::TooManyEntries`], otherwise [`ServiceError`].
    pub async fn backfill(&self, client: &ClientId, entries: Vec<PastEntry>) -> Result<Backfilled, ServiceError> {
        self.inner.follow_server().await?;
        let not_after = self.inner.instant(None)?.saturating_add(self.inner.max_ahead);
        match self.inner.ask(client, Operation::Backfill { entries, not_after }).await? {
            Answer::Backfilled(done) => Ok(done),
            other => Err(unexpected(&other)),
        }
    }

    /// The sum of a client's entries in a range.
    ///
    /// # Errors
    /// As for [`QuotaService::delete_usage`].
    pub async fn total_usage(&self, client: &ClientId, range: Window) -> Result<Credits, ServiceError> {
        let inner = &self.inner;
        inner.read(inner.store.total(client, range)).await
    }

    /// A client's usage by local calendar day; days without entries are left out.
    ///
    /// # Errors
    /// As for [`QuotaService::delete_usage`].
    pub async fn daily_usage(&self, client: &ClientId, query: DailyQuery) -> Result<Vec<DayUsage>, ServiceError> {
        let inner = &self.inner;
        inner.read(inner.store.daily(client, &query)).await
    }

    /// A page of a client's entries, at most 10,000.
    ///
    /// # Errors
    /// [`quota_core::Refusal::InvalidCursor`] where `after` is not a page's `next`; otherwise [`ServiceError::NotDone`].
    pub async fn entries(&self, client: &ClientId, mut query: EntriesQuery) -> Result<EntriesPage, ServiceError> {
        let inner = &self.inner;
        query.limit = query.limit.clamp(1, MAX_PAGE);
        inner.read(inner.store.entries(client, &query)).await
    }

    /// A page of the clients that have an account or a stored plan, at most 10,000.
    ///
    /// # Errors
    /// [`ServiceError::NotDone`]
    pub async fn clients(&self, mut query: ClientsQuery) -> Result<Vec<ClientId>, ServiceError> {
        let inner = &self.inner;
        query.limit = query.limit.clamp(1, MAX_PAGE);
        inner.read(inner.store.clients(&query)).await
    }

    /// Folds entries before `before` into sums for quarters of an hour. Gives no credits back. There is no deadline:
    /// it may take long, in steps that let charges pass.
    ///
    /// Entries of the last 24 hours stay, whatever `before` says: their ids make retries safe. By when they
    /// are of, not by when they were written: a hold that is settled a day after it was made, or usage that is recorded for so long
    /// ago, may be folded at once, and its id with it: who asks again for it then is charged again.
    ///
    /// # Errors
    /// [`ServiceError::NotDone`]; what was folded before stays so.
    pub async fn prune(&self, before: Instant) -> Result<Pruned, ServiceError> {
        self.inner.follow_server().await?;
        let a_day_ago = self.inner.present().saturating_sub(KEEP_IDS);
        self.inner.store.prune(before.min(a_day_ago)).await.map_err(|error| failed(error, None))
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`ServiceError::NotDone`]
    pub async fn health(&self) -> Result<(), ServiceError> {
        let inner = &self.inner;
        inner.read(inner.store.health()).await?;
        if let Some(server) = inner.read(inner.store.server_time()).await? {
            // The service's own clock may be the server's.
            let own = if inner.server.is_some() { SystemClock.now() } else { inner.clock.now() };
            inner.instruments.offset(own, server);
        }
        Ok(())
    }
}

impl<S: UsageStore> Inner<S> {
    /// A status under a plan that is not the client's, or not yet.
    async fn status_under(&self, client: &ClientId, plan: Arc<Plan>) -> Result<Answer, ServiceError> {
        self.check_running()?;
        self.follow_server().await?;
        let at = self.instant(None)?;
        let plan = self.plans.view_with(plan);
        let request = Request { client: client.clone(), operation: Operation::Status, at, asked: at, plan };
        self.send(request, None, self.deadline_from_now()).await?.answer.map_err(|error| failed(error, None))
    }

    async fn ask(&self, client: &ClientId, operation: Operation) -> Result<Answer, ServiceError> {
        let id = operation.id().cloned();
        let reply = self.perform(client, operation).await?;
        reply.answer.map_err(|error| failed(error, id))
    }

    /// Reading leaves nothing behind, so a deadline that passes left nothing undone either.
    pub(crate) async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ServiceError> {
        match within(self.deadline, reading).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(StoreError::Unknown { message, source })) => {
                Err(ServiceError::NotDone { source: StoreError::NotDone { message, source } })
            }
            Ok(Err(error)) => Err(failed(error, None)),
            Err(elapsed) => {
                Err(ServiceError::NotDone { source: StoreError::not_done("no answer before the deadline", elapsed) })
            }
        }
    }
}
