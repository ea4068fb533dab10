//! A service whose store is not named, for adapters.

use std::sync::Arc;

use async_trait::async_trait;
use quota_core::{ClientId, Credits, Decision, Instant, Label, OperationId, Status, Ttl};

use crate::charge::Charge;
use crate::error::ServiceError;
use crate::guard::Holding;
use crate::service::QuotaService;
use crate::store::UsageStore;

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

    async fn record(&self, client: &ClientId, charge: Charge) -> Result<Decision, ServiceError> {
        Self::record(self, client, charge).await
    }

    async fn hold(&self, client: &ClientId, charge: Charge, ttl: Ttl) -> Result<Holding, ServiceError> {
        Self::hold(self, client, charge, ttl).await
    }

    async fn status(&self, client: &ClientId) -> Result<Status, ServiceError> {
        Self::status(self, client).await
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }
}
