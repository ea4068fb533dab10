//! What only Rocket has: guards, sentinels and catchers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::Pin;
use std::sync::Arc;

use quota_core::{Anchor, ClientId, Limit, Period, Plan, Quota, Tz};
use quota_rocket::{ClientBy, ClientQuota, Costs, NoClient, QuotaFairing, Refused, RouteCost};
use quota_service::{PlanRegistry, QuotaService, UsageStore};
use quota_store_memory::MemoryStore;
use quota_testkit::{Gate, Gated, Keeper};
use rocket::data::{IoHandler, IoStream};
use rocket::fairing::AdHoc;
use rocket::http::{CookieJar, Header, Status};
use rocket::local::blocking::Client;
use rocket::request::{FromRequest, Outcome};
use rocket::response::Responder;
use rocket::{Build, Request, catch, catchers, get, routes};

fn service() -> QuotaService<MemoryStore> {
    service_over(MemoryStore::new())
}

fn service_over<S: UsageStore>(store: S) -> QuotaService<S> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let year = Quota::new(Period::YEAR, Limit::Finite("10".parse().unwrap()), anchor);
    let plans = PlanRegistry::new().with(ClientId::new("client1").unwrap(), Plan::new([year]).unwrap());
    QuotaService::builder(store).with_registry(plans).build()
}

fn fairing() -> QuotaFairing {
    QuotaFairing::new(service(), ClientBy::header("X-Client-Id").unwrap())
}

fn quiet() -> rocket::Rocket<Build> {
    rocket::custom(rocket::Config { log_level: rocket::config::LogLevel::Off, ..rocket::Config::debug_default() })
}

/// Status, what remains, and body.
fn ask(client: &Client, path: &'static str, id: &'static str) -> (u16, Option<String>, String) {
    let response = client.get(path).header(Header::new("x-client-id", id)).dispatch();
    let remaining = response.headers().get_one("x-ratelimit-remaining").map(str::to_owned);
    (response.status().code, remaining, response.into_string().unwrap_or_default())
}

#[get("/five")]
fn five(_quota: Costs<5>) -> &'static str {
    "ran"
}

#[get("/two-prices")]
fn two_prices(_one: Costs<1>, _two: Costs<2>) -> &'static str {
    "ran"
}

#[get("/in-hand")]
fn in_hand(quota: Result<Costs<5>, Refused>) -> String {
    match quota {
        Ok(_) => "paid".to_owned(),
        Err(refused) => format!("for free, though {}", refused.into_inner().status()),
    }
}

#[get("/panics")]
async fn panics(quota: ClientQuota) -> Result<(), Refused> {
    let _held = quota.hold("5".parse::<quota_core::Credits>().unwrap()).await?;
    panic!("the handler fails");
}

/// The store fails while it runs.
#[get("/paid")]
fn paid(_quota: Costs<5>, keeper: &rocket::State<Arc<Keeper>>, cookies: &CookieJar<'_>) -> (Status, PaidAnswer) {
    keeper.set(Gate::NotDone);
    cookies.add(("session", "paid"));
    (Status::Created, PaidAnswer { body: Upgrading("the report"), etag: Header::new("etag", "\"7\"") })
}

#[derive(rocket::Responder)]
struct PaidAnswer {
    body: Upgrading,
    etag: Header<'static>,
}

struct Upgrading(&'static str);

impl<'r> Responder<'r, 'static> for Upgrading {
    fn respond_to(self, request: &'r Request<'_>) -> rocket::response::Result<'static> {
        let mut response = self.0.respond_to(request)?;
        response.add_upgrade("websocket", Nothing);
        Ok(response)
    }
}

struct Nothing;

#[rocket::async_trait]
impl IoHandler for Nothing {
    async fn io(self: Pin<Box<Self>>, _io: IoStream) -> std::io::Result<()> {
        Ok(())
    }
}

#[catch(429)]
fn too_many() -> &'static str {
    "caught"
}

#[test]
fn an_application_without_the_fairing_does_not_start() {
    let error = Client::untracked(quiet().mount("/", routes![five])).map(drop).unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)), "{error:?}");
    let twice = quiet().attach(fairing()).attach(QuotaFairing::new(service(), ClientBy::header("X").unwrap()));
    let error = Client::untracked(twice).map(drop).unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::FailedFairings(_)), "{error:?}");
}

