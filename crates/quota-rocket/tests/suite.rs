//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use quota_core::{Credits, Label};
use quota_rocket::{
    Answers, ClientBy, ClientQuota, Costs, Paid, Price, QuotaFairing, RefusalResponse, Refused, RouteCost, UsageRoutes,
    credits_from_query, member_from_query,
};
use quota_testkit::http::{
    HttpHarness, Member, Named, Pause, Program, charge_from_query, chunks_from_query, client_of_token, cost_of_chunk,
    hold_from_query, in_time, on_drop_from_query, standing_of_role, told, ttl_from_query,
};
use rocket::config::LogLevel;
use rocket::fairing::AdHoc;
use rocket::http::uri::Origin;
use rocket::http::{ContentType, Header, Status};
use rocket::response::Responder;
use rocket::response::stream::ReaderStream;
use rocket::tokio::io::{AsyncRead, ReadBuf};
use rocket::{Build, Config, Request, State, get, options, post, routes};
use tokio::runtime::Runtime;

/// A server in a runtime of its own, with which it ends.
struct Rocket {
    _runtime: Runtime,
    address: SocketAddr,
}

impl HttpHarness for Rocket {
    /// Rocket runs a handler in a task that it does not end.
    const CANCELS: bool = false;
    const PAYS_BY_TYPE: bool = true;
    const HIDES_OTHER_THAN_UTF8: bool = true;
    /// Fairings are around nothing.
    const WRAPS: bool = false;

    fn serve(program: Program) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (begun, begins) = mpsc::channel();
        let listening = AdHoc::on_liftoff("the port", move |rocket| {
            Box::pin(async move { begun.send(rocket.config().port).unwrap() })
        });
        runtime.spawn(async { app(program).attach(listening).launch().await.map(drop) });
        let port = begins.recv().unwrap();
        Self { _runtime: runtime, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

fn app(program: Program) -> rocket::Rocket<Build> {
    let client = client_by(program.named);
    let mut quota = QuotaFairing::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let routes = routes![
        any,
        any_options,
        one,
        five,
        half,
        long,
        by_query,
        by_waiting,
        free,
        labelled,
        created,
        number,
        success,
        answer,
        accepted,
        beside,
        idle,
        compute,
        record,
        generate,
        streamed,
        twice,
        seen
    ];
    let quiet = Config { port: 0, log_level: LogLevel::Off, ..Config::debug_default() };
    let mut usage = UsageRoutes::new(program.usage, client);
    if program.operators_by_role {
        usage = usage.with_operators(|request| standing_of_role(value(request, "x-role")));
    }
    let rocket = rocket::custom(quiet).manage(program.pause).attach(quota).attach(authentication()).mount("/", routes);
    rocket.mount("/quota", usage.clone()).mount("/v1/deep/quota", usage)
}

fn value<'a>(request: &'a Request<'_>, name: &str) -> Option<&'a [u8]> {
    request.headers().get_one(name).map(str::as_bytes)
}

/// The program's own authentication.
fn authentication() -> AdHoc {
    AdHoc::on_request("who it is", |request, _| {
        Box::pin(async move {
            let member = Member::of_token(value(request, "x-token"));
            request.local_cache(|| member);
        })
    })
}

fn client_by(named: Named) -> ClientBy {
    match named {
        Named::Header => ClientBy::header("X-Client-Id").unwrap(),
        Named::Extension => ClientBy::extension(|member: &Member| Ok(member.client())),
        Named::Function => ClientBy::function(|request| client_of_token(value(request, "x-token"))),
        Named::Waiting => ClientBy::async_function(|request| {
            let token = value(request, "x-token").map(<[u8]>::to_vec);
            Box::pin(async move {
                tokio::task::yield_now().await;
                client_of_token(token.as_deref())
            })
        }),
    }
}

#[get("/one")]
fn one(_quota: Costs<1>) -> &'static str {
    "ran"
}

#[get("/five")]
async fn five(_quota: Costs<5>, pause: &State<Pause>, uri: &Origin<'_>) -> &'static str {
    pause.work(query(uri)).await;
    "ran"
}

#[get("/any")]
fn any(_quota: Costs<1>) -> &'static str {
    "ran"
}

#[options("/any")]
fn any_options(_quota: Costs<1>) -> &'static str {
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

/// [`quota_testkit::http::LONG_ROUTE`].
#[get(
    "/reports/of-all-that-was-used/by-every-department/and-project/and-member-of-it/in-every-region/and-zone/told-by-hour/and-day"
)]
fn long(_quota: Costs<1>) -> &'static str {
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

