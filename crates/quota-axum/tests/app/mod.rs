//! A client with a day of 10 credits, and a way to ask.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use quota_axum::{ClientBy, QuotaLayer};
use quota_service::{
    Anchor, ClientId, Credits, Limit, ManualClock, Period, Plan, PlanRegistry, Quota, QuotaService, Tz, UsageStore,
};
use quota_store_memory::MemoryStore;
use tower::ServiceExt;

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What the header says remains.
    pub(crate) fn remaining(&self) -> Option<&str> {
        self.header("x-ratelimit-remaining")
    }
}

pub(crate) fn client() -> ClientId {
    ClientId::new("client1").unwrap()
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()))
}

pub(crate) fn plans() -> PlanRegistry {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let day = Quota::new(Period::DAY, Limit::Finite(Credits::new(10).unwrap()), anchor);
    PlanRegistry::new().with(client(), Plan::new([day]).unwrap())
}

pub(crate) fn service_over<S: UsageStore>(store: S) -> QuotaService<S> {
    QuotaService::builder(store).with_registry(plans()).with_clock(clock()).build()
}

pub(crate) fn service() -> QuotaService<MemoryStore> {
    service_over(MemoryStore::new())
}

pub(crate) fn layer<S: UsageStore>(service: &QuotaService<S>) -> QuotaLayer {
    QuotaLayer::new(service.clone(), ClientBy::header("X-Client-Id").unwrap())
}

pub(crate) async fn used<S: UsageStore>(service: &QuotaService<S>) -> String {
    let status = service.status(&client()).await.unwrap();
    let quota = status.lowest().unwrap();
    assert_eq!(quota.held(), Credits::ZERO, "a hold is left");
    quota.used().to_string()
}

pub(crate) fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).header("x-client-id", "client1").body(Body::empty()).unwrap()
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Answer {
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

pub(crate) async fn get(app: &Router, path: &str) -> Answer {
    send(app, request(Method::GET, path)).await
}
