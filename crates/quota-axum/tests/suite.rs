//! The suite that every adapter passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use quota_axum::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RefusalResponse, Refused, RouteCost, UsageRoutes, credits_from_query,
    member_from_query,
};
use quota_testkit::http::{HttpHarness, Program};
use tower::ServiceExt;

struct Axum {
    runtime: tokio::runtime::Runtime,
    app: Router,
}

impl HttpHarness for Axum {
    fn serve(program: Program) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, app: app(program) }
    }

    fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.runtime.block_on(async {
            let response = self.app.clone().oneshot(request.map(Body::from)).await.unwrap();
            let (parts, body) = response.into_parts();
            Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
        })
    }
}

fn app(program: Program) -> Router {
    let client = ClientBy::header("X-Client-Id").unwrap();
    let mut quota = QuotaLayer::from_shared(program.service, client.clone()).with_answers(program.answers);
    if let Some(keys) = program.keys {
        quota = quota.with_idempotency_keys(keys);
    }
    let quota = quota
        .with_route("/five", 5)
        .with_route("/half", RouteCost::from("0.5".parse::<quota_core::Credits>().unwrap()))
        .with_route("/by-query", by_query())
        .with_route("/free", RouteCost::exempt())
        .with_route("/answer", RouteCost::from(4).on_success())
        .with_route("/idle", RouteCost::by_handler())
        .with_route("/compute", RouteCost::by_handler())
        .with_route("/generate", RouteCost::by_handler());
    Router::new()
        .route("/one", get(ran))
        .route("/five", get(ran))
        .route("/half", get(ran))
        .route("/by-query", get(ran))
        .route("/free", get(ran))
        .route("/created", post(created))
        .route("/number/{number}", get(async |Path(_): Path<u32>| "ran"))
        .route("/answer", get(answer))
        .route("/idle", get(ran))
        .route("/compute", get(compute))
        .route("/generate", get(generate))
        .route("/twice", get(twice))
        .layer(quota)
        .nest("/quota", UsageRoutes::new(program.usage, client).into())
}

fn by_query() -> RouteCost {
    RouteCost::computed(|request| {
        credits_from_query(request.uri.query(), "n").map_err(|error| Answers::default().malformed(&error))
    })
}

async fn ran() -> &'static str {
    "ran"
}

async fn created() -> impl IntoResponse {
    (StatusCode::CREATED, [("location", "/made/1"), ("x-ratelimit-remaining", "own")], "made")
}

async fn answer(uri: Uri) -> Result<(StatusCode, &'static str), Refused> {
    let status = member_from_query(uri.query(), "status")?.unwrap_or_default();
    Ok((status.parse().unwrap(), "ran"))
}

async fn compute(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let credits = credits_from_query(uri.query(), "credits")?;
    quota.charge(credits).await?;
    Ok(credits.to_string())
}

async fn generate(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let held = quota.hold(credits_from_query(uri.query(), "max")?).await?;
    if member_from_query(uri.query(), "fail")?.is_some() {
        held.release().await?;
        return Err(RefusalResponse::new(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), "failed".into()).into());
    }
    let settled = held.settle(credits_from_query(uri.query(), "actual")?).await?;
    Ok(format!("late: {}", settled.is_late()))
}

async fn twice(quota: ClientQuota) -> Result<&'static str, Refused> {
    quota.charge("2".parse::<quota_core::Credits>().unwrap()).await?;
    quota.record("0.5".parse::<quota_core::Credits>().unwrap()).await?;
    Ok("ran")
}

quota_testkit::http_suite!(Axum);
