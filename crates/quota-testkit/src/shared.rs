//! Handles on one store.

use std::sync::Arc;

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Receipt, Request,
    StoreError, StoredPlan, UsageStore,
};
use quota_store_memory::MemoryStore;

use crate::harness::StoreFactory;

/// A handle on a store that others have as well, so that one in memory can be opened twice.
#[derive(Debug)]
pub struct Shared<S>(pub Arc<S>);

/// A store in memory for each case.
#[derive(Debug)]
pub struct SharedMemory(Arc<MemoryStore>);

impl SharedMemory {
    /// It keeps quarters of an hour.
    #[must_use]
    pub fn quarters() -> Self {
        Self(Arc::new(MemoryStore::new()))
    }

    /// It keeps every entry.
    #[must_use]
    pub fn entries() -> Self {
        Self(Arc::new(MemoryStore::with_entries()))
    }
}

impl StoreFactory for SharedMemory {
    type Store = Shared<MemoryStore>;

    async fn open(&self) -> Self::Store {
        Shared(Arc::clone(&self.0))
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: UsageStore> UsageStore for Shared<S> {
    fn dispatch(&self) -> Dispatch {
        self.0.dispatch()
    }

    fn detail(&self) -> Detail {
        self.0.detail()
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.0.is_held(client)
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.0.charge_now(charge)
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
impl<S: PlanStore> PlanStore for Shared<S> {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        self.0.stored_plan(client).await
    }
}
