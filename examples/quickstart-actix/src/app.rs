//! The routes.

use actix_web::web::{self, Json};
use actix_web::{HttpRequest, Responder, Route, guard};
use quickstart_shared::{client_header, dashboard, failure, flag_from_query};
use quota_actix::{
    Answers, ClientBy, ClientQuota, QuotaLayer, RateLimitFields, Refused, UsageApi, UsageRoutes, credits_from_query,
};
use quota_service::{QuotaService, UsageStore};
use serde_json::{Value, json};

/// What all workers share: made once, before the app's factory.
#[derive(Clone)]
pub(crate) struct Routes {
    quota: QuotaLayer,
    usage: UsageRoutes,
}

impl Routes {
    pub(crate) fn new<S: UsageStore>(service: &QuotaService<S>, usage: UsageApi) -> anyhow::Result<Self> {
        // In earnest, a gateway or the application's own authentication sets this header, and strips it from outside.
        let client = ClientBy::header("X-Client-Id")?;
        let quota = QuotaLayer::new(service.clone(), client.clone())
            .with_answers(Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11));
        let usage = UsageRoutes::new(usage.with_client_header(&client_header()), client);
        Ok(Self { quota, usage: usage.with_dashboard(dashboard()) })
    }

    /// All routes: the API's are metered, and the usage API tells of them.
    pub(crate) fn register(&self, app: &mut web::ServiceConfig) {
        let quota = &self.quota;
        app.service(web::resource("/api/fetch-data").route(get().to(fetch_data).wrap(quota.clone())))
            .service(web::resource("/api/fetch-expensive-data").route(get().to(fetch_data).wrap(quota.cost(5))))
            .service(web::resource("/api/compute").route(get().to(compute).wrap(quota.without_charge())))
            .service(web::resource("/api/generate").route(get().to(generate).wrap(quota.without_charge())))
            .service(self.usage.at("/quota"));
    }
}

/// `GET`, and `HEAD` with it: actix-web takes each for a method of its own.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The layer charges what the route costs.
async fn fetch_data() -> impl Responder {
    Json(json!({ "data": [1, 2, 3] }))
}

/// The request says what it costs.
async fn compute(quota: ClientQuota, request: HttpRequest) -> Result<Json<Value>, Refused> {
    let credits = credits_from_query(request.uri().query(), "credits")?;
    quota.charge(credits).await?;
    Ok(Json(json!({ "computed": credits.to_string() })))
}

/// The cost is known when the work is done: an upper bound is held before.
async fn generate(quota: ClientQuota, request: HttpRequest) -> Result<Json<Value>, Refused> {
    let query = request.uri().query();
    let max = credits_from_query(query, "max")?;
    let actual = credits_from_query(query, "actual")?;
    let fail = flag_from_query(query, "fail")?;

    let held = quota.hold(max).await?;
    if fail {
        // Dropping `held` would do; waiting for the release lets the headers say so.
        held.release().await?;
        return Err(failure().into());
    }
    let settled = held.settle(actual).await?;
    Ok(Json(json!({ "generated": actual.to_string(), "late": settled.is_late() })))
}
