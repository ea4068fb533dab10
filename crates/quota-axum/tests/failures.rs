//! A store that cannot answer, or not at once, and services that are no axum router.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use quota_testkit::http::logged;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use app::{get, layer, request, used};
use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use bytes::Bytes;
use futures_util::stream::iter;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use quota_axum::{Charged, ClientQuota, IdempotencyKeys, OnDrop, OnReplay, Refused, RouteCost};
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, Label, OnStoreError, PlainCharge, Pruned,
    QuotaService, Request as StoreRequest, StoreError, UsageStore,
};
use quota_store_memory::MemoryStore;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A memory store that stops answering when it is told to, and takes its time where it is slow.
struct Failing {
    store: Arc<MemoryStore>,
    fails: Arc<AtomicBool>,
    slow: bool,
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
        if self.slow {
            return Dispatch::Batched { lanes: NonZeroUsize::MIN, max_batch: NonZeroUsize::MIN, hot: None };
        }
        self.store.dispatch()
    }

    fn detail(&self) -> Detail {
        self.store.detail()
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.check().ok().filter(|()| !self.slow).and_then(|()| self.store.charge_now(charge))
    }

    async fn apply(&self, batch: Vec<StoreRequest>) -> Vec<Result<Answer, StoreError>> {
        if self.slow {
            tokio::task::yield_now().await;
        }
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
    failing_or_slow(choice, false)
}

fn failing_or_slow(choice: OnStoreError, slow: bool) -> (QuotaService<Failing>, Arc<AtomicBool>) {
    failing_or_slow_on(Arc::default(), choice, slow)
}

fn failing_or_slow_on(
    store: Arc<MemoryStore>,
    choice: OnStoreError,
    slow: bool,
) -> (QuotaService<Failing>, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let store = Failing { store, fails: Arc::clone(&fails), slow };
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
        .route("/own", on_get(|| async { ([("x-ratelimit-remaining", "7")], "ran") }).layer(quota.without_charge()))
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
        let (answer, log) = logged(get(&app, path)).await;
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
    for path in ["/a", "/more", "/own"] {
        let answer = get(&app, path).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ran"));
        assert!(answer.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    }
    fails.store(false, Ordering::SeqCst);
    assert_eq!(get(&app, "/a").await.remaining(), Some("8"));
}

#[tokio::test]
async fn releasing_what_was_never_held_is_no_error_once_the_store_is_back() {
    // A client that the store has never seen, and one that it knows.
    for known in [false, true] {
        let (service, fails) = failing(OnStoreError::FailOpen);
        if known {
            assert!(service.charge(&app::client(), Credits::ONE).await.unwrap().is_allowed());
        }
        let handler = move |quota: ClientQuota| async move {
            fails.store(true, Ordering::SeqCst);
            let held = quota.hold(Credits::ONE).await?;
            assert_eq!(held.decision(), &Decision::Unchecked);
            fails.store(false, Ordering::SeqCst);
            assert_eq!(held.release().await?, Charged::Unchecked);
            Ok::<_, Refused>("ran")
        };
        let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge());
        let answer = get(&app, "/a").await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ran"));
        assert_eq!(used(&service).await, if known { "1" } else { "0" });
    }
}

/// Sends a request with this method to a route with a GET, over a slow store; drops it when it was polled so many
/// times, `at_once` after the last or when others have run. Whether it had ended by then, and what was used in the end.
async fn dropped_after(polls: usize, at_once: bool, method: Method) -> (bool, String) {
    let (service, _) = failing_or_slow(OnStoreError::FailClosed, true);
    let app: Router = Router::new().route("/a", on_get(|| async { "ran" })).layer(layer(&service));
    let ended = drop_after(polls, at_once, app.oneshot(request(method, "/a"))).await;
    (ended, used(&service).await)
}

/// Polls so many times, drops, and lets everything come to its end; whether it had ended by itself.
async fn drop_after(polls: usize, at_once: bool, answer: impl Future) -> bool {
    let mut answer = Box::pin(answer);
    let mut ended = false;
    for poll in 1..=polls {
        ended = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_ready())).await;
        if ended {
            break;
        }
        if poll < polls || !at_once {
            tokio::task::yield_now().await;
        }
    }
    drop(answer);
    // Whatever is under way on this thread's runtime comes to its end.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    ended
}

