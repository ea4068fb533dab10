//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode, Uri};
use quota_axum::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RefusalResponse, Refused, RouteCost, UsageRoutes, credits_from_query,
    member_from_query,
};
use quota_core::{Credits, Label};
use quota_testkit::http::{
    HttpHarness, IMPATIENT, LONG_ROUTE, Member, Named, Pause, Program, charge_from_query, chunks_from_query,
    client_of_token, cost_of_chunk, hold_from_query, in_time, on_drop_from_query, standing_of_role, told,
    ttl_from_query,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A server that ends with its runtime.
struct Axum {
    _runtime: Runtime,
    address: SocketAddr,
}

impl HttpHarness for Axum {
    const CANCELS: bool = true;
    const DROPS_STALLED: bool = true;

    fn serve(program: Program) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, app(program)).await });
        Self { _runtime: runtime, address }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

fn app(program: Program) -> Router {
    let client = client_by(program.named);
    let mut quota = QuotaLayer::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let quota = quota
        .with_route("/five", 5)
        .with_route("/half", RouteCost::from("0.5".parse::<Credits>().unwrap()))
        .with_route("/by-query", by_query())
        .with_route("/by-waiting", by_waiting())
        .with_route("/free", RouteCost::exempt())
        .with_route("/labelled", RouteCost::from(1).with_label(Label::new("reports").unwrap()))
        .with_route("/success/{number}", RouteCost::from(4).on_success())
        .with_route("/answer", RouteCost::from(4).on_success())
        .with_route("/accepted", RouteCost::from(4).on_status(|status| status == StatusCode::ACCEPTED))
        .with_route("/beside", RouteCost::from(4).on_success())
        .with_route("/idle", RouteCost::by_handler())
        .with_route("/compute", RouteCost::by_handler())
        .with_route("/record", RouteCost::by_handler())
        .with_route("/generate", RouteCost::by_handler())
        .with_route("/stream", RouteCost::by_handler());
    let mut usage = UsageRoutes::new(program.usage, client);
    if program.operators_by_role {
        usage = usage.with_operators(|request| standing_of_role(value(&request.headers, "x-role")));
    }
    Router::new()
        .route("/one", get(ran))
        .route("/five", get(works))
        .route("/any", get(ran).options(ran))
        .route("/half", get(ran))
        .route(LONG_ROUTE, get(ran))
        .route("/by-query", get(ran))
        .route("/by-waiting", get(ran))
        .route("/free", get(ran))
        .route("/labelled", get(ran))
        .route("/created", post(created))
        .route("/number/{number}", get(numbered))
        .route("/success/{number}", get(numbered))
        .route("/answer", get(answer))
        .route("/accepted", get(answer))
        .route("/beside", get(compute))
        .route("/idle", get(ran))
        .route("/compute", get(compute))
        .route("/record", get(record))
        .route("/generate", get(generate))
        .route("/stream", get(streamed))
        .route("/twice", get(twice))
        .route("/told", get(seen))
        .layer(quota)
        .layer(Extension(program.pause))
        .route("/unlayered", get(async |_: ClientQuota| "ran"))
        .merge(usage.clone().at("/quota"))
        .nest("/v1", usage.at("/deep/quota"))
        .layer(from_fn(authenticate))
        .layer(from_fn(impatient))
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get(name).map(http::HeaderValue::as_bytes)
}

/// Gives up what takes too long, where it is asked to.
async fn impatient(request: Request, next: Next) -> Response {
    if !request.headers().contains_key("x-give-up") {
        return next.run(request).await;
    }
    let answer = tokio::time::timeout(IMPATIENT, next.run(request)).await;
    answer.unwrap_or_else(|_| (StatusCode::GATEWAY_TIMEOUT, "too late").into_response())
}

