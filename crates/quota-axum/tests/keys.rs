//! A handler that charges under its request's key more than once: the client pays once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::sync::Arc;
use std::time::Duration;

use app::{get, layer, request, send, service, service_over, used};
use axum::Router;
use axum::routing::get as on_get;
use http::{Method, StatusCode, Uri};
use quota_axum::{ClientQuota, IdempotencyKeys, Refused};
use quota_service::{Credits, QuotaService};
use quota_store_memory::MemoryStore;
use quota_testkit::{Gate, Gated, Keeper};
use tokio::sync::Notify;
use tokio::time::timeout;

const IMPATIENT: Duration = Duration::from_millis(20);

fn gated() -> (QuotaService<Gated<MemoryStore>>, Arc<Keeper>) {
    let (store, keeper) = Gated::new(MemoryStore::new());
    (service_over(store), keeper)
}

fn five() -> Credits {
    Credits::new(5).unwrap()
}

/// What the handler of `/a` and the test tell each other.
#[derive(Clone, Default)]
struct Told {
    handler: Arc<Notify>,
    test: Arc<Notify>,
}

async fn get_with_key(app: &Router, path: &str) -> app::Answer {
    let mut request = request(Method::GET, path);
    request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    send(app, request).await
}

/// Asks and does not wait.
fn begin(app: &Router, path: &'static str) -> tokio::task::JoinHandle<app::Answer> {
    let app = app.clone();
    tokio::spawn(async move { get_with_key(&app, path).await })
}

/// Whatever was answered, the client sends it again until it is told that it has paid; and it has, once.
async fn assert_paid_once(service: &QuotaService<Gated<MemoryStore>>, app: &Router, path: &str) {
    for _ in 0..2 {
        get_with_key(app, path).await;
    }
    let replay = get_with_key(app, path).await;
    assert!(replay.body.contains("already charged"), "{path}: {}", replay.body);
    assert_eq!(replay.remaining(), Some("5"), "{path}");
    assert_eq!(used(service).await, "5", "{path}");
}

#[tokio::test]
async fn what_a_handler_has_given_up_waiting_for_is_not_paid_beside_its_key() {
    let charging = async |quota: &ClientQuota, uri: &Uri| {
        if uri.query() == Some("hold") {
            quota.hold(five()).await?.settle(five()).await?;
        } else {
            quota.charge(five()).await?;
        }
        Ok::<_, Refused>("ran")
    };
    for path in ["/a?hold", "/a?charge"] {
        let (service, keeper) = gated();
        let given_up = Arc::new(Notify::new());
        let tell = Arc::clone(&given_up);
        let handler = move |quota: ClientQuota, uri: Uri| async move {
            if let Ok(answer) = timeout(IMPATIENT, charging(&quota, &uri)).await {
                return answer;
            }
            tell.notify_one();
            charging(&quota, &uri).await
        };
        let quota = layer(&service).with_idempotency_keys(IdempotencyKeys::default()).without_charge();
        let app = Router::new().route("/a", on_get(handler)).layer(quota).with_state(());
        keeper.set(Gate::HeldBefore);
        let asked = begin(&app, path);
        given_up.notified().await;
        keeper.set(Gate::Open);
        let answer = asked.await.unwrap();
        // It was its own request that was under way.
        assert!(answer.status == StatusCode::OK || answer.body.contains("under way"), "{path}: {}", answer.body);
        assert_paid_once(&service, &app, path).await;
        // Without the key it is another request.
        assert_eq!(get(&app, path).await.remaining(), Some("0"));
    }
}

#[tokio::test]
async fn who_is_told_that_its_key_is_under_way_does_not_pay_beside_it() {
    for ends_first in [false, true] {
        let service = service();
        let (first, second) = (Told::default(), Told::default());
        let told = (first.clone(), second.clone());
        let handler = move |quota: ClientQuota, uri: Uri| async move {
            let (first, second) = told;
            if uri.query() == Some("first") {
                let held = quota.hold(five()).await?;
                first.test.notify_one();
                first.handler.notified().await;
                held.settle(five()).await?;
                return Ok("ran");
            }
            if let Err(error) = quota.hold(five()).await {
                assert!(error.is_replay());
                second.test.notify_one();
                second.handler.notified().await;
            }
            quota.hold(five()).await?.settle(five()).await?;
            Ok::<_, Refused>("ran")
        };
        let quota = layer(&service).with_idempotency_keys(IdempotencyKeys::default()).without_charge();
        let app = Router::new().route("/a", on_get(handler)).layer(quota).with_state(());
        let pays = begin(&app, "/a?first");
        first.test.notified().await;
        let other = begin(&app, "/a");
        second.test.notified().await;
        let (pays, other) = if ends_first {
            first.handler.notify_one();
            let pays = pays.await.unwrap();
            second.handler.notify_one();
            (pays, other.await.unwrap())
        } else {
            second.handler.notify_one();
            let other = other.await.unwrap();
            first.handler.notify_one();
            (pays.await.unwrap(), other)
        };
        assert_eq!((pays.status, other.status), (StatusCode::OK, StatusCode::CONFLICT), "{}", other.body);
        assert!(other.body.contains(if ends_first { "already charged" } else { "under way" }), "{}", other.body);
        assert_eq!(used(&service).await, "5");
    }
}

#[tokio::test]
async fn a_settlement_that_a_handler_has_given_up_waiting_for_is_not_paid_beside_its_key() {
    for is_queued in [true, false] {
        let (service, keeper) = gated();
        let (told, given_up) = (Told::default(), Arc::new(Notify::new()));
        let (tell, is_told) = (Arc::clone(&given_up), told.clone());
        let handler = move |quota: ClientQuota| async move {
            let held = quota.hold(five()).await?;
            is_told.test.notify_one();
            is_told.handler.notified().await;
            if let Ok(settled) = timeout(IMPATIENT, held.settle(five())).await {
                settled?;
                return Ok("ran");
            }
            tell.notify_one();
            quota.hold(five()).await?.settle(five()).await?;
            Ok::<_, Refused>("ran")
        };
        let quota = layer(&service).with_idempotency_keys(IdempotencyKeys::default()).without_charge();
        let app = Router::new().route("/a", on_get(handler)).layer(quota).with_state(());
        let asked = begin(&app, "/a");
        told.test.notified().await;
        keeper.set(Gate::HeldBefore);
        let before_it = is_queued.then(|| {
            let service = service.clone();
            tokio::spawn(async move { service.status(&app::client()).await.is_ok() })
        });
        if is_queued {
            keeper.held(1).await;
        }
        told.handler.notify_one();
        given_up.notified().await;
        keeper.set(Gate::Open);
        let answer = asked.await.unwrap();
        if let Some(before_it) = before_it {
            assert!(before_it.await.unwrap());
        }
        // What was sent is settled, and what was queued is not.
        let status = if is_queued { StatusCode::OK } else { StatusCode::CONFLICT };
        assert_eq!(answer.status, status, "{}", answer.body);
        // Whoever holds from here on need not wait.
        told.handler.notify_one();
        assert_paid_once(&service, &app, "/a").await;
    }
}
