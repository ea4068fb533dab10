//! Whatever the usage API describes, it answers.

use http::header::ACCEPT;
use http::{HeaderValue, Method};

use crate::http::HttpHarness;
use crate::http::ground::{CLIENT, Ground, operators, request};
use crate::http::setting::Setting;

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
    let lacking = [ten(), ten().without_denials(), ten().read_only(), ten().stored_plans()].map(|setting| {
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