#[test]
fn a_denial_is_a_problem_document_unless_it_is_left_to_catchers() {
    for (quota, body) in [(fairing(), "quota-exceeded"), (fairing().with_catchers(), "caught")] {
        let rocket = quiet().attach(quota).mount("/", routes![five]).register("/", catchers![too_many]);
        let client = Client::untracked(rocket).unwrap();
        for remaining in ["5", "0"] {
            assert_eq!(ask(&client, "/five", "client1"), (200, Some(remaining.to_owned()), "ran".to_owned()));
        }
        let (status, remaining, answered) = ask(&client, "/five", "client1");
        assert_eq!((status, remaining.as_deref()), (429, Some("0")));
        assert!(answered.contains(body), "{answered}");
        let response = client.get("/five").header(Header::new("x-client-id", "client1")).dispatch();
        let kind = if body == "caught" { "text/plain; charset=utf-8" } else { "application/problem+json" };
        assert_eq!(response.headers().get("content-type").collect::<Vec<_>>(), [kind]);
    }
}

#[catch(default)]
fn caught() -> &'static str {
    "caught"
}

#[test]
fn what_is_left_to_catchers_says_in_headers_what_to_do() {
    let service = service();
    let quota = QuotaFairing::new(service.clone(), ClientBy::header("X-Client-Id").unwrap()).with_catchers();
    let rocket = quiet().attach(quota).mount("/", routes![five]).register("/", catchers![caught]);
    let client = Client::untracked(rocket).unwrap();
    let assert_refused = |id: Option<&'static str>, status: u16, name: &str, value: Option<&str>| {
        let request = client.get("/five");
        let response = match id {
            Some(id) => request.header(Header::new("x-client-id", id)).dispatch(),
            None => request.dispatch(),
        };
        assert_eq!(response.status().code, status);
        let told = response.headers().get_one(name);
        assert!(told.is_some_and(|told| value.is_none_or(|value| told == value)), "{:?}", response.headers());
        assert_eq!(response.headers().get_one("cache-control"), Some("no-store"));
        assert_eq!(response.headers().get("content-type").collect::<Vec<_>>(), ["text/plain; charset=utf-8"]);
        assert_eq!(response.into_string().unwrap(), "caught");
    };
    assert_refused(None, 401, "www-authenticate", Some("ApiKey"));
    for _ in 0..2 {
        assert_eq!(ask(&client, "/five", "client1").0, 200);
    }
    assert_refused(Some("client1"), 429, "retry-after", None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(service.shutdown());
    assert_refused(Some("client1"), 503, "retry-after", Some("1"));
}

#[test]
fn a_handler_may_take_the_refusal_in_hand() {
    let client = Client::untracked(quiet().attach(fairing()).mount("/", routes![in_hand])).unwrap();
    for (body, remaining) in [("paid", "5"), ("paid", "0"), ("for free, though 429 Too Many Requests", "0")] {
        let (status, told, answered) = ask(&client, "/in-hand", "client1");
        assert_eq!((status, told.as_deref(), answered.as_str()), (200, Some(remaining), body));
    }
    let (status, told, answered) = ask(&client, "/in-hand", "");
    assert_eq!((status, told, answered.as_str()), (200, None, "for free, though 401 Unauthorized"));
}

#[test]
fn guards_of_two_prices_are_refused_and_not_misunderstood() {
    let client = Client::untracked(quiet().attach(fairing()).mount("/", routes![two_prices])).unwrap();
    assert_eq!(ask(&client, "/two-prices", "client1").0, 500);
}

#[get("/one/<_id>")]
fn one(_quota: Costs<1>, _id: u32) -> &'static str {
    "ran"
}

#[test]
fn a_table_gives_routes_their_costs_whatever_their_guards_say() {
    let quota = fairing().with_route("/five", 2).with_route("/api/one/<_id>", RouteCost::from(4).on_success());
    let rocket = quiet().attach(quota).mount("/", routes![five, in_hand]).mount("/api", routes![one]);
    let client = Client::untracked(rocket).unwrap();
    // Of `/in-hand` nothing is said: what its guard says.
    for (path, remaining) in [("/five", "8"), ("/api/one/7", "4"), ("/five", "2")] {
        assert_eq!(ask(&client, path, "client1").1.as_deref(), Some(remaining), "{path}");
    }
    assert_eq!(ask(&client, "/api/one/7", "client1").0, 429);
    assert_eq!(ask(&client, "/in-hand", "client1").2, "for free, though 429 Too Many Requests");
}

#[test]
fn a_route_that_is_exempt_and_has_a_guard_is_refused() {
    let quota = fairing().with_route("/five", RouteCost::exempt());
    let client = Client::untracked(quiet().attach(quota).mount("/", routes![five])).unwrap();
    assert_eq!(ask(&client, "/five", "client1").0, 500);
}

