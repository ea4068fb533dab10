//! Requests that are sent again, and requests that are charged only if they succeed: what the suite of all adapters does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app::{get, layer, request, send, service, used};
use axum::Router;
use axum::routing::{any, get as on_get, post};
use http::{Method, StatusCode};
use quota_axum::{ClientQuota, IdempotencyKeys, QuotaLayer, Refused, RouteCost};
use quota_service::{Credits, QuotaService};
use quota_store_memory::MemoryStore;

fn keyed(service: &QuotaService<MemoryStore>) -> QuotaLayer {
    layer(service).with_idempotency_keys(IdempotencyKeys::default())
}

async fn with_key(app: &Router, method: Method, path: &str, key: &str) -> app::Answer {
    let mut request = request(method, path);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    send(app, request).await
}

async fn get_with_key(app: &Router, path: &str, key: &str) -> app::Answer {
    with_key(app, Method::GET, path, key).await
}

/// A route that counts how often its handler runs.
fn counting(runs: &Arc<AtomicUsize>) -> axum::routing::MethodRouter {
    let runs = Arc::clone(runs);
    any(move || async move {
        runs.fetch_add(1, Ordering::SeqCst);
        "ran"
    })
}

#[tokio::test]
async fn a_replay_does_not_run_and_another_method_is_another_charge() {
    let (service, runs) = (service(), Arc::default());
    let app = Router::new().route("/a", counting(&runs)).layer(keyed(&service)).with_state(());
    for (method, status) in [(Method::GET, 200), (Method::GET, 409), (Method::POST, 200), (Method::POST, 409)] {
        assert_eq!(with_key(&app, method, "/a", "k").await.status.as_u16(), status);
    }
    assert_eq!(get(&app, "/a").await.status, StatusCode::OK);
    assert_eq!((runs.load(Ordering::SeqCst), used(&service).await.as_str()), (3, "3"));
}

/// Holds, gives that back, and charges what it did cost after all.
async fn held_in_vain(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.hold(Credits::new(8).unwrap()).await?.release().await?;
    quota.charge(Credits::ONE).await?;
    Ok("ran")
}

#[tokio::test]
async fn a_key_whose_hold_was_released_is_that_of_the_next_charge() {
    let service = service();
    let app = Router::new().route("/a", on_get(held_in_vain)).layer(keyed(&service).without_charge()).with_state(());
    assert_eq!(get_with_key(&app, "/a", "k").await.status, StatusCode::OK);
    assert_eq!(get_with_key(&app, "/a", "k").await.status, StatusCode::CONFLICT);
    assert_eq!(used(&service).await, "1");
}

#[tokio::test]
async fn a_key_whose_hold_was_dropped_is_that_of_the_next_charge() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        drop(quota.hold(Credits::new(8).unwrap()).await?);
        quota.charge(Credits::ONE).await?;
        Ok::<_, Refused>("ran")
    };
    let app = Router::new().route("/a", on_get(handler)).layer(keyed(&service).without_charge()).with_state(());
    for status in [StatusCode::OK, StatusCode::CONFLICT] {
        assert_eq!(get_with_key(&app, "/a", "k").await.status, status);
    }
    assert_eq!(used(&service).await, "1");
}

#[tokio::test]
async fn a_hold_that_is_handed_over_has_used_the_key_up() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        let guard = quota.hold(Credits::new(4).unwrap()).await?.into_guard();
        quota.charge(Credits::ONE).await?;
        let settled = guard.settle(Credits::new(4).unwrap()).await;
        Ok::<_, Refused>(settled.is_ok().to_string())
    };
    let app = Router::new().route("/a", on_get(handler)).layer(keyed(&service).without_charge()).with_state(());
    assert_eq!(get_with_key(&app, "/a", "k").await.body, "true");
    assert_eq!(used(&service).await, "5");
}

#[tokio::test]
async fn who_it_is_comes_before_what_is_no_key() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(keyed(&service)).with_state(());
    let mut nobody = request(Method::GET, "/a");
    nobody.headers_mut().remove("x-client-id");
    nobody.headers_mut().insert("idempotency-key", "a b".parse().unwrap());
    assert_eq!(send(&app, nobody).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_handler_charges_under_the_key_first_and_freely_afterwards() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        // A denial leaves no trace, so the key is there for the next.
        match quota.charge("50".parse::<Credits>().unwrap()).await {
            Err(error) if error.denied().is_some() => {}
            other => drop(other?),
        }
        quota.charge("2".parse::<Credits>().unwrap()).await?;
        quota.charge("3".parse::<Credits>().unwrap()).await?;
        Ok::<_, Refused>(quota.idempotency_id().unwrap().to_string())
    };
    let app = Router::new().route("/{id}", post(handler)).layer(keyed(&service).without_charge()).with_state(());
    let first = with_key(&app, Method::POST, "/7", "k").await;
    assert_eq!((first.body.as_str(), first.remaining()), ("key:POST /{id}:k", Some("5")));
    assert_eq!(with_key(&app, Method::POST, "/7", "k").await.status, StatusCode::CONFLICT);
    assert_eq!(used(&service).await, "5");
}

#[tokio::test]
async fn a_405_is_not_charged_whatever_is_a_success() {
    let service = service();
    let cost = RouteCost::from(4).on_status(|_| true);
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(layer(&service).cost(cost)).with_state(());
    let answer = send(&app, request(Method::POST, "/a")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(used(&service).await, "0");
}