fn with_key(path: &str) -> Request<Body> {
    let mut request = request(Method::GET, path);
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    request
}

#[tokio::test]
async fn a_replay_whose_client_goes_away_takes_nothing_back() {
    for (cost, on_replay) in [
        (RouteCost::from(4), OnReplay::Refuse),
        (RouteCost::from(4).on_success(), OnReplay::Refuse),
        (RouteCost::from(4).on_success(), OnReplay::Run),
    ] {
        let mut polls = 0;
        loop {
            let (service, _) = failing_or_slow(OnStoreError::FailClosed, true);
            let keys = IdempotencyKeys::default().with_on_replay(on_replay);
            let quota = layer(&service).cost(cost.clone()).with_idempotency_keys(keys);
            // Twice the same route, so that the replay meets a layer that knows no handler yet.
            let app = || Router::new().route("/a", on_get(|| async { "ran" })).layer(quota.clone()).with_state(());
            assert_eq!(app().oneshot(with_key("/a")).await.unwrap().status(), StatusCode::OK);
            let ended = drop_after(polls, polls % 2 == 0, app().oneshot(with_key("/a"))).await;
            assert_eq!(used(&service).await, "4", "{cost:?}, dropped after {polls} polls");
            if ended {
                break;
            }
            polls += 1;
        }
        assert!(polls > 1, "{polls}");
    }
}

#[tokio::test]
async fn a_replay_whose_client_goes_away_leaves_the_hold_of_the_first() {
    for polls in 0..8 {
        // Two processes, as far as guards are concerned: each service counts its own.
        let store = Arc::new(MemoryStore::new());
        let services = [(), ()].map(|()| failing_or_slow_on(Arc::clone(&store), OnStoreError::FailClosed, true).0);
        let apps = services.each_ref().map(|service| {
            let quota = layer(service).cost(RouteCost::from(4).on_success());
            let quota = quota.with_idempotency_keys(IdempotencyKeys::default());
            Router::new().route("/a", on_get(std::future::pending::<()>)).layer(quota).with_state(())
        });
        let first = tokio::spawn(apps[0].clone().oneshot(with_key("/a")));
        let held = async || services[0].status(&app::client()).await.unwrap().lowest().unwrap().held();
        while held().await == Credits::ZERO {
            tokio::task::yield_now().await;
        }
        drop_after(polls, polls % 2 == 0, apps[1].clone().oneshot(with_key("/a"))).await;
        assert_eq!(held().await.to_string(), "4", "dropped after {polls} polls");
        first.abort();
    }
}

#[tokio::test]
async fn a_body_that_has_ended_is_settled_wherever_its_client_goes_away() {
    for on_drop in [OnDrop::Release, OnDrop::Settle] {
        let mut polls = 1;
        loop {
            let (service, _) = failing_or_slow(OnStoreError::FailClosed, true);
            let handler = async move |quota: ClientQuota| {
                let held = quota.hold(Credits::ONE).await?;
                let words = iter([Ok::<_, Infallible>("all")]);
                Ok::<_, Refused>(Body::from_stream(held.settle_after(words, |_| Credits::ONE, on_drop)))
            };
            let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge());
            let mut body = app.with_state(()).oneshot(request(Method::GET, "/a")).await.unwrap().into_body();
            assert!(body.frame().await.unwrap().unwrap().is_data());
            let ended = drop_after(polls, polls % 2 == 0, async move { assert!(body.frame().await.is_none()) }).await;
            assert_eq!(used(&service).await, "1", "{on_drop:?}, dropped after {polls} polls");
            if ended {
                break;
            }
            polls += 1;
        }
        assert!(polls > 1, "{polls}");
    }
}

#[tokio::test]
async fn a_405_is_never_charged_wherever_the_client_goes_away() {
    for at_once in [true, false] {
        let mut polls = 0;
        loop {
            let (ended, used) = dropped_after(polls, at_once, Method::POST).await;
            assert_eq!(used, "0", "dropped after {polls} polls, at once: {at_once}");
            if ended {
                break;
            }
            polls += 1;
        }
        // The charge and what takes it back were both waited for.
        assert!(polls > 4, "{polls}");
        assert_eq!(dropped_after(polls, at_once, Method::GET).await, (true, "1".to_owned()));
    }
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
