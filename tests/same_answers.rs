//! One table of requests, on every store that is here, compared byte for byte.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Uri};
use http_body_util::BodyExt;
use quota_axum::{Answers, ClientBy, ClientQuota, QuotaLayer, RateLimitFields, Refused, credits_from_query};
use quota_servers::Server;
use quota_service::{Anchor, ClientId, Limit, ManualClock, Period, Plan, Quota, QuotaService};
use tower::ServiceExt;

async fn compute(quota: ClientQuota, uri: Uri) -> Result<&'static str, Refused> {
    quota.charge(credits_from_query(uri.query(), "credits")?).await?;
    Ok("computed")
}

async fn generate(quota: ClientQuota, uri: Uri) -> Result<&'static str, Refused> {
    let held = quota.hold(credits_from_query(uri.query(), "max")?).await?;
    held.settle(credits_from_query(uri.query(), "actual")?).await?;
    Ok("generated")
}

fn plan(day: &str, month: &str) -> Plan {
    let anchor = Anchor::in_zone("2024-01-30T23:00:00Z".parse().unwrap(), "Europe/Berlin").unwrap();
    let quota = |period, limit: &str| Quota::new(period, Limit::Finite(limit.parse().unwrap()), anchor);
    Plan::new([quota(Period::DAY, day), quota(Period::MONTH, month)]).unwrap()
}

/// What a client sees: status, headers in order of name, body.
async fn answer(app: &Router, client: &str, uri: &str) -> String {
    let request = Request::builder().uri(uri).header("X-Client-Id", client).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let mut headers: Vec<_> = parts.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort();
    let body = body.collect().await.unwrap().to_bytes();
    format!("{} {headers:?} {}", parts.status, String::from_utf8_lossy(&body))
}

/// Everything that one store answers to the table.
async fn answers(url: &str) -> Vec<String> {
    // Clients of this run's own: a server is shared.
    let run = format!("{}-", quota_servers::own_name());
    let clock = Arc::new(ManualClock::new("2024-03-30T22:59:58.500Z".parse().unwrap()));
    let store = quota_stores::connect(url).await.unwrap();
    let service = QuotaService::builder(store).with_stored_plans().with_clock(Arc::clone(&clock));
    let service = service.with_reference_clock(Arc::clone(&clock)).build();
    for (client, plan) in [("rich", plan("10", "1000")), ("poor", plan("2.5", "3")), ("free", Plan::default())] {
        service.set_plan(&ClientId::new(format!("{run}{client}")).unwrap(), plan).await.unwrap();
    }
    let shown = Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11);
    let quota = QuotaLayer::new(service.clone(), ClientBy::header("X-Client-Id").unwrap()).with_answers(shown);
    let app = Router::new()
        .route("/data", get(|| async { "data" }).route_layer(quota.clone()))
        .route("/report", get(|| async { "report" }).route_layer(quota.cost(5)))
        .route("/compute", get(compute).route_layer(quota.without_charge()))
        .route("/generate", get(generate).route_layer(quota.without_charge()));
    let mut answers = Vec::new();
    for _ in 0..3 {
        for client in ["rich", "poor", "free", "nobody", ""] {
            for uri in [
                "/data",
                "/report",
                "/compute?credits=0.25",
                "/compute?credits=-1",
                "/compute?credits=1000000",
                "/generate?max=3&actual=0.000001",
                "/generate?max=1&actual=2",
                "/nowhere",
            ] {
                let name = if client.is_empty() { String::new() } else { format!("{run}{client}") };
                answers.push(format!("{client} {uri}: {}", answer(&app, &name, uri).await));
            }
        }
        // Over midnight in Berlin, into the day that has 23 hours.
        clock.advance(Duration::from_millis(1_500));
    }
    service.shutdown().await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_shows_a_client_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("quota.db").display());
    let memory = answers("memory:").await;
    assert!(memory.iter().any(|answer| answer.contains("429 Too Many Requests")), "{memory:#?}");
    assert!(memory.iter().any(|answer| answer.contains("w=82800")), "{memory:#?}");
    let servers = Server::ALL.into_iter().filter_map(quota_servers::url);
    for url in ["memory:?detail=entries".to_owned(), sqlite].into_iter().chain(servers) {
        for (expected, answer) in memory.iter().zip(answers(&url).await) {
            assert_eq!(*expected, answer, "{url}");
        }
    }
}
