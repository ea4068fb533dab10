//! The usage API, mounted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use quota_axum::{ClientBy, OperatorToken, Standing, UsageApi, UsageRoutes};
use quota_service::{ClientId, Plan, PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;
use tower::ServiceExt;

fn routes() -> UsageRoutes {
    let registry = PlanRegistry::new().with(ClientId::new("a/b").unwrap(), Plan::default());
    let service = QuotaService::builder(MemoryStore::new()).with_registry(registry).build();
    let api = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
    UsageRoutes::new(api, ClientBy::header("X-Client-Id").unwrap())
}

async fn ask(app: Router, request: http::request::Builder, body: impl Into<Body>) -> (StatusCode, String) {
    let answer = app.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_is_mounted_under_any_prefix() {
    for prefix in ["/quota", "/deep/down/usage"] {
        let app = || Router::new().merge(routes().at(prefix));
        let own = Request::get(format!("{prefix}/status")).header("x-client-id", "a/b");
        let (status, body) = ask(app(), own, "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(body.contains("\"quotas\":[]"), "{body}");
        assert_eq!(ask(app(), Request::get(format!("{prefix}/status")), "").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(app(), Request::get(format!("{prefix}/health")), "").await.0, StatusCode::OK);
        assert_eq!(ask(app(), Request::get(format!("{prefix}/nothing")), "").await.0, StatusCode::NOT_FOUND);
        // One segment, however it is encoded.
        let operator = |path| Request::get(format!("{prefix}/{path}")).header("authorization", "Bearer s3cret");
        assert_eq!(ask(app(), operator("clients/a%2Fb/status"), "").await.0, StatusCode::OK);
        assert_eq!(ask(app(), operator("clients/a/b/status"), "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(app(), operator("clients?limit=x"), "").await.0, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_application_may_say_who_is_an_operator() {
    let routes = routes().with_operators(|parts| match parts.headers.get("x-role").map(http::HeaderValue::as_bytes) {
        Some(b"admin") => Standing::Operator("admin".into()),
        Some(_) => Standing::Other,
        None => Standing::Unknown,
    });
    let app = || Router::new().nest("/quota", routes.clone().into());
    for (role, expected) in [("admin", StatusCode::OK), ("user", StatusCode::FORBIDDEN)] {
        assert_eq!(ask(app(), Request::get("/quota/clients").header("x-role", role), "").await.0, expected);
    }
    let token = Request::get("/quota/clients").header("authorization", "Bearer s3cret");
    assert_eq!(ask(app(), token, "").await.0, StatusCode::UNAUTHORIZED, "no token counts then");
}
