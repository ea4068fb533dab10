//! The routes.

use quickstart_shared::{client_header, dashboard, failure, flag_from_query};
use quota_rocket::{
    Answers, ClientBy, ClientQuota, Costs, QuotaFairing, RateLimitFields, Refused, UsageApi, UsageRoutes,
    credits_from_query,
};
use quota_service::{QuotaService, UsageStore};
use rocket::http::uri::Origin;
use rocket::serde::json::Json;
use rocket::{Build, Rocket, get, routes};
use serde_json::{Value, json};

/// All routes: the API's are metered, and the usage API tells of them.
pub(crate) fn mount<S: UsageStore>(
    rocket: Rocket<Build>,
    service: &QuotaService<S>,
    usage: UsageApi,
) -> anyhow::Result<Rocket<Build>> {
    // In earnest, a gateway or the application's own authentication sets this header, and strips it from outside.
    let client = ClientBy::header("X-Client-Id")?;
    let quota = QuotaFairing::new(service.clone(), client.clone())
        .with_answers(Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11));
    let usage = UsageRoutes::new(usage.with_client_header(&client_header()), client);
    Ok(rocket
        .attach(quota)
        .mount("/api", routes![fetch_data, fetch_expensive_data, compute, generate])
        .mount("/quota", usage.with_dashboard(dashboard())))
}

/// The guard charges what the route costs.
#[get("/fetch-data")]
fn fetch_data(_quota: Costs<1>) -> Json<Value> {
    Json(json!({ "data": [1, 2, 3] }))
}

#[get("/fetch-expensive-data")]
fn fetch_expensive_data(_quota: Costs<5>) -> Json<Value> {
    Json(json!({ "data": [1, 2, 3] }))
}

/// The request says what it costs.
#[get("/compute")]
async fn compute(quota: ClientQuota, uri: &Origin<'_>) -> Result<Json<Value>, Refused> {
    let credits = credits_from_query(query(uri), "credits")?;
    quota.charge(credits).await?;
    Ok(Json(json!({ "computed": credits.to_string() })))
}

/// The cost is known when the work is done: an upper bound is held before.
#[get("/generate")]
async fn generate(quota: ClientQuota, uri: &Origin<'_>) -> Result<Json<Value>, Refused> {
    let max = credits_from_query(query(uri), "max")?;
    let actual = credits_from_query(query(uri), "actual")?;
    let fail = flag_from_query(query(uri), "fail")?;

    let held = quota.hold(max).await?;
    if fail {
        // Dropping `held` would do; waiting for the release lets the headers say so.
        held.release().await?;
        return Err(failure().into());
    }
    let settled = held.settle(actual).await?;
    Ok(Json(json!({ "generated": actual.to_string(), "late": settled.is_late() })))
}

/// The query as it was sent: Rocket's own parsing knows no amounts of credits.
fn query<'r>(uri: &'r Origin<'_>) -> Option<&'r str> {
    uri.query().map(|query| query.as_str())
}
