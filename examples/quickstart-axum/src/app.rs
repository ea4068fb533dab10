//! The routes.

use axum::handler::Handler;
use axum::routing::get;
use axum::{Json, Router};
use http::Uri;
use quickstart_shared::{client_header, dashboard, failure, flag_from_query};
use quota_axum::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RateLimitFields, Refused, UsageApi, UsageRoutes, credits_from_query,
};
use quota_service::{QuotaService, UsageStore};
use serde_json::{Value, json};

/// All routes: the API's are metered, and the usage API tells of them.
pub(crate) fn router<S: UsageStore>(service: &QuotaService<S>, usage: UsageApi) -> anyhow::Result<Router> {
    // In earnest, a gateway or the application's own authentication sets this header, and strips it from outside.
    let client = ClientBy::header("X-Client-Id")?;
    let quota = QuotaLayer::new(service.clone(), client.clone())
        .with_answers(Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11));
    let usage = UsageRoutes::new(usage.with_client_header(&client_header()), client);
    Ok(Router::new()
        .route("/api/fetch-data", get(fetch_data.layer(quota.clone())))
        .route("/api/fetch-expensive-data", get(fetch_data.layer(quota.cost(5))))
        .route("/api/compute", get(compute.layer(quota.without_charge())))
        .route("/api/generate", get(generate.layer(quota.without_charge())))
        .merge(usage.with_dashboard(dashboard()).at("/quota")))
}

/// The layer charges what the route costs.
async fn fetch_data() -> Json<Value> {
    Json(json!({ "data": [1, 2, 3] }))
}

/// The request says what it costs.
async fn compute(quota: ClientQuota, uri: Uri) -> Result<Json<Value>, Refused> {
    let credits = credits_from_query(uri.query(), "credits")?;
    quota.charge(credits).await?;
    Ok(Json(json!({ "computed": credits.to_string() })))
}

/// The cost is known when the work is done: an upper bound is held before.
async fn generate(quota: ClientQuota, uri: Uri) -> Result<Json<Value>, Refused> {
    let max = credits_from_query(uri.query(), "max")?;
    let actual = credits_from_query(uri.query(), "actual")?;
    let fail = flag_from_query(uri.query(), "fail")?;

    let held = quota.hold(max).await?;
    if fail {
        // Dropping `held` would do; waiting for the release lets the headers say so.
        held.release().await?;
        return Err(failure().into());
    }
    let settled = held.settle(actual).await?;
    Ok(Json(json!({ "generated": actual.to_string(), "late": settled.is_late() })))
}
