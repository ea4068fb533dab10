//! What a handler can do, and what the answer says then.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;

use quota_testkit::http::logged;
use std::sync::Arc;
use std::time::Duration;

use app::{get, layer, request, send, service, service_over, used};
use axum::Router;
use axum::extract::Query;
use axum::routing::{any, get as on_get};
use http::{Method, StatusCode, Uri};
use quota_axum::{
    Answers, ClientBy, ClientQuota, NoClient, QuotaLayer, RateLimitFields, RefusalResponse, Refused, RouteCost,
    credits_from_query,
};
use quota_service::{ClientId, Credits, ManualClock, QuotaService, Settled, Ttl};
use quota_store_memory::MemoryStore;

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

async fn compute(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let cost = credits_from_query(uri.query(), "credits")?;
    quota.charge(cost).await?;
    Ok(cost.to_string())
}

async fn generate(quota: ClientQuota, uri: Uri) -> Result<String, Refused> {
    let held = quota.hold(credits_from_query(uri.query(), "max")?).await?;
    let settled = held.settle(credits_from_query(uri.query(), "actual")?).await?;
    Ok(format!("late: {}", settled.is_late()))
}

#[tokio::test]
async fn a_denial_is_the_whole_answer_and_the_handler_does_not_run() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(layer(&service).cost(4)).with_state(());
    for left in ["6", "2"] {
        assert_eq!(get(&app, "/a").await.remaining(), Some(left));
    }
    let answer = get(&app, "/a").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        answer.body,
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"#,
            r#""detail":"4 credits are required, 2 remain in the day quota until 2024-03-02T00:00:00Z","#,
            r#""violated-policies":["day"],"required":"4","remaining":"2","#,
            r#""resets_at":"2024-03-02T00:00:00Z","retry_at":"2024-03-02T00:00:00Z"}"#
        )
    );
    for (name, value) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("retry-after", "43200"),
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "2"),
        ("x-ratelimit-reset", "1709337600"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("ratelimit"), None);
    assert_eq!(used(&service).await, "8");
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
async fn a_handler_that_charges_all_itself_charges_exactly_that() {
    let service = service();
    let app = Router::new().route("/compute", on_get(compute)).layer(layer(&service).without_charge());
    assert_eq!(get(&app, "/compute?credits=2.5").await.remaining(), Some("7.5"));
    for bad in ["/compute", "/compute?credits=x", "/compute?credits=1&credits=2", "/compute?credits=-1"] {
        let answer = get(&app, bad).await;
        // The headers are there on every answer, though nothing was charged.
        assert_eq!((answer.status, answer.remaining()), (StatusCode::BAD_REQUEST, Some("7.5")), "{bad}");
        assert!(answer.body.contains(r#""detail":"credits: "#), "{}", answer.body);
    }
    let denied = get(&app, "/compute?credits=8").await;
    assert_eq!((denied.status, denied.remaining()), (StatusCode::TOO_MANY_REQUESTS, Some("7.5")));
    assert_eq!(denied.header("retry-after"), Some("43200"));
    let hopeless = get(&app, "/compute?credits=11").await;
    assert_eq!((hopeless.status, hopeless.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert!(hopeless.body.contains("waiting never helps"));
    assert_eq!(used(&service).await, "2.5");
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
async fn what_is_settled_is_what_the_headers_say() {
    let service = service();
    let app = Router::new().route("/generate", on_get(generate)).layer(layer(&service).without_charge());
    let answer = get(&app, "/generate?max=6&actual=2.5").await;
    assert_eq!((answer.body.as_str(), answer.remaining()), ("late: false", Some("7.5")));
    // More than was held, and more than is left: it happened, so it is charged.
    let answer = get(&app, "/generate?max=7&actual=9").await;
    assert_eq!((answer.status, answer.remaining()), (StatusCode::OK, Some("0")));
    let denied = get(&app, "/generate?max=1&actual=0").await;
    assert_eq!(denied.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(used(&service).await, "11.5");
}

#[tokio::test]
async fn a_malformed_settlement_releases_the_hold() {
    let service = service();
    let app = Router::new().route("/generate", on_get(generate)).layer(layer(&service).without_charge());
    assert_eq!(get(&app, "/generate?max=6&actual=x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(used(&service).await, "0");
}

#[tokio::test]
async fn a_released_hold_is_gone_from_the_headers() {
    let service = service();
    let handler = |quota: ClientQuota| async move {
        let held = quota.hold(credits("9")).await?;
        assert!(held.decision().is_allowed());
        held.release().await?;
        Ok::<_, Refused>(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge());
    assert_eq!(get(&app, "/a").await.remaining(), Some("10"));
}

#[tokio::test]
async fn a_late_settlement_is_recorded_and_says_so() {
    let clock = Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()));
    let service =
        QuotaService::builder(MemoryStore::new()).with_registry(app::plans()).with_clock(Arc::clone(&clock)).build();
    let handler = move |quota: ClientQuota| async move {
        let held = quota.hold_for(credits("5"), Ttl::new(Duration::from_secs(60)).unwrap()).await?;
        clock.advance(Duration::from_secs(61));
        // Something else moves the account's time past the hold's end.
        quota.charge(credits("1")).await?;
        let settled = held.settle(credits("2")).await?;
        assert!(matches!(settled, Settled::Late(_)));
        Ok::<_, Refused>("settled late")
    };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service).without_charge());
    let answer = get(&app, "/a").await;
    assert_eq!((answer.body.as_str(), answer.remaining()), ("settled late", Some("7")));
}

#[tokio::test]
async fn what_an_extractor_refuses_is_charged() {
    let service = service();
    let handler = |_: Query<std::collections::HashMap<String, u8>>| async { "ran" };
    let app = Router::new().route("/a", on_get(handler)).layer(layer(&service)).with_state(());
    for left in ["9", "8"] {
        let answer = get(&app, "/a?n=many").await;
        assert_eq!((answer.status, answer.remaining()), (StatusCode::BAD_REQUEST, Some(left)));
    }
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

#[tokio::test]
async fn requests_from_nobody_and_from_strangers_are_refused() {
    let service = service();
    let app = Router::new().route("/a", on_get(|| async { "ran" })).layer(layer(&service));
    let mut nobody = request(Method::GET, "/a");
    nobody.headers_mut().remove("x-client-id");
    let answer = send(&app, nobody).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, Some("ApiKey")));
    let mut two = request(Method::GET, "/a");
    two.headers_mut().append("x-client-id", "client2".parse().unwrap());
    assert_eq!(send(&app, two).await.status, StatusCode::UNAUTHORIZED);
    let mut stranger = request(Method::GET, "/a");
    stranger.headers_mut().insert("x-client-id", "stranger".parse().unwrap());
    let answer = send(&app, stranger).await;
    assert_eq!((answer.status, answer.remaining()), (StatusCode::FORBIDDEN, None));
    assert!(answer.body.contains("no quota is available to this client"));
}

#[tokio::test]
async fn a_client_is_found_by_extension_and_by_function() {
    #[derive(Clone)]
    struct User(&'static str);

    let service = service();
    let by_user = QuotaLayer::new(service.clone(), ClientBy::extension(|user: &User| Ok(ClientId::new(user.0)?)));
    let by_path = QuotaLayer::new(
        service.clone(),
        ClientBy::async_function(|parts| {
            let named = parts.uri.query().map(str::to_owned);
            Box::pin(async move {
                tokio::task::yield_now().await;
                match named.as_deref() {
                    Some("teapot") => {
                        let own = RefusalResponse::new(StatusCode::IM_A_TEAPOT, http::HeaderMap::new(), "own".into());
                        Err(NoClient::Refused(own))
                    }
                    Some(name) => Ok(ClientId::new(name)?),
                    None => Err(NoClient::Missing),
                }
            })
        }),
    );
    let ok = || async { "ran" };
    let app = Router::new()
        .route("/user", on_get(ok).route_layer(by_user.clone()).layer(axum::Extension(User("client1"))))
        .route("/nobody", on_get(ok).layer(by_user))
        .route("/query", on_get(ok).layer(by_path));
    assert_eq!(get(&app, "/user").await.remaining(), Some("9"));
    assert_eq!(get(&app, "/nobody").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&app, "/query?client1").await.remaining(), Some("8"));
    let own = get(&app, "/query?teapot").await;
    assert_eq!((own.status, own.body.as_str()), (StatusCode::IM_A_TEAPOT, "own"));
    assert_eq!(get(&app, "/query").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_get_more_than_the_limit() {
    let service = service_over(MemoryStore::new());
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
