//! What guard and fairing allocate for a request of a client that is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use quota_rocket::{Answers, ClientBy, Costs, QuotaFairing, RateLimitFields};
use quota_testkit::http::steady_service;
use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, routes};

const REQUESTS: u64 = 100;

fn quota() -> QuotaFairing {
    QuotaFairing::new(steady_service(), ClientBy::header("X-Client-Id").unwrap())
        .with_answers(Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11))
}

#[get("/metered")]
fn metered(_quota: Costs<1>) -> &'static str {
    "data"
}

#[get("/free")]
fn free() -> &'static str {
    "data"
}

fn rocket() -> Rocket<Build> {
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..rocket::Config::debug_default() };
    rocket::custom(config)
}

/// Allocations of a request, all in all. Rocket serves it on this thread.
fn allocations(rocket: Rocket<Build>, path: &'static str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(Client::untracked(rocket)).unwrap();
    let answer = || {
        let request = client.get(path).header(Header::new("x-client-id", "client1"));
        assert_eq!(runtime.block_on(request.dispatch()).status(), Status::Ok);
    };
    (0..3).for_each(|_| answer());
    let counted = allocation_counter::measure(|| (0..REQUESTS).for_each(|_| answer()));
    assert_eq!(counted.count_total % REQUESTS, 0, "every request allocates alike");
    counted.count_total / REQUESTS
}

/// Two are hoped for, and one is ours: what guard, handler and answer share. The others are Rocket's: a list for each of the
/// five headers, two for the map that they stand in, two for the place in the request's cache, and two for the futures of
/// guard and fairing, which it wants boxed. The headers' texts are borrowed from the request.
const OURS: u64 = 12;

#[test]
fn guard_and_fairing_allocate_at_most_twelve_times_a_request() {
    let bare = allocations(rocket().mount("/", routes![free]), "/free");
    let metered = allocations(rocket().mount("/", routes![metered]).attach(quota()), "/metered");
    assert!(metered <= bare + OURS, "{metered}, bare {bare}");
}

#[test]
fn a_route_without_a_guard_pays_for_the_fairing_only() {
    let bare = allocations(rocket().mount("/", routes![free]), "/free");
    let free = allocations(rocket().mount("/", routes![free]).attach(quota()), "/free");
    assert!(free <= bare + 3, "{free}, bare {bare}");
}
