//! A store chosen at run time.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};

use crate::receipt::Receipt;
use crate::store::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoredPlan,
    UsageStore,
};
use crate::store_error::StoreError;

/// Any store, behind a pointer: the same contract, at the cost of a box for each call but
/// [`UsageStore::charge_now`].
#[derive(Clone)]
pub struct AnyStore(Arc<dyn DynStore>);

/// The object-safe twin of [`UsageStore`] and [`PlanStore`] together.
#[async_trait]
trait DynStore: Send + Sync + 'static {
    fn dispatch(&self) -> Dispatch;
    fn detail(&self) -> Detail;
    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision>;
    fn is_held(&self, client: &ClientId) -> bool;
    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>>;
    async fn apply_with_receipt(&self, batch: Vec<Request>, receipt: &Receipt) -> Vec<Result<Answer, StoreError>>;
    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError>;
    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError>;
    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError>;
    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError>;
    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError>;
    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError>;
    async fn server_time(&self) -> Result<Option<Instant>, StoreError>;
    async fn health(&self) -> Result<(), StoreError>;
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError>;
}

#[async_trait]
impl<S: UsageStore + PlanStore> DynStore for S {
    fn dispatch(&self) -> Dispatch {
        UsageStore::dispatch(self)
    }

    fn detail(&self) -> Detail {
        UsageStore::detail(self)
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        UsageStore::charge_now(self, charge)
    }

    fn is_held(&self, client: &ClientId) -> bool {
        UsageStore::is_held(self, client)
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        UsageStore::apply(self, batch).await
    }

    async fn apply_with_receipt(&self, batch: Vec<Request>, receipt: &Receipt) -> Vec<Result<Answer, StoreError>> {
        UsageStore::apply_with_receipt(self, batch, receipt).await
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        UsageStore::total(self, client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        UsageStore::daily(self, client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        UsageStore::entries(self, client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        UsageStore::clients(self, query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        UsageStore::prune(self, before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        UsageStore::finish_deletion(self, client).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        UsageStore::server_time(self).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        UsageStore::health(self).await
    }

    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        PlanStore::stored_plan(self, client).await
    }
}

impl AnyStore {
    /// Puts a store behind a pointer.
    pub fn new(store: impl UsageStore + PlanStore) -> Self {
        Self(Arc::new(store))
    }
}

impl UsageStore for AnyStore {
    fn dispatch(&self) -> Dispatch {
        self.0.dispatch()
    }

    fn detail(&self) -> Detail {
        self.0.detail()
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.0.charge_now(charge)
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.0.is_held(client)
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        self.0.apply(batch).await
    }

    async fn apply_with_receipt(&self, batch: Vec<Request>, receipt: &Receipt) -> Vec<Result<Answer, StoreError>> {
        self.0.apply_with_receipt(batch, receipt).await
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.0.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.0.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.0.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.0.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.0.prune(before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        self.0.finish_deletion(client).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.0.server_time().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.0.health().await
    }
}

#[async_trait]
impl PlanStore for AnyStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        self.0.stored_plan(client).await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").field("dispatch", &self.0.dispatch()).field("detail", &self.0.detail()).finish()
    }
}
