//! Whatever the usage API describes, it answers.

use http::header::ACCEPT;
use http::{HeaderValue, Method};
use quota_core::{Period, Unit};

use crate::http::HttpHarness;
use crate::http::ground::{CLIENT, Ground, operators, request};
use crate::http::setting::{Setting, quota};

const PLAN: &str = r#"{"quotas":[]}"#;

/// What operators are for: the method, the path, a query that is wrong there, and a body that is right.
const OF_OPERATORS: [(Method, &str, &str, &str); 10] = [
    (Method::GET, "/clients", "?limit=0", ""),
    (Method::GET, "/clients/client1/status", "", ""),
    (Method::GET, "/clients/client1/usage", "?tz=Mars/Olympus", ""),
    (Method::DELETE, "/clients/client1/usage", "?all=1", ""),
    (Method::GET, "/clients/client1/plan", "", ""),
    (Method::PUT, "/clients/client1/plan", "", PLAN),
    (Method::POST, "/clients/client1/plan/preview", "", PLAN),
    (Method::GET, "/clients/client1/entries", "?limit=0", ""),
    (Method::GET, "/clients/client1/denials", "", ""),
    (Method::DELETE, "/clients/client1/plan", "", ""),
];

pub fn every_answer_that_is_described_is_given<H: HttpHarness>() {
    let ten = Setting::<H>::ten;
    let endless = Setting::<H>::with([quota(Period::new(Unit::Year, 100_000).unwrap(), "10")]);
    let settings = [ten(), ten().without_denials(), ten().read_only(), ten().stored_plans(), endless];
    let lacking = settings.map(|setting| {
        let ground = setting.operators_by_role().serve();
        for fails in [false, true] {
            ground.fail(fails);
            callers_ask(&ground);
            operators_ask(&ground);
        }
        ground.lacking()
    });
    let [first, others @ ..] = lacking;
    let by_all: Vec<_> = first.into_iter().filter(|one| others.iter().all(|other| other.contains(one))).collect();
    assert!(by_all.is_empty(), "it is described, and nobody was answered so: {by_all:?}");
}

pub fn what_is_on_the_wire_is_as_described<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.get("/half");
    let (caller, operator) = ("X-Client-Id: client1", "Authorization: Bearer s3cret");
    let table = format!("{operator}\r\nAccept: text/csv");
    let plan = format!("{operator}\r\nContent-Length: {}\r\n\r\n{PLAN}", PLAN.len());
    for (line, rest, status) in [
        ("GET /quota/status", caller, 200),
        ("HEAD /quota/status", caller, 200),
        ("GET /quota/status", "X-None: x", 401),
        ("GET /quota/usage?by=label&tz=Asia/Tokyo", caller, 200),
        ("HEAD /quota/usage?tz=Mars/Olympus", caller, 400),
        ("GET /quota/health", "X-None: x", 200),
        ("HEAD /quota/openapi.json", "X-None: x", 200),
        ("POST /quota/status", caller, 405),
        ("GET /quota/none", caller, 404),
        ("GET /quota/clients?prefix=c&limit=2", operator, 200),
        ("GET /quota/clients", caller, 401),
        ("GET /quota/clients/client1/entries?limit=1", &table, 200),
        ("HEAD /quota/clients/client1/entries?limit=1", &table, 200),
        ("POST /quota/clients/client1/plan/preview", &plan, 200),
        ("PUT /quota/clients/client1/plan", &plan, 200),
        ("DELETE /quota/clients/client1/usage?all=true", operator, 200),
        ("DELETE /quota/clients/client1/plan", operator, 204),
        ("GET /v1/deep/quota/clients/client1/plan", operator, 404),
    ] {
        let end = if rest.contains("\r\n\r\n") { "" } else { "\r\n\r\n" };
        let answer = ground.send_closing(&format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}{end}"));
        assert_eq!(answer.status, status, "{line}: {answer:?}");
    }
    ground.fail(true);
    let down = ground.send_closing("GET /quota/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(down.status, 503);
}

fn callers_ask<H: HttpHarness>(ground: &Ground<H>) {
    for path in ["/status", "/usage", "/usage?by=client", "/health", "/openapi.json"] {
        for (client, accept) in [(CLIENT, "*/*"), (CLIENT, "text/csv"), ("stranger", "*/*"), ("", "*/*")] {
            let mut asked = request(Method::GET, &format!("/quota{path}"));
            asked.headers_mut().insert("x-client-id", HeaderValue::from_static(client));
            asked.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
            ground.send(asked);
        }
    }
}

fn operators_ask<H: HttpHarness>(ground: &Ground<H>) {
    for (method, path, wrong, body) in OF_OPERATORS {
        let ask = |role: Option<&'static str>, path: &str, body: &str, accept: &'static str| {
            let mut asked = operators(method.clone(), path, body);
            asked.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
            if let Some(role) = role {
                asked.headers_mut().insert("x-role", HeaderValue::from_static(role));
            }
            ground.send(asked);
        };
        ask(None, path, body, "*/*");
        ask(Some("reader"), path, body, "*/*");
        let operator = Some("operator");
        ask(operator, &format!("{path}{wrong}"), body, "*/*");
        for other in ["%00", "stranger"] {
            ask(operator, &path.replace(CLIENT, other), body, "*/*");
        }
        if !body.is_empty() {
            ask(operator, path, &format!("{body}{}", " ".repeat(64 << 10)), "*/*");
        }
        let all = if method == Method::DELETE && path.ends_with("usage") { "?all=true" } else { "" };
        for accept in ["*/*", "text/csv"] {
            ask(operator, &format!("{path}{all}"), body, accept);
        }
    }
}
