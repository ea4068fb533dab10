//! A memory store that can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};
use quota_store_memory::MemoryStore;

/// A memory store that stops answering when it is told to.
pub(super) struct Failing {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
    /// How often it was asked and waited for.
    asked: Arc<AtomicUsize>,
}

impl Failing {
    pub(super) fn new(fails: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Self {
        Self { store: MemoryStore::with_entries(), fails, asked }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(StoreError::not_done("redis://:pass@10.0.0.7", refused));
        }
        Ok(())
    }
}

#[async_trait]
impl PlanStore for Failing {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        self.check()?;
        self.store.stored_plan(client).await
    }
}

impl UsageStore for Failing {
    fn dispatch(&self) -> Dispatch {
        self.store.dispatch()
    }

    fn detail(&self) -> Detail {
        self.store.detail()
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.store.is_held(client)
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.check().ok().and_then(|()| self.store.charge_now(charge))
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.check() {
            Ok(()) => self.store.apply(batch).await,
            Err(error) => batch.iter().map(|_| Err(error.again())).collect(),
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.check()?;
        self.store.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.check()?;
        self.store.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.check()?;
        self.store.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.check()?;
        self.store.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.check()?;
        self.store.prune(before).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.check()?;
        self.store.server_time().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check()
    }
}
