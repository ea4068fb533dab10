//! Requests that are sent again, and requests that are charged only if they succeed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app::{client, get, layer, request, send, service, used};
use axum::Router;
use axum::routing::{any, get as on_get, post};
use http::{Method, StatusCode, Uri};
use quota_axum::{
    ClientQuota, IdempotencyKeys, OnReplay, QuotaLayer, Refused, RouteCost, credits_from_query, member_from_query,
};
use quota_service::{Charge, Credits, OperationId, QuotaService};
use quota_store_memory::MemoryStore;
use tokio::sync::Notify;

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

/// Answers with the status that the query names.
async fn answering(uri: Uri) -> StatusCode {
    uri.query().and_then(|query| query.parse().ok()).unwrap_or(StatusCode::OK)
}

async fn compute(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let cost = credits_from_query(uri.query(), "credits")?;
    quota.charge(cost).await?;
    Ok(cost.to_string())
}

#[tokio::test]
async fn a_key_is_charged_once_and_its_replay_is_told_so() {
    let (service, runs) = (service(), Arc::default());
    let app = Router::new().route("/a", counting(&runs)).route("/b", counting(&runs)).layer(keyed(&service));
    let app = app.with_state(());
    assert_eq!(get_with_key(&app, "/a", "k").await.remaining(), Some("9"));
    for key in ["k", "\"k\""] {
        let replay = get_with_key(&app, "/a", key).await;
        assert_eq!(replay.status, StatusCode::CONFLICT);
        assert!(replay.body.contains(r#""detail":"already charged""#), "{}", replay.body);
    }
    assert_eq!((runs.load(Ordering::SeqCst), used(&service).await.as_str()), (1, "1"));
    // Another key, route, or method is another charge; and so is a request without a key.
    for (method, path, key) in [(Method::GET, "/a", "l"), (Method::GET, "/b", "k"), (Method::POST, "/a", "k")] {
        assert_eq!(with_key(&app, method, path, key).await.status, StatusCode::OK);
    }
    assert_eq!(get(&app, "/a").await.status, StatusCode::OK);
    assert_eq!(used(&service).await, "5");
}

#[tokio::test]
async fn a_replay_may_run_again_free_of_charge() {
    let (service, runs) = (service(), Arc::default());
    let keys = IdempotencyKeys::header("X-Key").unwrap().with_on_replay(OnReplay::Run);
    let quota = layer(&service).with_idempotency_keys(keys);
    let app = Router::new()
        .route("/a", counting(&runs).layer(quota.clone()))
        .route("/on-success", counting(&runs).layer(quota.cost(RouteCost::from(2).on_success())))
        .with_state(());
    for path in ["/a", "/on-success"] {
        for _ in 0..3 {
            let mut request = request(Method::GET, path);
            request.headers_mut().insert("x-key", "k".parse().unwrap());
            assert_eq!(send(&app, request).await.status, StatusCode::OK);
        }
    }
    assert_eq!((runs.load(Ordering::SeqCst), used(&service).await.as_str()), (6, "3"));
}

#[tokio::test]
async fn a_key_with_another_cost_is_a_conflict_of_its_own() {
    let service = service();
    let by_query = RouteCost::computed(|parts| {
        credits_from_query(parts.uri.query(), "n").map_err(|error| quota_axum::Answers::default().malformed(&error))
    });
    let quota = keyed(&service);
    let app = Router::new()
        .route("/cost", on_get(|| async { "ran" }).layer(quota.cost(by_query)))
        .route("/compute", on_get(compute).layer(quota.without_charge()))
        .with_state(());
    for path in ["/cost?n=", "/compute?credits="] {
        assert_eq!(get_with_key(&app, &format!("{path}1"), "k").await.status, StatusCode::OK);
        let other = get_with_key(&app, &format!("{path}2"), "k").await;
        assert_eq!(other.status, StatusCode::CONFLICT);
        assert!(other.body.contains("the idempotency key was used with another cost"), "{}", other.body);
    }
    assert_eq!(used(&service).await, "2");
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
async fn what_is_no_key_is_refused_and_nothing_is_charged() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(keyed(&service)).with_state(());
    for key in ["", " ", "a b", "\"open", "\"\"", &"x".repeat(129)] {
        let answer = get_with_key(&app, "/a", key).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{key:?}");
        assert!(answer.body.contains(r#""detail":"idempotency-key: "#), "{}", answer.body);
    }
    let mut twice = request(Method::GET, "/a");
    for key in ["a", "b"] {
        twice.headers_mut().append("idempotency-key", key.parse().unwrap());
    }
    assert_eq!(send(&app, twice).await.status, StatusCode::BAD_REQUEST);
    // Who it is comes first.
    let mut nobody = request(Method::GET, "/a");
    nobody.headers_mut().remove("x-client-id");
    nobody.headers_mut().insert("idempotency-key", "a b".parse().unwrap());
    assert_eq!(send(&app, nobody).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(used(&service).await, "0");
    assert_eq!(get_with_key(&app, "/a", &"x".repeat(128)).await.status, StatusCode::OK);
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
async fn ids_that_look_like_keys_are_refused_from_handlers() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        let charge = Charge::new(Credits::ONE).with_id(OperationId::new("key:mine").unwrap());
        quota.charge(charge).await?;
        Ok::<_, Refused>("ran")
    };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge()).with_state(());
    let answer = get(&app, "/a").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("reserved"), "{}", answer.body);
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_405_gives_the_key_back() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(keyed(&service)).with_state(());
    for _ in 0..2 {
        assert_eq!(with_key(&app, Method::POST, "/a", "k").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn only_success_is_charged_and_the_headers_say_so() {
    let service = service();
    let quota = layer(&service);
    let no_server_error = RouteCost::from(2).on_status(|status| !status.is_server_error());
    let app = Router::new()
        .route("/a", on_get(answering).layer(quota.cost(RouteCost::from(4).on_success())))
        .route("/b", on_get(answering).layer(quota.cost(no_server_error)))
        .with_state(());
    for (path, left) in
        [("/a", "6"), ("/a?404", "6"), ("/a?500", "6"), ("/b?500", "6"), ("/b?404", "4"), ("/a?201", "0")]
    {
        let answer = get(&app, path).await;
        assert_eq!(answer.remaining(), Some(left), "{path}");
        assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    }
    // What cannot be paid does not run, even if it would fail.
    assert_eq!(get(&app, "/a?500").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(used(&service).await, "10");
}

#[tokio::test]
async fn a_405_is_not_charged_whatever_is_a_success() {
    let service = service();
    let cost = RouteCost::from(4).on_status(|_| true);
    let app = Router::new().route("/a", on_get(answering)).layer(layer(&service).cost(cost)).with_state(());
    let answer = send(&app, request(Method::POST, "/a")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_failed_request_may_be_tried_again_under_its_key_and_a_successful_one_not() {
    let service = service();
    let cost = RouteCost::from(4).on_success();
    let app = Router::new().route("/a", on_get(answering)).layer(keyed(&service).cost(cost)).with_state(());
    for (path, status) in [("/a?503", 503), ("/a?503", 503), ("/a", 200), ("/a", 409)] {
        assert_eq!(get_with_key(&app, path, "k").await.status.as_u16(), status);
    }
    assert_eq!(used(&service).await, "4");
}

#[tokio::test]
async fn a_key_that_is_under_way_is_a_conflict_and_leaves_the_first_alone() {
    let service = service();
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let quota = keyed(&service);
    let (signal, wait) = (Arc::clone(&entered), Arc::clone(&go));
    let handler = move |quota: ClientQuota, uri: Uri| async move {
        let held = match member_from_query(uri.query(), "hold").ok().flatten() {
            Some(_) => Some(quota.hold(Credits::ONE).await?),
            None => None,
        };
        signal.notify_one();
        wait.notified().await;
        if let Some(held) = held {
            held.settle(Credits::ONE).await?;
        }
        Ok::<_, Refused>("ran")
    };
    let app = Router::new()
        .route("/layer", on_get(handler.clone()).layer(quota.cost(RouteCost::from(1).on_success())))
        .route("/handler", on_get(handler).layer(quota.without_charge()))
        .with_state(());
    for path in ["/layer", "/handler?hold=1"] {
        let first = tokio::spawn({
            let app = app.clone();
            async move { get_with_key(&app, path, "k").await.status }
        });
        entered.notified().await;
        let second = get_with_key(&app, path, "k").await;
        assert_eq!(second.status, StatusCode::CONFLICT, "{path}");
        assert!(second.body.contains("under way"), "{}", second.body);
        go.notify_one();
        assert_eq!(first.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(used(&service).await, "2");
}

#[tokio::test]
async fn a_cancelled_request_that_pays_on_success_leaves_nothing() {
    let service = service();
    let entered = Arc::new(Notify::new());
    let signal = Arc::clone(&entered);
    let handler = move || async move {
        signal.notify_one();
        std::future::pending::<()>().await;
    };
    let cost = RouteCost::from(4).on_success();
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).cost(cost)).with_state(());
    let asked = tokio::spawn(async move { get(&app, "/a").await.status });
    entered.notified().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    // The release goes on by itself.
    while service.status(&client()).await.unwrap().lowest().unwrap().held() != Credits::ZERO {
        tokio::task::yield_now().await;
    }
    assert_eq!(used(&service).await, "0");
}
