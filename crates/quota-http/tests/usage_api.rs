//! The usage API, asked without a framework; every answer is held against its own description.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use quota_http::{ApiRequest, NoClient, OperatorToken, Standing, UsageApi};
use quota_service::{
    Anchor, Charge, ClientId, Credits, Instant, Label, Limit, ManualClock, Period, Plan, PlanFile, PlanRegistry, Quota,
    QuotaService, Tz,
};
use quota_store_memory::MemoryStore;
use serde_json::{Value, json};

const NOON: &str = "2024-03-15T12:00:00Z";

fn client(id: &str) -> ClientId {
    ClientId::new(id).unwrap()
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn per_day(limit: &str) -> Plan {
    let anchor = Anchor::new(at("2024-01-01T00:00:00Z"), Tz::UTC);
    Plan::new([Quota::new(Period::DAY, Limit::Finite(limit.parse().unwrap()), anchor)]).unwrap()
}

/// An API over a store with entries, at noon, where `a` has 10 a day and has used 3, 2.5 of them under a label.
struct Api {
    api: UsageApi,
    service: QuotaService<MemoryStore>,
    description: Value,
}

impl Api {
    async fn new() -> Self {
        let registry = PlanRegistry::new().with(client("a"), per_day("10")).with(client("b"), per_day("10"));
        let builder = QuotaService::builder(MemoryStore::with_entries()).with_registry(registry).with_denials(10);
        let service = builder.with_clock(ManualClock::new(at(NOON))).build();
        let labelled = Charge::new("2.5".parse().unwrap()).with_label(Label::new("=x").unwrap());
        assert!(service.charge_with(&client("a"), labelled).await.unwrap().is_allowed());
        assert!(service.charge(&client("a"), "0.5".parse().unwrap()).await.unwrap().is_allowed());
        let token = OperatorToken::new("s3cret").unwrap();
        let api = UsageApi::new(&service).with_operator_token(token);
        let description = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        Self { api, service, description }
    }

    /// What an answer is, once it is what the description says.
    async fn ask(&self, request: ApiRequest) -> (u16, Value) {
        let (method, path) = (request.method.as_str().to_lowercase(), request.path.clone());
        let answer = self.api.answer(request).await;
        let status = answer.status().as_u16();
        assert_eq!(answer.headers()["cache-control"], "no-store", "{method} {path}");
        if answer.body().is_empty() {
            return (status, Value::Null);
        }
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        if kind.starts_with("text/csv") {
            return (status, Value::String(String::from_utf8(answer.body().to_vec()).unwrap()));
        }
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        if let Some(schema) = self.schema(&method, &path, status, &kind) {
            let schema = json!({ "allOf": [schema], "components": self.description["components"] });
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{method} {path} {status}: {errors:?}\n{body:#}");
        } else {
            // What leads nowhere, and what no method is for, is described nowhere.
            assert!(
                matches!(status, 404 | 405) && kind == "application/problem+json",
                "{method} {path}: {status} {kind}"
            );
        }
        (status, body)
    }

    fn schema(&self, method: &str, path: &str, status: u16, kind: &str) -> Option<Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let paths = self.description["paths"].as_object().unwrap();
        let (_, resource) = paths.iter().find(|(template, _)| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == segments.len()
                && template.iter().zip(&segments).all(|(template, segment)| template == segment || *template == "{id}")
        })?;
        let answer = &resource[method]["responses"][status.to_string()];
        answer["content"].get(kind).map(|content| content["schema"].clone())
    }

    async fn get(&self, caller: Option<&str>, path: &str) -> (u16, Value) {
        self.ask(request(Method::GET, path, caller)).await
    }

    async fn operate(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.ask(operators(method, path, body)).await
    }
}

fn request(method: Method, path: &str, caller: Option<&str>) -> ApiRequest {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    ApiRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: Some(Bytes::new()),
        caller: caller.map(client).ok_or(NoClient::Missing),
        standing: None,
    }
}

fn operators(method: Method, path: &str, body: &str) -> ApiRequest {
    let mut request = request(method, path, None);
    request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
    request.body = Some(Bytes::copy_from_slice(body.as_bytes()));
    request
}