#[test]
fn a_handler_that_panics_releases_its_hold() {
    let service = service();
    let quota = QuotaFairing::new(service.clone(), ClientBy::header("X-Client-Id").unwrap());
    let client = Client::untracked(quiet().attach(quota).mount("/", routes![panics, five])).unwrap();
    assert_eq!(ask(&client, "/panics", "client1").0, 500);
    // The release goes on by itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held =
        || runtime.block_on(service.status(&ClientId::new("client1").unwrap())).unwrap().lowest().unwrap().held();
    while held() != quota_core::Credits::ZERO {
        std::thread::yield_now();
    }
    assert_eq!(ask(&client, "/five", "client1").1.as_deref(), Some("5"));
}

#[test]
fn an_answer_that_cannot_be_paid_shows_nothing_of_itself() {
    let cors = AdHoc::on_response("cors", |_, response| {
        Box::pin(async move { response.adjoin_raw_header("access-control-allow-origin", "*") })
    });
    // Rocket upgrades to what an answer has a handler for, whatever its status.
    let upgrades = AdHoc::on_response("upgrades", |_, response| {
        Box::pin(async move {
            if response.upgrade("websocket").is_some() {
                response.set_raw_header("x-upgrades", "websocket");
            }
        })
    });
    let (store, keeper) = Gated::new(MemoryStore::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(async { service_over(store) });
    let quota = QuotaFairing::new(service, ClientBy::header("X-Client-Id").unwrap());
    let quota = quota.with_route("/paid", RouteCost::from(5).on_success());
    let rocket = quiet().attach(cors).attach(quota).attach(upgrades).manage(keeper).mount("/", routes![paid]);
    let client = Client::untracked(rocket).unwrap();
    let response = client.get("/paid").header(Header::new("x-client-id", "client1")).dispatch();
    assert_eq!(response.status().code, 503);
    let has = |name: &str| response.headers().contains(name);
    assert!(!has("etag") && !has("set-cookie") && !has("x-upgrades"), "{:?}", response.headers());
    assert!(has("access-control-allow-origin") && has("x-frame-options"), "{:?}", response.headers());
    assert_eq!(response.headers().get_one("content-type"), Some("application/problem+json"));
    assert!(!response.into_string().unwrap().contains("report"));
}

/// Who the application's own authentication says it is.
struct User(String);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        tokio::task::yield_now().await;
        match request.headers().get_one("x-client-id") {
            Some("banned") => Outcome::Error((Status::Gone, ())),
            Some("nobody") | None => Outcome::Forward(Status::Unauthorized),
            Some(name) => Outcome::Success(Self(name.to_owned())),
        }
    }
}

#[catch(410)]
fn gone() -> rocket::response::content::RawJson<&'static str> {
    rocket::response::content::RawJson(r#"{"gone":true}"#)
}

#[test]
fn a_guard_of_the_applications_names_the_client() {
    let quota =
        QuotaFairing::by_guard(Arc::new(service()), |user: &User| ClientId::new(&user.0).map_err(NoClient::from));
    let rocket = quiet().attach(quota).mount("/", routes![five]).register("/", catchers![gone]);
    let client = Client::untracked(rocket).unwrap();
    assert_eq!(ask(&client, "/five", "client1").1.as_deref(), Some("5"));
    assert_eq!(ask(&client, "/five", "banned").2, r#"{"gone":true}"#, "the application's own answer");
    for (id, status) in [("nobody", 401), ("banned", 410), ("stranger", 403)] {
        assert_eq!(ask(&client, "/five", id).0, status, "{id}");
    }
}

/// Asks for the same guard twice, at once.
struct Twice;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Twice {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let guard = || request.guard::<Costs<1>>();
        match rocket::tokio::join!(guard(), guard()) {
            (Outcome::Success(_), Outcome::Success(_)) => Outcome::Success(Self),
            _ => Outcome::Error((Status::InternalServerError, ())),
        }
    }
}

#[get("/twice")]
fn twice(_twice: Twice) -> &'static str {
    "ran"
}

#[test]
fn guards_that_are_asked_at_once_charge_once() {
    // It waits for another guard.
    let quota =
        QuotaFairing::by_guard(Arc::new(service()), |user: &User| ClientId::new(&user.0).map_err(NoClient::from));
    let client = Client::untracked(quiet().attach(quota).mount("/", routes![twice])).unwrap();
    for left in ["9", "8"] {
        assert_eq!(ask(&client, "/twice", "client1"), (200, Some(left.to_owned()), "ran".to_owned()));
    }
}
