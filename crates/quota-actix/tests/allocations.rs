//! What the layer allocates for a request of a client that is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Identity;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, Resource, Responder, web};
use quota_actix::{Answers, ClientBy, QuotaLayer, RateLimitFields};
use quota_testkit::http::steady_service;

const REQUESTS: u64 = 100;

fn quota() -> QuotaLayer {
    QuotaLayer::new(steady_service(), ClientBy::header("X-Client-Id").unwrap())
        .with_answers(Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11))
}

async fn handler() -> impl Responder {
    "data"
}

/// Allocations of a request, all in all.
fn allocations<F, B>(app: App<F>) -> u64
where
    F: ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<B>, Error = Error, InitError = ()>
        + 'static,
    B: MessageBody,
{
    let runtime = actix_web::rt::Runtime::new().unwrap();
    let app = runtime.block_on(init_service(app));
    let answer = || {
        let request = TestRequest::get().uri("/data").insert_header(("x-client-id", "client1")).to_request();
        let response = runtime.block_on(app.call(request)).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    };
    (0..3).for_each(|_| answer());
    let counted = allocation_counter::measure(|| (0..REQUESTS).for_each(|_| answer()));
    assert_eq!(counted.count_total % REQUESTS, 0, "every request allocates alike");
    counted.count_total / REQUESTS
}

fn routed() -> Resource {
    web::resource("/data").route(web::get().to(handler))
}

/// Two are hoped for, and two they are: what the middleware shares with handler and answer, and its place in the request's
/// extensions. The third is the route's pattern, of which actix-web makes a text for each request.
const OURS: u64 = 3;

#[test]
fn around_a_resource_or_an_app_the_middleware_allocates_at_most_three_times_a_request() {
    let bare = allocations(App::new().service(routed()));
    for metered in [
        allocations(App::new().service(routed().wrap(quota()))),
        allocations(App::new().service(routed()).wrap(quota())),
    ] {
        assert!(metered <= bare + OURS, "{metered}, bare {bare}");
    }
}

#[test]
fn around_a_route_actix_allocates_once_for_any_middleware() {
    let with_nothing = web::resource("/data").route(web::get().to(handler).wrap(Identity::default()));
    let with_nothing = allocations(App::new().service(with_nothing));
    let bare = allocations(App::new().service(routed()));
    assert!(with_nothing <= bare + 1, "{with_nothing}, bare {bare}");
    let metered = web::resource("/data").route(web::get().to(handler).wrap(quota()));
    let metered = allocations(App::new().service(metered));
    assert!(metered <= with_nothing + OURS, "{metered}, with nothing {with_nothing}");
}