#[tokio::test]
async fn a_caller_sees_its_own_quotas_and_no_others() {
    let api = Api::new().await;
    let (status, body) = api.get(Some("a"), "/status").await;
    assert_eq!(status, 200);
    let quota = json!({
        "name": "day", "limit": "10", "used": "3", "held": "0", "remaining": "7",
        "starts_at": "2024-03-15T00:00:00.000Z", "resets_at": "2024-03-16T00:00:00.000Z",
    });
    assert_eq!(body, json!({ "at": "2024-03-15T12:00:00.000Z", "quotas": [quota], "lowest": "day" }));
    assert_eq!(api.get(Some("b"), "/status").await.1["quotas"][0]["used"], "0");
    assert_eq!(api.get(Some("c"), "/status").await.0, 403, "it has no plan");
    assert_eq!(api.get(None, "/status").await.0, 401);
    for path in ["/clients", "/clients/a/status", "/clients/b/usage", "/clients/a/plan", "/clients/a/denials"] {
        assert_eq!(api.get(Some("a"), path).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn usage_is_told_by_day_and_label() {
    let api = Api::new().await;
    let (status, body) = api.get(Some("a"), "/usage").await;
    assert_eq!(status, 200);
    let days = json!([{ "day": "2024-03-15", "credits": "3", "entries": 2 }]);
    assert_eq!(body, json!({ "from": "2024-02-15", "to": "2024-03-16", "tz": "UTC", "days": days, "total": "3" }));
    let (_, body) = api.get(Some("a"), "/usage?by=label&tz=Asia/Tokyo&from=2024-03-15").await;
    assert_eq!(body["days"].as_array().unwrap().len(), 2);
    assert_eq!(body["total"], "3");
    assert_eq!(api.get(Some("a"), "/usage?from=2024-03-16").await.1["days"], json!([]));
    for (query, member) in
        [("from=x", "from"), ("tz=Mars", "tz"), ("by=x", "by"), ("from=2024-03-02&to=2024-03-01", "to")]
    {
        let (status, body) = api.get(Some("a"), &format!("/usage?{query}")).await;
        assert_eq!(status, 400);
        assert!(body["detail"].as_str().unwrap().starts_with(&format!("{member}: ")), "{body}");
    }
    let mut table = request(Method::GET, "/usage?by=label", Some("a"));
    table.headers.insert(ACCEPT, HeaderValue::from_static("text/csv"));
    let (status, text) = api.ask(table).await;
    assert_eq!(status, 200);
    let text = text.as_str().unwrap();
    assert!(text.starts_with("day,label,credits,entries\r\n") && text.contains("2024-03-15,'=x,2.5,1\r\n"), "{text}");
}

#[tokio::test]
async fn operators_look_after_every_client() {
    let api = Api::new().await;
    let (status, body) = api.operate(Method::GET, "/clients?limit=1", "").await;
    assert_eq!((status, body), (200, json!({ "clients": ["a"], "next": "a" })));
    assert_eq!(api.operate(Method::GET, "/clients?after=a", "").await.1["next"], Value::Null);
    assert_eq!(api.operate(Method::GET, "/clients/a/status", "").await.1["quotas"][0]["used"], "3");
    assert_eq!(api.operate(Method::GET, "/clients/a/usage", "").await.1["total"], "3");
    let (status, body) = api.operate(Method::GET, "/clients/a/entries?limit=1", "").await;
    assert_eq!((status, &body["entries"][0]["label"]), (200, &json!("=x")));
    let next = body["next"].as_str().unwrap();
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let (_, body) = api.operate(Method::GET, &format!("/clients/a/entries?after={next}"), "").await;
    assert_eq!((body["entries"][0]["credits"].as_str(), &body["next"]), (Some("0.5"), &Value::Null));
    assert_eq!(api.operate(Method::GET, "/clients/a/entries?after=x", "").await.0, 400);
}

#[tokio::test]
async fn a_plan_is_previewed_set_and_removed() {
    let api = Api::new().await;
    let quota = json!({ "period": "DAY", "every": 1, "limit": "2", "anchor": "2024-01-01T06:00:00Z", "tz": "UTC" });
    let plan = json!({ "quotas": [quota] }).to_string();
    let (status, body) = api.operate(Method::POST, "/clients/a/plan/preview", &plan).await;
    assert_eq!(status, 200);
    let renewals = body["quotas"][0]["renewals"].as_array().unwrap();
    assert_eq!((renewals.len(), &renewals[0]), (12, &json!("2024-03-16T06:00:00.000Z")));
    assert_eq!(body["status"]["quotas"][0]["remaining"], "-1");
    assert_eq!(api.get(Some("a"), "/status").await.1["quotas"][0]["remaining"], "7", "it changed nothing");
    let (status, body) = api.operate(Method::PUT, "/clients/a/plan", &plan).await;
    assert_eq!((status, &body["quotas"][0]["remaining"]), (200, &json!("-1")));
    let (_, body) = api.operate(Method::GET, "/clients/a/plan", "").await;
    assert_eq!(body["quotas"][0]["limit"], "2");
    assert_eq!(api.operate(Method::DELETE, "/clients/a/plan", "").await, (204, Value::Null));
    assert_eq!(api.operate(Method::GET, "/clients/a/plan", "").await.0, 404);
    assert_eq!(api.get(Some("a"), "/status").await.0, 403);
    for (body, member) in [
        (plan.replace("UTC", "Mars"), "quotas[0].tz"),
        (json!({ "quotas": [quota, quota] }).to_string(), "quotas"),
        (plan.replace("\"2\"", "2"), "quotas[0].limit"),
        (plan[..20].to_owned(), "quotas"),
    ] {
        let (status, answer) = api.operate(Method::PUT, "/clients/a/plan", &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["detail"].as_str().unwrap().starts_with(member), "{answer}");
    }
    let mut long = operators(Method::PUT, "/clients/a/plan", "");
    long.body = None;
    assert_eq!(api.ask(long).await.0, 413);
}

#[tokio::test]
async fn plans_of_a_file_are_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plans.json");
    std::fs::write(&path, r#"{"clients":{"a":{"quotas":[]}}}"#).unwrap();
    let builder = QuotaService::builder(MemoryStore::new()).with_plan_file(PlanFile::open(&path).unwrap());
    let service = builder.build();
    let api = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
    for method in [Method::PUT, Method::DELETE] {
        let answer = api.answer(operators(method, "/clients/a/plan", r#"{"quotas":[]}"#)).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (405, &HeaderValue::from_static("GET, HEAD"))
        );
    }
    assert_eq!(api.answer(operators(Method::GET, "/clients/a/plan", "")).await.status(), 200);
    assert_eq!(api.answer(operators(Method::GET, "/clients/a/denials", "")).await.status(), 404, "none are remembered");
}

#[tokio::test]
async fn usage_is_deleted_between_bounds_or_all_of_it() {
    let api = Api::new().await;
    for query in ["", "?from=2024-03-15T00:00:00Z", "?all=1", "?from=2024-03-15&to=2024-03-16"] {
        assert_eq!(api.operate(Method::DELETE, &format!("/clients/a/usage{query}"), "").await.0, 400, "{query}");
    }
    let bounds = "?from=2024-03-15T12:00:00.001Z&to=2024-03-16T00:00:00Z";
    let (status, body) = api.operate(Method::DELETE, &format!("/clients/a/usage{bounds}"), "").await;
    assert_eq!((status, body), (200, json!({ "deleted": 0 })));
    let (_, body) = api.operate(Method::DELETE, "/clients/a/usage?all=true", "").await;
    assert_eq!(body, json!({ "deleted": 2 }));
    assert_eq!(api.get(Some("a"), "/status").await.1["quotas"][0]["used"], "0");
}

#[tokio::test]
async fn denials_are_told_the_last_one_first() {
    let api = Api::new().await;
    for cost in [8, 9] {
        assert!(api.service.charge(&client("a"), Credits::new(cost).unwrap()).await.unwrap().is_denied());
    }
    let (status, body) = api.operate(Method::GET, "/clients/a/denials", "").await;
    assert_eq!(status, 200);
    let denials = body["denials"].as_array().unwrap();
    assert_eq!(denials.iter().map(|denial| denial["required"].as_str().unwrap()).collect::<Vec<_>>(), ["9", "8"]);
    assert_eq!((&denials[0]["binding"], &denials[0]["violated"]), (&json!("day"), &json!(["day"])));
    assert_eq!(denials[0]["retry_at"], "2024-03-16T00:00:00.000Z");
    assert_eq!(api.operate(Method::GET, "/clients/b/denials", "").await.1, json!({ "denials": [] }));
}

#[tokio::test]
async fn nobody_is_an_operator_unless_the_application_says_so() {
    let api = Api::new().await;
    let without = UsageApi::new(&api.service);
    let status = async |api: &UsageApi, request: ApiRequest| api.answer(request).await.status().as_u16();
    assert_eq!(status(&without, operators(Method::GET, "/clients", "")).await, 403);
    for value in ["Bearer wrong", "Basic s3cret", "Bearer ", "s3cret"] {
        let mut request = operators(Method::GET, "/clients", "");
        request.headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        let answer = api.api.answer(request).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["www-authenticate"]),
            (401, &HeaderValue::from_static("Bearer"))
        );
    }
    for (standing, expected) in
        [(Standing::Operator("ada".into()), 200), (Standing::Other, 403), (Standing::Unknown, 401)]
    {
        let request = ApiRequest { standing: Some(standing), ..operators(Method::GET, "/clients", "") };
        assert_eq!(status(&api.api, request).await, expected);
    }
    // Who may not look does not learn whether a path is well formed, or there.
    assert_eq!(status(&api.api, request(Method::GET, "/clients/%00/status", None)).await, 401);
    assert_eq!(status(&api.api, request(Method::PUT, "/clients/a/status", None)).await, 401);
}

#[tokio::test]
async fn resources_methods_and_the_rest() {
    let api = Api::new().await;
    assert_eq!(api.get(None, "/health").await, (200, json!({ "status": "ok" })));
    let (status, body) = api.get(None, "/openapi.json").await;
    assert_eq!((status, &body), (200, &api.description));
    for path in ["/", "/nothing", "/clients/a", "/status/"] {
        assert_eq!(api.get(Some("a"), path).await.0, 404, "{path}");
    }
    let answer = api.api.answer(request(Method::POST, "/status", Some("a"))).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &HeaderValue::from_static("GET, HEAD")));
    let answer = api.api.answer(request(Method::HEAD, "/status", Some("a"))).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    let (status, body) = api.operate(Method::GET, "/clients/%FF/status", "").await;
    assert_eq!((status, body["detail"].as_str().map(|detail| detail.starts_with("id: "))), (400, Some(true)));
}

#[tokio::test]
async fn a_store_that_is_gone_is_no_secret_and_its_words_are() {
    let api = Api::new().await;
    api.service.shutdown().await;
    let (status, body) = api.get(Some("a"), "/status").await;
    assert_eq!(status, 503);
    assert!(!body.to_string().contains("shut"), "{body}");
}
