//! The usage API, asked without a framework. What every framework answers alike is in the suite that adapters pass.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::{Future, poll_fn};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use quota_http::{ApiRequest, NoClient, OperatorToken, Standing, UsageApi};
use quota_service::{ClientId, Plan, PlanFile, PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;
use tracing::subscriber::DefaultGuard;

fn client(id: &str) -> ClientId {
    ClientId::new(id).unwrap()
}

fn service() -> QuotaService<MemoryStore> {
    let registry = PlanRegistry::new().with(client("a"), Plan::default());
    QuotaService::builder(MemoryStore::new()).with_registry(registry).build()
}

fn request(method: Method, path: &str, caller: Option<&str>) -> ApiRequest {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    ApiRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: Ok(Bytes::new()),
        caller: caller.map(client).ok_or(NoClient::Missing),
        standing: None,
    }
}

fn operators(method: Method, path: &str, body: &str) -> ApiRequest {
    let mut request = request(method, path, None);
    request.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
    request.body = Ok(Bytes::copy_from_slice(body.as_bytes()));
    request
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
async fn nobody_is_an_operator_unless_the_application_says_so() {
    let (log, _logged) = logged();
    let service = service();
    let without = UsageApi::new(&service);
    for path in ["/clients", "/clients/a/status", "/clients/%00/status"] {
        assert_eq!(without.clone().answer(operators(Method::GET, path, "")).await.status(), 403);
        // The log says why, once.
        assert_eq!(log.text().matches("UsageApi::with_operator_token").count(), 1, "{}", log.text());
    }
    let api = UsageApi::new(&service).with_operator_token(OperatorToken::new("s3cret").unwrap());
    for (standing, expected) in
        [(Standing::Operator("ada".into()), 200), (Standing::Other, 403), (Standing::Unknown, 401)]
    {
        let request = ApiRequest { standing: Some(standing), ..operators(Method::GET, "/clients", "") };
        assert_eq!(api.answer(request).await.status(), expected);
    }
    assert_eq!(log.text().lines().count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_store_that_is_gone_is_no_secret_and_its_words_are() {
    let service = service();
    service.shutdown().await;
    let answer = UsageApi::new(&service).answer(request(Method::GET, "/status", Some("a"))).await;
    assert_eq!(answer.status(), 503);
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(!body.contains("shut"), "{body}");
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// What this thread logs until the guard is dropped.
fn logged() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_begun_is_done_and_logged_though_nobody_waits() {
    let (log, _logged) = logged();
    let api = UsageApi::new(&service());
    let quota = r#"{"period":"DAY","every":1,"limit":"2.5","anchor":"2024-01-01T00:00:00Z","tz":"UTC"}"#;
    for (method, path, body, said) in [
        (Method::PUT, "/clients/a/plan", format!(r#"{{"quotas":[{quota}]}}"#), "a plan was set"),
        (Method::DELETE, "/clients/a/usage?all=true", String::new(), "usage was deleted"),
        (Method::DELETE, "/clients/a/plan", String::new(), "a plan was removed"),
    ] {
        let standing = Some(Standing::Operator("ada".into()));
        let request = ApiRequest { standing, ..operators(method, path, &body) };
        let mut asked = Box::pin(api.answer(request));
        assert!(poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending())).await, "{said}");
        drop(asked);
        tokio::task::yield_now().await;
        let log = log.text();
        assert!(log.lines().any(|line| line.contains("INFO") && line.contains(said)), "{said}: {log}");
    }
}

#[tokio::test]
async fn what_operators_change_is_logged_with_who_and_what() {
    let (log, _logged) = logged();
    let api = UsageApi::new(&service());
    let ask = async |method, path: &str, body: &str| {
        let standing = Some(Standing::Operator("ada".into()));
        api.answer(ApiRequest { standing, ..operators(method, path, body) }).await.status().as_u16()
    };
    let quota = r#"{"period":"DAY","every":1,"limit":"2.5","anchor":"2024-01-01T00:00:00Z","tz":"UTC"}"#;
    assert_eq!(ask(Method::PUT, "/clients/a/plan", &format!(r#"{{"quotas":[{quota}]}}"#)).await, 200);
    assert_eq!(ask(Method::DELETE, "/clients/a/usage?all=true", "").await, 200);
    assert_eq!(ask(Method::DELETE, "/clients/a/plan", "").await, 204);
    // What changes nothing is nobody's concern.
    assert_eq!(ask(Method::GET, "/clients/a/entries", "").await, 200);
    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("INFO")).collect();
    let expected = [["a plan was set", "day: 2.5"], ["usage was deleted", "deleted=0"], ["a plan was removed", ""]];
    assert_eq!(lines.len(), expected.len(), "{log}");
    for (line, said) in lines.iter().zip(expected) {
        let says = |text: &str| line.contains(text);
        assert!(said.into_iter().all(says) && says("client=a") && says("operator=\"ada\""), "{line}");
    }
}
