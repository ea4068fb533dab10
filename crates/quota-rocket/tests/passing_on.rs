//! Requests that a route's guard admits and its parameters pass on to another route.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quota_core::{Anchor, ClientId, Credits, Limit, Period, Plan, Quota, Tz};
use quota_rocket::{ClientBy, Costs, Paid, Price, QuotaFairing, RouteCost};
use quota_service::{PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;
use quota_testkit::{Gate, Gated, Keeper};
use rocket::http::Header;
use rocket::local::blocking::Client;
use rocket::request::{FromRequest, Outcome};
use rocket::{Request, get, routes};

/// The application's own authentication.
struct Known;

/// How often it was asked.
static ASKED: AtomicUsize = AtomicUsize::new(0);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Known {
    type Error = Infallible;

    async fn from_request(_: &'r Request<'_>) -> Outcome<Self, Infallible> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Outcome::Success(Self)
    }
}

/// Two credits, if it works.
struct IfItWorks;

impl Price for IfItWorks {
    fn cost() -> RouteCost {
        RouteCost::from(Credits::new(2).unwrap()).on_success()
    }
}

#[get("/item/<id>")]
fn by_id(id: u32, _quota: Costs<5>) -> String {
    format!("item {id}")
}

#[get("/item/<name>", rank = 2)]
fn by_name(name: &str, _quota: Costs<1>) -> String {
    format!("the item {name}")
}

#[get("/chain/<number>")]
fn first(number: u32, _quota: Costs<5>) -> String {
    number.to_string()
}

#[get("/chain/<_choice>", rank = 2)]
fn second(_choice: bool, _quota: Costs<1>) -> &'static str {
    "true or false"
}

#[get("/chain/<text>", rank = 3)]
fn third(text: &str, _quota: Costs<1>) -> String {
    text.to_owned()
}

#[get("/thing/<id>")]
fn thing(id: u32, _quota: Paid<IfItWorks>) -> String {
    format!("thing {id}")
}

#[get("/thing/<name>", rank = 2)]
fn free(name: &str) -> String {
    format!("the thing {name} is free")
}

#[get("/set/<id>")]
fn set_by_id(id: u32, _quota: Costs<1>) -> String {
    id.to_string()
}

#[get("/set/<name>", rank = 2)]
fn set_by_name(name: &str, _quota: Costs<1>) -> String {
    name.to_owned()
}

/// The answer and what remains of a hundred.
fn ask(client: &Client, path: &'static str) -> (u16, Option<String>, String) {
    let response = client.get(path).header(Header::new("x-client-id", "client1")).dispatch();
    let remaining = response.headers().get_one("x-ratelimit-remaining").map(str::to_owned);
    (response.status().code, remaining, response.into_string().unwrap())
}

fn client() -> (Client, QuotaService<MemoryStore>) {
    let service = service();
    let quota = QuotaFairing::new(service.clone(), ClientBy::header("X-Client-Id").unwrap());
    (client_with(quota), service)
}

fn service() -> QuotaService<MemoryStore> {
    QuotaService::builder(MemoryStore::new()).with_registry(plans()).build()
}

fn plans() -> PlanRegistry {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let year = Quota::new(Period::YEAR, Limit::Finite("100".parse().unwrap()), anchor);
    PlanRegistry::new().with(ClientId::new("client1").unwrap(), Plan::new([year]).unwrap())
}

fn client_with(quota: QuotaFairing) -> Client {
    Client::untracked(rocket_with(quota)).unwrap()
}

fn rocket_with(quota: QuotaFairing) -> rocket::Rocket<rocket::Build> {
    let quota = quota.with_route("/set/<name>", Credits::new(7).unwrap());
    let config = rocket::Config { log_level: rocket::config::LogLevel::Off, ..rocket::Config::debug_default() };
    rocket::custom(config)
        .attach(quota)
        .mount("/", routes![by_id, by_name, first, second, third, set_by_id, set_by_name, thing, free])
}

