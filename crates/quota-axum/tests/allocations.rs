//! What the layer allocates for a request of a client that is known.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::routing::get;
use http::{Request, StatusCode};
use quota_axum::{Answers, ClientBy, QuotaLayer, RateLimitFields};
use quota_testkit::http::steady_service;
use tower::ServiceExt;
use tower::layer::util::Identity;

const REQUESTS: u64 = 100;

fn quota(answers: Answers) -> QuotaLayer {
    QuotaLayer::new(steady_service(), ClientBy::header("X-Client-Id").unwrap()).with_answers(answers)
}

/// With five headers instead of three.
fn all_headers() -> Answers {
    Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11)
}

async fn handler() -> &'static str {
    "data"
}

/// Decided in the first poll, without a runtime: nothing else allocates here.
fn answer(router: &Router) -> StatusCode {
    let request = Request::get("/data").header("x-client-id", "client1").body(Body::empty()).unwrap();
    match pin!(router.clone().oneshot(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response.unwrap().status(),
        Poll::Pending => panic!("the store waits"),
    }
}

/// Allocations of a request, all in all.
fn allocations(router: &Router) -> u64 {
    for _ in 0..3 {
        assert_eq!(answer(router), StatusCode::OK);
    }
    let counted = allocation_counter::measure(|| {
        for _ in 0..REQUESTS {
            assert_eq!(answer(router), StatusCode::OK);
        }
    });
    assert_eq!(counted.count_total % REQUESTS, 0, "every request allocates alike");
    counted.count_total / REQUESTS
}

/// What a layer adds to what the same request allocates without it.
fn added(with: &Router, without: &Router) -> u64 {
    allocations(with).saturating_sub(allocations(without))
}

/// Two are hoped for, and two are the layer's own: what it shares with handler and answer, and its place in the request's
/// extensions. The others are axum's and the header map's. Two let the answer's header map grow, which has room for six headers: five of
/// quotas make it seven. The extensions' map grows too, since axum's default features fill the three places that it
/// has. And a handler without state is a service of no size, which axum keeps in no memory; with a layer it has one.
const AROUND_A_HANDLER: u64 = 6;

#[test]
fn around_a_handler_the_layer_allocates_at_most_six_times_a_request() {
    let app = |handler| Router::new().route("/data", handler);
    for (answers, most) in [(all_headers(), AROUND_A_HANDLER), (Answers::default(), AROUND_A_HANDLER - 2)] {
        let added = added(&app(get(handler.layer(quota(answers)))), &app(get(handler)));
        assert!(added <= most, "{added}");
    }
}

#[test]
fn around_a_route_or_a_router_axum_allocates_three_times_for_any_layer_and_ours_no_more_often() {
    let routed = || Router::new().route("/data", get(handler));
    for added in [
        added(&Router::new().route("/data", get(handler).layer(Identity::new())), &routed()),
        added(&routed().layer(Identity::new()), &routed()),
    ] {
        assert!(added <= 3, "{added}");
    }
    for added in [
        added(&Router::new().route("/data", get(handler).layer(quota(all_headers()))), &routed()),
        added(&routed().layer(quota(all_headers())), &routed()),
    ] {
        assert!(added <= AROUND_A_HANDLER + 3, "{added}");
    }
}