struct ByWaiting;

impl Price for ByWaiting {
    fn cost() -> RouteCost {
        RouteCost::async_computed(|request| {
            let query = request.uri().query().map(|query| query.as_str().to_owned());
            Box::pin(async move {
                tokio::task::yield_now().await;
                credits_from_query(query.as_deref(), "n").map_err(|error| Answers::default().malformed(&error))
            })
        })
    }
}

#[get("/by-waiting")]
fn by_waiting(_quota: Paid<ByWaiting>) -> &'static str {
    "ran"
}

struct Labelled;

impl Price for Labelled {
    fn cost() -> RouteCost {
        RouteCost::from(1).with_label(Label::new("reports").unwrap())
    }
}

#[get("/labelled")]
fn labelled(_quota: Paid<Labelled>) -> &'static str {
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

#[get("/success/<_number>")]
fn success(_quota: Paid<FourOnSuccess>, _number: u32) -> &'static str {
    "ran"
}

#[get("/answer?<status>")]
async fn answer(
    _quota: Paid<FourOnSuccess>,
    pause: &State<Pause>,
    uri: &Origin<'_>,
    status: u16,
) -> (Status, &'static str) {
    pause.work(query(uri)).await;
    (Status::new(status), "ran")
}

struct FourIfAccepted;

impl Price for FourIfAccepted {
    fn cost() -> RouteCost {
        RouteCost::from(4).on_status(|status| status == http::StatusCode::ACCEPTED)
    }
}

#[get("/accepted?<status>")]
fn accepted(_quota: Paid<FourIfAccepted>, status: u16) -> (Status, &'static str) {
    (Status::new(status), "ran")
}

#[get("/beside")]
async fn beside(quota: Paid<FourOnSuccess>, uri: &Origin<'_>) -> Result<String, Refused> {
    let charge = charge_from_query(query(uri))?;
    let credits = charge.credits();
    quota.charge(charge).await?;
    Ok(credits.to_string())
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
    let charge = charge_from_query(query(uri))?;
    let credits = charge.credits();
    quota.charge(charge).await?;
    Ok(credits.to_string())
}

#[get("/record")]
async fn record(quota: ClientQuota, uri: &Origin<'_>) -> Result<String, Refused> {
    let charge = charge_from_query(query(uri))?;
    let credits = charge.credits();
    quota.record(charge).await?;
    Ok(credits.to_string())
}

#[get("/generate")]
async fn generate(quota: ClientQuota, pause: &State<Pause>, uri: &Origin<'_>) -> Result<String, Refused> {
    in_time(query(uri), async {
        let held = quota.hold(hold_from_query(query(uri))?).await?;
        pause.work(query(uri)).await;
        if member_from_query(query(uri), "fail")?.is_some() {
            held.release().await?;
            let failed = http::StatusCode::INTERNAL_SERVER_ERROR;
            return Err(RefusalResponse::new(failed, HeaderMap::new(), "failed".into()).into());
        }
        let settled = held.settle(credits_from_query(query(uri), "actual")?).await?;
        Ok(format!("late: {}", settled.is_late()))
    })
    .await
}

/// A chunk that is read once, or fails.
struct Chunk(io::Result<&'static str>);

impl AsyncRead for Chunk {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let chunk = std::mem::replace(&mut self.0, Ok(""));
        Poll::Ready(chunk.map(|chunk| buffer.put_slice(chunk.as_bytes())))
    }
}

#[get("/stream")]
async fn streamed(
    quota: ClientQuota,
    pause: &State<Pause>,
    uri: &Origin<'_>,
) -> Result<(ContentType, ReaderStream<impl Stream<Item = Chunk> + use<>>), Refused> {
    let query = query(uri);
    let held = quota.hold_for(credits_from_query(query, "max")?, ttl_from_query(query)?).await?;
    let body = held.settle_after(chunks_from_query(pause, query)?, cost_of_chunk, on_drop_from_query(query)?);
    Ok((ContentType::Text, ReaderStream::from(body.map(Chunk))))
}

#[get("/twice")]
async fn twice(_paid: Costs<1>, quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<Credits>().unwrap()).await?;
    quota.record("0.5".parse::<Credits>().unwrap()).await?;
    Ok("ran")
}

#[get("/told")]
async fn seen(_paid: Costs<1>, quota: ClientQuota) -> Result<String, Refused> {
    let decision = quota.decision();
    quota.record("2".parse::<Credits>().unwrap()).await?;
    Ok(told(decision.as_ref(), quota.status().await.ok().as_ref())?)
}

quota_testkit::http_suite!(Rocket);
