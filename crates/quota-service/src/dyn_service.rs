//! A service whose store is not named, for adapters.

use std::sync::Arc;

use async_trait::async_trait;
use quota_core::{
    ClientId, Credits, DayUsage, Decision, Denied, Instant, Label, OperationId, Plan, Status, Ttl, Window,
};

use crate::charge::Charge;
use crate::error::ServiceError;
use crate::guard::Holding;
use crate::service::QuotaService;
use crate::store::{ClientsQuery, DailyQuery, EntriesPage, EntriesQuery, UsageStore};

/// What a request can ask of a [`QuotaService`], whatever its store.
#[async_trait]
pub trait DynService: Send + Sync + 'static {
    /// As [`QuotaService::charge_with`].
    ///
    /// # Errors
    /// As there.
    async fn charge(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError>;
    /// As [`DynService::charge`] for a plain cost, where the store decides without waiting; none where it does not, and
    /// then nothing happened.
    fn charge_now(&self, client: &ClientId, cost: Credits, label: Option<&Label>) -> Option<Decision>;
    /// As [`QuotaService::void`].
    ///
    /// # Errors
    /// As there.
    async fn void(&self, client: &ClientId, id: &OperationId) -> Result<bool, ServiceError>;
    /// As [`QuotaService::void_at`].
    ///
    /// # Errors
    /// As there.
    async fn void_at(&self, client: &ClientId, id: &OperationId, at: Instant) -> Result<bool, ServiceError>;
    /// As [`QuotaService::record`].
    ///
    /// # Errors
    /// As there.
    async fn record(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError>;
    /// As [`QuotaService::hold`].
    ///
    /// # Errors
    /// As there.
    async fn hold(&self, client: &ClientId, charge: Charge, ttl: Ttl) -> Result<Holding, ServiceError>;
    /// As [`QuotaService::status`].
    ///
    /// # Errors
    /// As there.
    async fn status(&self, client: &ClientId) -> Result<Status, ServiceError>;
    /// As [`QuotaService::preview_plan`].
    ///
    /// # Errors
    /// As there.
    async fn preview_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError>;
    /// As [`QuotaService::set_plan`].
    ///
    /// # Errors
    /// As there.
    async fn set_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError>;
    /// As [`QuotaService::remove_plan`].
    ///
    /// # Errors
    /// As there.
    async fn remove_plan(&self, client: &ClientId) -> Result<(), ServiceError>;
    /// As [`QuotaService::plan`].
    ///
    /// # Errors
    /// As there.
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, ServiceError>;
    /// As [`QuotaService::daily_usage`].
    ///
    /// # Errors
    /// As there.
    async fn daily_usage(&self, client: &ClientId, query: DailyQuery) -> Result<Vec<DayUsage>, ServiceError>;
    /// As [`QuotaService::entries`].
    ///
    /// # Errors
    /// As there.
    async fn entries(&self, client: &ClientId, query: EntriesQuery) -> Result<EntriesPage, ServiceError>;
    /// As [`QuotaService::clients`].
    ///
    /// # Errors
    /// As there.
    async fn clients(&self, query: ClientsQuery) -> Result<Vec<ClientId>, ServiceError>;
    /// As [`QuotaService::delete_usage`].
    ///
    /// # Errors
    /// As there.
    async fn delete_usage(&self, client: &ClientId, range: Window) -> Result<u64, ServiceError>;
    /// As [`QuotaService::health`].
    ///
    /// # Errors
    /// As there.
    async fn health(&self) -> Result<(), ServiceError>;
    /// As [`QuotaService::can_set_plans`].
    fn can_set_plans(&self) -> bool;
    /// As [`QuotaService::denials`].
    fn denials(&self, client: &ClientId) -> Option<Vec<Denied>>;
    /// As [`QuotaService::now`].
    fn now(&self) -> Instant;
}

/// A service behind a pointer.
pub type SharedService = Arc<dyn DynService>;

#[async_trait]
impl<S: UsageStore> DynService for QuotaService<S> {
    async fn charge(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        self.charge_with(client, charge).await
    }

    fn charge_now(&self, client: &ClientId, cost: Credits, label: Option<&Label>) -> Option<Decision> {
        self.inner.charge_now(client, cost, label)
    }

    async fn void(&self, client: &ClientId, id: &OperationId) -> Result<bool, ServiceError> {
        Self::void(self, client, id).await
    }

    async fn void_at(&self, client: &ClientId, id: &OperationId, at: Instant) -> Result<bool, ServiceError> {
        Self::void_at(self, client, id, at).await
    }

    async fn record(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        Self::record(self, client, charge).await
    }

    async fn hold(&self, client: &ClientId, charge: Charge, ttl: Ttl) -> Result<Holding, ServiceError> {
        Self::hold(self, client, charge, ttl).await
    }

    async fn status(&self, client: &ClientId) -> Result<Status, ServiceError> {
        Self::status(self, client).await
    }

    async fn preview_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError> {
        Self::preview_plan(self, client, plan).await
    }

    async fn set_plan(&self, client: &ClientId, plan: Plan) -> Result<Status, ServiceError> {
        Self::set_plan(self, client, plan).await
    }

    async fn remove_plan(&self, client: &ClientId) -> Result<(), ServiceError> {
        Self::remove_plan(self, client).await
    }

    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, ServiceError> {
        Self::plan(self, client).await
    }

    async fn daily_usage(&self, client: &ClientId, query: DailyQuery) -> Result<Vec<DayUsage>, ServiceError> {
        Self::daily_usage(self, client, query).await
    }

    async fn entries(&self, client: &ClientId, query: EntriesQuery) -> Result<EntriesPage, ServiceError> {
        Self::entries(self, client, query).await
    }

    async fn clients(&self, query: ClientsQuery) -> Result<Vec<ClientId>, ServiceError> {
        Self::clients(self, query).await
    }

    async fn delete_usage(&self, client: &ClientId, range: Window) -> Result<u64, ServiceError> {
        Self::delete_usage(self, client, range).await
    }

    async fn health(&self) -> Result<(), ServiceError> {
        Self::health(self).await
    }

    fn can_set_plans(&self) -> bool {
        Self::can_set_plans(self)
    }

    fn denials(&self, client: &ClientId) -> Option<Vec<Denied>> {
        Self::denials(self, client)
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }
}