#[test]
fn it_pays_what_the_route_costs_that_runs_it() {
    let (client, _service) = client();
    let answer = |remaining: &str, body: &str| (200, Some(remaining.to_owned()), body.to_owned());
    assert_eq!(ask(&client, "/item/7"), answer("95", "item 7"));
    // The first one that is passed on pays the route's price that passed it on, for its charge had no id.
    assert_eq!(ask(&client, "/item/seven"), answer("90", "the item seven"));
    for remaining in ["89", "88", "87"] {
        assert_eq!(ask(&client, "/item/seven"), answer(remaining, "the item seven"));
    }
    assert_eq!(ask(&client, "/item/8"), answer("82", "item 8"));
}

#[test]
fn it_pays_once_on_three_routes() {
    let (client, _service) = client();
    let answer = |remaining: &str, body: &str| (200, Some(remaining.to_owned()), body.to_owned());
    // The first is not given back, and so nothing more is charged.
    assert_eq!(ask(&client, "/chain/x"), answer("95", "x"));
    // The price of the second is the third's, which keeps its charge.
    assert_eq!(ask(&client, "/chain/x"), answer("94", "x"));
    assert_eq!(ask(&client, "/chain/true"), answer("93", "true or false"));
    assert_eq!(ask(&client, "/chain/7"), answer("88", "7"));
}

/// From here on the store does nothing.
struct Shuts;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Shuts {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        if let Some(keeper) = request.rocket().state::<Arc<Keeper>>() {
            keeper.set(Gate::NotDone);
        }
        Outcome::Success(Self)
    }
}

#[get("/gate/<id>")]
fn shut_by_id(id: u32, _quota: Costs<5>, _shuts: Shuts) -> String {
    id.to_string()
}

#[get("/gate/<name>", rank = 2)]
fn shut_by_name(name: &str, _quota: Costs<1>) -> String {
    name.to_owned()
}

#[test]
fn it_pays_once_where_what_it_paid_cannot_be_given_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _lanes_run_there = runtime.enter();
    let (store, keeper) = Gated::new(MemoryStore::new());
    let service = QuotaService::builder(store).with_registry(plans()).build();
    let quota = QuotaFairing::new(service, ClientBy::header("X-Client-Id").unwrap());
    let rocket = rocket_with(quota).manage(Arc::clone(&keeper)).mount("/", routes![shut_by_id, shut_by_name]);
    let client = Client::untracked(rocket).unwrap();
    // The charge of the first has no id; that of the second has one, and its store does not answer.
    for remaining in ["95", "90"] {
        keeper.set(Gate::Open);
        assert_eq!(ask(&client, "/gate/x"), (200, Some(remaining.to_owned()), "x".to_owned()));
    }
    keeper.set(Gate::Open);
    // It is not given back later either.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(ask(&client, "/item/7").1.as_deref(), Some("85"));
}

#[test]
fn it_pays_what_the_settings_say_of_its_route() {
    let (client, _service) = client();
    let answer = |remaining: &str, body: &str| (200, Some(remaining.to_owned()), body.to_owned());
    assert_eq!(ask(&client, "/set/1"), answer("99", "1"));
    // The first that is passed on pays the first route's price.
    for remaining in ["98", "91", "84"] {
        assert_eq!(ask(&client, "/set/one"), answer(remaining, "one"));
    }
}

#[test]
fn what_is_held_on_a_route_that_passes_it_on_is_given_back() {
    let (client, service) = client();
    assert_eq!(ask(&client, "/thing/7").1.as_deref(), Some("98"));
    assert_eq!(ask(&client, "/thing/seven"), (200, None, "the thing seven is free".to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(service.status(&ClientId::new("client1").unwrap())).unwrap();
    let year = *status.lowest().unwrap();
    assert_eq!((year.used().to_string(), year.held()), ("2".to_owned(), Credits::ZERO));
}

#[test]
fn the_applications_own_guard_is_asked_once_on_however_many_routes() {
    let known = |_: &Known| Ok(ClientId::new("client1").unwrap());
    let client = client_with(QuotaFairing::by_guard(Arc::new(service()), known));
    // What the first one pays of each stands on every route; of the next ones each route decides.
    for _ in 0..2 {
        for (path, body) in [("/item/7", "item 7"), ("/item/seven", "the item seven"), ("/chain/x", "x")] {
            let before = ASKED.load(Ordering::SeqCst);
            let (status, _, answered) = ask(&client, path);
            assert_eq!((status, answered.as_str()), (200, body));
            assert_eq!(ASKED.load(Ordering::SeqCst) - before, 1, "{path}");
        }
    }
}
