//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use quota_core::Credits;
use quota_rocket::{
    Answers, ClientBy, ClientQuota, Costs, Paid, Price, QuotaFairing, RefusalResponse, Refused, RouteCost, UsageRoutes,
    credits_from_query, member_from_query,
};
use quota_testkit::http::{HttpHarness, Program};
use rocket::http::uri::Origin;
use rocket::http::{Header, Status};
use rocket::local::blocking::Client;
use rocket::response::Responder;
use rocket::{Build, get, post, routes};

struct Rocket(Client);

impl HttpHarness for Rocket {
    fn serve(program: Program) -> Self {
        Self(Client::untracked(app(program)).unwrap())
    }

    fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        let method = parts.method.as_str().parse().unwrap();
        let mut request = self.0.req(method, parts.uri.to_string()).body(body);
        for (name, value) in &parts.headers {
            // As Rocket does with what is no UTF-8: its server leaves it out.
            if let Ok(value) = std::str::from_utf8(value.as_bytes()) {
                request.add_header(Header::new(name.as_str().to_owned(), value.to_owned()));
            }
        }
        let response = request.dispatch();
        let mut answer = Response::builder().status(response.status().code);
        for header in response.headers().iter() {
            answer = answer.header(header.name().as_str(), header.value());
        }
        answer.body(response.into_bytes().unwrap_or_default().into()).unwrap()
    }
}

fn app(program: Program) -> rocket::Rocket<Build> {
    let client = ClientBy::header("X-Client-Id").unwrap();
    let mut quota = QuotaFairing::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let routes = routes![one, five, half, by_query, free, created, number, answer, idle, compute, generate, twice];
    let quiet = rocket::Config { log_level: rocket::config::LogLevel::Off, ..rocket::Config::debug_default() };
    rocket::custom(quiet).attach(quota).mount("/", routes).mount("/quota", UsageRoutes::new(program.usage, client))
}

#[get("/one")]
fn one(_quota: Costs<1>) -> &'static str {
    "ran"
}

#[get("/five")]
fn five(_quota: Costs<5>) -> &'static str {
    "ran"
}

struct Half;

impl Price for Half {
    fn cost() -> RouteCost {
        "0.5".parse::<Credits>().unwrap().into()
    }
}

#[get("/half")]
fn half(_quota: Paid<Half>) -> &'static str {
    "ran"
}

struct ByQuery;

impl Price for ByQuery {
    fn cost() -> RouteCost {
        RouteCost::computed(|request| {
            let query = request.uri().query().map(|query| query.as_str());
            credits_from_query(query, "n").map_err(|error| Answers::default().malformed(&error))
        })
    }
}

#[get("/by-query")]
fn by_query(_quota: Paid<ByQuery>) -> &'static str {
    "ran"
}

#[get("/free")]
fn free() -> &'static str {
    "ran"
}

#[derive(Responder)]
#[response(status = 201)]
struct Created {
    body: &'static str,
    location: Header<'static>,
    own: Header<'static>,
}

#[post("/created")]
fn created(_quota: Costs<1>) -> Created {
    Created {
        body: "made",
        location: Header::new("location", "/made/1"),
        own: Header::new("x-ratelimit-remaining", "own"),
    }
}

#[get("/number/<_number>")]
fn number(_quota: Costs<1>, _number: u32) -> &'static str {
    "ran"
}

struct FourOnSuccess;

impl Price for FourOnSuccess {
    fn cost() -> RouteCost {
        RouteCost::from(4).on_success()
    }
}

#[get("/answer?<status>")]
fn answer(_quota: Paid<FourOnSuccess>, status: u16) -> (Status, &'static str) {
    (Status::new(status), "ran")
}

#[get("/idle")]
fn idle(_quota: ClientQuota) -> &'static str {
    "ran"
}

/// The query as it was sent.
fn query<'r>(uri: &'r Origin<'_>) -> Option<&'r str> {
    uri.query().map(|query| query.as_str())
}

#[get("/compute")]
async fn compute(quota: ClientQuota, uri: &Origin<'_>) -> Result<String, Refused> {
    let credits = credits_from_query(query(uri), "credits")?;
    quota.charge(credits).await?;
    Ok(credits.to_string())
}

#[get("/generate")]
async fn generate(quota: ClientQuota, uri: &Origin<'_>) -> Result<String, Refused> {
    let held = quota.hold(credits_from_query(query(uri), "max")?).await?;
    if member_from_query(query(uri), "fail")?.is_some() {
        held.release().await?;
        let failed = http::StatusCode::INTERNAL_SERVER_ERROR;
        return Err(RefusalResponse::new(failed, HeaderMap::new(), "failed".into()).into());
    }
    let settled = held.settle(credits_from_query(query(uri), "actual")?).await?;
    Ok(format!("late: {}", settled.is_late()))
}

#[get("/twice")]
async fn twice(_paid: Costs<1>, quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<Credits>().unwrap()).await?;
    quota.record("0.5".parse::<Credits>().unwrap()).await?;
    Ok("ran")
}

quota_testkit::http_suite!(Rocket);
