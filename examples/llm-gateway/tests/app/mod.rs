//! The gateway over a store in memory, and a way to ask.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use llm_gateway::{Gateway, Model, Rates, Stopper};
use quota_axum::{OperatorToken, UsageApi};
use quota_service::{ClientId, Credits, ManualClock, QuotaService};
use quota_store_memory::MemoryStore;
use serde_json::Value;
use tower::ServiceExt;

/// Keys of the README.
pub(crate) const ACME: &str = "sk-acme-7f3c";
pub(crate) const HOBBY: &str = "sk-hobby-19ab";

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) stopper: Stopper,
    service: QuotaService<MemoryStore>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl App {
    /// With a model that takes no time.
    pub(crate) fn new() -> Self {
        Self::at_pace(Duration::ZERO)
    }

    pub(crate) fn at_pace(pace: Duration) -> Self {
        let clock = Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()));
        let plans = llm_gateway::plans().unwrap();
        let service = QuotaService::builder(MemoryStore::new()).with_registry(plans).with_clock(clock).build();
        let (stopper, stop) = llm_gateway::stop();
        let rates = Rates::new("0.0005".parse().unwrap(), "0.0015".parse().unwrap());
        let usage = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
        let gateway = Gateway::new(Model::new(pace), rates, stop);
        let router = gateway.router(&service, usage, llm_gateway::keys().unwrap());
        Self { router, stopper, service }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// A completion, asked for by this body, read to its end.
    pub(crate) async fn complete(&self, key: &str, body: &str) -> Answer {
        Answer::of(self.send(completion(key, body)).await).await
    }

    /// What a client has used, when nothing is held for it any more: what is dropped is settled soon, not at once.
    pub(crate) async fn used(&self, client: &str) -> String {
        loop {
            let status = self.service.status(&ClientId::new(client).unwrap()).await.unwrap();
            let quota = status.lowest().unwrap();
            if quota.held() == Credits::ZERO {
                return quota.used().to_string();
            }
            tokio::task::yield_now().await;
        }
    }
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

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) fn completion(key: &str, body: &str) -> Request<Body> {
    request(Method::POST, key, "/v1/completions").body(body.to_owned().into()).unwrap()
}

pub(crate) fn request(method: Method, key: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {key}"))
}
