//! What a handler can do, and what the answer says then: what the suite of all adapters does not ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use app::{get, layer, request, send, service, used};
use axum::Router;
use axum::routing::{any, get as on_get};
use http::{Method, StatusCode};
use quota_axum::{Answers, ClientBy, ClientQuota, RateLimitFields, Refused, RouteCost};
use quota_service::Credits;
use quota_testkit::http::logged;

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

#[tokio::test]
async fn all_families_are_written_and_replace_what_the_handler_set() {
    let service = service();
    let answers = Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11);
    let handler = || async { [("x-ratelimit-remaining", "1000"), ("ratelimit", "x"), ("x-own", "stays")] };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).with_answers(answers));
    let answer = get(&app, "/a").await;
    assert_eq!(answer.headers.get_all("x-ratelimit-remaining").iter().collect::<Vec<_>>(), ["9"]);
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""day";q=10;w=86400"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""day";r=9;t=43200"#));
    assert_eq!(answer.header("x-own"), Some("stays"));
}

#[tokio::test]
async fn several_charges_show_the_headers_of_the_last() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        let before = quota.decision().unwrap();
        assert_eq!(before.quotas().unwrap().lowest().unwrap().used(), credits("1"));
        quota.charge(credits("2")).await?;
        let error = quota.charge(credits("20")).await.unwrap_err();
        assert_eq!(error.denied().unwrap().required(), credits("20"));
        quota.record(credits("0.5")).await?;
        let status = quota.status().await?;
        Ok::<_, Refused>(format!("{} {}", quota.client(), status.lowest().unwrap().used()))
    };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service));
    let answer = get(&app, "/a").await;
    assert_eq!((answer.body.as_str(), answer.remaining()), ("client1 3.5", Some("6.5")));
}

#[tokio::test]
async fn a_missing_layer_is_a_500_whose_cause_stands_in_the_log_only() {
    let app = Router::new().route("/a/{id}", on_get(|_: ClientQuota| async { "ran" }));
    let (answer, log) = logged(get(&app, "/a/7")).await;
    assert!(log.contains("has no QuotaLayer") && log.contains("route=\"/a/{id}\""), "{log}");
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        answer.body,
        r#"{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"the request could not be metered"}"#
    );
}

#[tokio::test]
async fn a_preflight_that_reaches_a_handler_has_no_quota() {
    let service = service();
    let handler = |quota: Result<ClientQuota, Refused>| async move {
        if quota.is_ok() { StatusCode::OK } else { StatusCode::NO_CONTENT }
    };
    let app = Router::new().route("/a", any(handler)).layer(layer(&service));
    let preflight = |method| {
        let mut asked = request(method, "/a");
        asked.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
        asked
    };
    assert_eq!(send(&app, preflight(Method::OPTIONS)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(used(&service).await, "0");
    assert_eq!(send(&app, preflight(Method::GET)).await.status, StatusCode::OK);
    assert_eq!(used(&service).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_get_more_than_the_limit() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(layer(&service)).with_state(());
    let asked: Vec<_> = (0..64)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { get(&app, "/a").await.status })
        })
        .collect();
    let mut ran = 0;
    for task in asked {
        ran += usize::from(task.await.unwrap() == StatusCode::OK);
    }
    assert_eq!((ran, used(&service).await.as_str()), (10, "10"));
}

#[test]
fn a_header_that_is_no_header_fails_at_start_up() {
    assert!(ClientBy::header("X Client").is_err());
    assert!(format!("{:?}", RouteCost::from(5)).contains('5'));
}
