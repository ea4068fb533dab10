//! What tests of layers share.

use quota_actix::{ClientBy, QuotaLayer};
use quota_core::{Anchor, ClientId, Limit, Period, Plan, Quota, Tz};
use quota_service::{PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;

pub(crate) type TestService = QuotaService<MemoryStore>;

/// Ten credits a year for `client1`, and for `client2`.
pub(crate) fn service() -> TestService {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let plan = Plan::new([Quota::new(Period::YEAR, Limit::Finite("10".parse().unwrap()), anchor)]).unwrap();
    let plans = ["client1", "client2"]
        .into_iter()
        .fold(PlanRegistry::new(), |plans, client| plans.with(ClientId::new(client).unwrap(), plan.clone()));
    QuotaService::builder(MemoryStore::new()).with_registry(plans).build()
}

pub(crate) fn layer(service: &TestService) -> QuotaLayer {
    QuotaLayer::new(service.clone(), ClientBy::header("X-Client-Id").unwrap())
}

pub(crate) async fn used(service: &TestService) -> String {
    let status = service.status(&ClientId::new("client1").unwrap()).await.unwrap();
    status.lowest().unwrap().used().to_string()
}

pub(crate) async fn ran() -> &'static str {
    "ran"
}
