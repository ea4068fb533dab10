//! A store that cannot answer, and services that are no axum router.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use app::{get, layer, used};
use axum::Router;
use axum::routing::get as on_get;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use quota_axum::{ClientQuota, Refused};
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, Label, OnStoreError, PlainCharge, Pruned,
    QuotaService, Request as StoreRequest, StoreError, UsageStore,
};
use quota_store_memory::MemoryStore;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A memory store that stops answering when it is told to.
struct Failing {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::not_done("redis://10.0.0.7", "connection refused"));
        }
        Ok(())
    }
}

impl UsageStore for Failing {
    fn dispatch(&self) -> Dispatch {
        self.store.dispatch()
    }

    fn detail(&self) -> Detail {
        self.store.detail()
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.check().ok().and_then(|()| self.store.charge_now(charge))
    }

    async fn apply(&self, batch: Vec<StoreRequest>) -> Vec<Result<Answer, StoreError>> {
        match self.check() {
            Ok(()) => self.store.apply(batch).await,
            Err(_) => batch.iter().map(|_| Err(self.check().unwrap_err())).collect(),
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.store.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.store.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.store.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.store.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.store.prune(before).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.store.server_time().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check()
    }
}

fn failing(choice: OnStoreError) -> (QuotaService<Failing>, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let store = Failing { store: MemoryStore::new(), fails: Arc::clone(&fails) };
    let service = QuotaService::builder(store)
        .with_registry(app::plans())
        .with_clock(app::clock())
        .with_on_store_error(choice)
        .build();
    (service, fails)
}

async fn charge_more(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge(Credits::ONE).await?;
    Ok("ran")
}

fn router(service: &QuotaService<Failing>) -> Router {
    let quota = layer(service);
    Router::new()
        .route("/a", on_get(|| async { "ran" }).layer(quota.clone()))
        .route("/more", on_get(charge_more).layer(quota.without_charge()))
        .with_state(())
}

#[tokio::test]
async fn a_store_that_fails_is_a_503_that_tells_nothing_of_it() {
    let (service, fails) = failing(OnStoreError::FailClosed);
    let app = router(&service);
    get(&app, "/a").await;
    fails.store(true, Ordering::SeqCst);
    // The way that waits, and the one that does not.
    for path in ["/a", "/more", "/a"] {
        let (answer, log) = app::logged(get(&app, path)).await;
        assert!(log.contains("redis://10.0.0.7") && log.contains("connection refused"), "{log}");
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        assert_eq!(answer.remaining(), None);
        assert!(answer.body.contains("#temporary-reduced-capacity"));
        assert!(!answer.body.contains("redis") && !answer.body.contains("refused"), "{}", answer.body);
    }
    fails.store(false, Ordering::SeqCst);
    assert_eq!(used(&service).await, "1");
}

#[tokio::test]
async fn an_unchecked_request_runs_without_quota_headers() {
    let (service, fails) = failing(OnStoreError::FailOpen);
    let app = router(&service);
    assert_eq!(get(&app, "/a").await.remaining(), Some("9"));
    fails.store(true, Ordering::SeqCst);
    for path in ["/a", "/more"] {
        let answer = get(&app, path).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ran"));
        assert!(answer.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    }
    fails.store(false, Ordering::SeqCst);
    assert_eq!(get(&app, "/a").await.remaining(), Some("8"));
}

#[tokio::test]
async fn any_tower_service_can_be_metered_over_any_body() {
    let service = app::service();
    let quota = layer(&service).cost(6).with_every_request(Label::new("everything").unwrap());
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let metered = ServiceBuilder::new().layer(quota).service(inner);
    let ask = || {
        let body = Full::from("echo");
        let asked = Request::builder().method(Method::POST).uri("/any").header("x-client-id", "client1").body(body);
        metered.clone().oneshot(asked.unwrap())
    };
    let answer = ask().await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "4");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "echo");
    let denied = ask().await.unwrap();
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(used(&service).await, "6");
}