/// The program's own authentication.
async fn authenticate(mut request: Request, next: Next) -> Response {
    if let Some(member) = Member::of_token(value(request.headers(), "x-token")) {
        request.extensions_mut().insert(member);
    }
    next.run(request).await
}

fn client_by(named: Named) -> ClientBy {
    match named {
        Named::Header => ClientBy::header("X-Client-Id").unwrap(),
        Named::Extension => ClientBy::extension(|member: &Member| Ok(member.client())),
        Named::Function => ClientBy::function(|request| client_of_token(value(&request.headers, "x-token"))),
        Named::Waiting => ClientBy::async_function(|request| {
            let token = value(&request.headers, "x-token").map(<[u8]>::to_vec);
            Box::pin(async move {
                tokio::task::yield_now().await;
                client_of_token(token.as_deref())
            })
        }),
    }
}

fn by_query() -> RouteCost {
    RouteCost::computed(|request| {
        credits_from_query(request.uri.query(), "n").map_err(|error| Answers::default().malformed(&error))
    })
}

fn by_waiting() -> RouteCost {
    RouteCost::async_computed(|request| {
        let uri = request.uri.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            credits_from_query(uri.query(), "n").map_err(|error| Answers::default().malformed(&error))
        })
    })
}

async fn ran() -> &'static str {
    "ran"
}

async fn works(Extension(pause): Extension<Pause>, uri: Uri) -> &'static str {
    pause.work(uri.query()).await;
    "ran"
}

async fn created() -> impl IntoResponse {
    (StatusCode::CREATED, [("location", "/made/1"), ("x-ratelimit-remaining", "own")], "made")
}

async fn numbered(Path(_): Path<u32>) -> &'static str {
    "ran"
}

async fn answer(Extension(pause): Extension<Pause>, uri: Uri) -> Result<(StatusCode, &'static str), Refused> {
    pause.work(uri.query()).await;
    let status = member_from_query(uri.query(), "status")?.unwrap_or_default();
    Ok((status.parse().unwrap(), "ran"))
}

async fn compute(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let charge = charge_from_query(uri.query())?;
    let credits = charge.credits();
    quota.charge(charge).await?;
    Ok(credits.to_string())
}

async fn record(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let charge = charge_from_query(uri.query())?;
    let credits = charge.credits();
    quota.record(charge).await?;
    Ok(credits.to_string())
}

async fn generate(quota: ClientQuota, Extension(pause): Extension<Pause>, uri: Uri) -> Result<String, Refused> {
    let query = uri.query();
    in_time(query, async {
        let held = quota.hold(hold_from_query(query)?).await?;
        pause.work(query).await;
        if member_from_query(query, "fail")?.is_some() {
            held.release().await?;
            let failed = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(RefusalResponse::new(failed, HeaderMap::new(), "failed".into()).into());
        }
        let settled = held.settle(credits_from_query(query, "actual")?).await?;
        Ok(format!("late: {}", settled.is_late()))
    })
    .await
}

async fn streamed(
    quota: ClientQuota,
    Extension(pause): Extension<Pause>,
    uri: Uri,
) -> Result<impl IntoResponse, Refused> {
    let query = uri.query();
    let held = quota.hold_for(credits_from_query(query, "max")?, ttl_from_query(query)?).await?;
    let chunks = chunks_from_query(&pause, query)?;
    let body = Body::from_stream(held.settle_after(chunks, cost_of_chunk, on_drop_from_query(query)?));
    Ok(([("content-type", "text/plain; charset=utf-8")], body))
}

async fn twice(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<Credits>().unwrap()).await?;
    quota.record("0.5".parse::<Credits>().unwrap()).await?;
    Ok("ran")
}

async fn seen(quota: ClientQuota) -> Result<String, Refused> {
    let decision = quota.decision();
    quota.record("2".parse::<Credits>().unwrap()).await?;
    Ok(told(decision.as_ref(), quota.status().await.ok().as_ref())?)
}

quota_testkit::http_suite!(Axum);
