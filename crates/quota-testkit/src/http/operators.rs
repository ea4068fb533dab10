//! The usage API, as operators see it. Every answer is held against the API's own description.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use quota_http::IdempotencyKeys;
use serde_json::{Value, json};

use crate::http::HttpHarness;
use crate::http::ground::{operators, request};
use crate::http::setting::Setting;

pub fn an_operator_reads_any_client_by_its_encoded_id<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (path, status) in [
        ("/clients/a%2Fb/status", 200),
        ("/clients/a%2fb/status", 200),
        ("/clients/client1/usage?from=2024-03-01&to=2024-03-02", 200),
        ("/clients/a/b/status", 404),
        ("/clients/..%2Fclient1/status", 403),
        ("/clients/client1%252F/status", 403),
    ] {
        assert_eq!(ground.operate(Method::GET, path, "").status, status, "{path}");
    }
}

pub fn clients_and_entries_come_in_pages<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.get("/half");
    let mut other = request(Method::GET, "/one");
    other.headers_mut().insert("x-client-id", "a/b".parse().unwrap());
    ground.send(other);
    let get = |path: &str| ground.operate(Method::GET, path, "");
    assert_eq!(get("/clients?limit=1").body, r#"{"clients":["a/b"],"next":"a/b"}"#);
    assert_eq!(get("/clients?limit=1&after=a%2Fb").json()["clients"], json!(["client1"]));
    assert_eq!(get("/clients?prefix=cl").body, r#"{"clients":["client1"],"next":null}"#);
    let first = get("/clients/client1/entries?limit=1").json();
    assert_eq!((&first["entries"][0]["label"], &first["entries"][0]["credits"]), (&json!("/five"), &json!("5")));
    let next: String = form_urlencoded::byte_serialize(first["next"].as_str().unwrap().as_bytes()).collect();
    let second = get(&format!("/clients/client1/entries?after={next}")).json();
    assert_eq!((&second["entries"][0]["credits"], &second["next"]), (&json!("0.5"), &Value::Null));
}

pub fn entries_are_told_between_instants<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.clock().advance(Duration::from_secs(10 * 60));
    ground.get("/half");
    for (query, told) in [
        ("", &["5", "0.5"][..]),
        ("from=2024-03-01T12:00:00Z", &["5", "0.5"]),
        ("from=2024-03-01T12:00:00.001Z", &["0.5"]),
        ("from=2024-03-01T13:10:00%2B01:00", &["0.5"]),
        ("from=2024-03-01T12:10:00.001Z", &[]),
        ("to=2024-03-01T12:10:00Z", &["5"]),
        ("to=2024-03-01T12:10:00.001Z", &["5", "0.5"]),
        ("from=2024-03-01T12:00:00.001Z&to=2024-03-01T12:10:00Z", &[]),
    ] {
        let entries = ground.operate(Method::GET, &format!("/clients/client1/entries?{query}"), "").json();
        let credits: Vec<_> = entries["entries"].as_array().unwrap().iter().map(|entry| &entry["credits"]).collect();
        assert_eq!(credits, told.iter().collect::<Vec<_>>(), "{query}");
    }
}

fn per_day(limit: &str) -> Value {
    json!({ "period": "DAY", "every": 1, "limit": limit, "anchor": "2024-01-01T06:00:00Z", "tz": "UTC" })
}

pub fn a_plan_is_previewed_set_and_removed<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    let plan = json!({ "quotas": [per_day("2")] }).to_string();
    let preview = ground.operate(Method::POST, "/clients/client1/plan/preview", &plan).json();
    let renewals = preview["quotas"][0]["renewals"].as_array().unwrap();
    assert_eq!((renewals.len(), &renewals[0]), (12, &json!("2024-03-02T06:00:00.000Z")));
    assert_eq!(preview["status"]["quotas"][0]["remaining"], "-3");
    assert_eq!(ground.get("/quota/status").json()["quotas"][0]["remaining"], "5", "it changed nothing");
    let set = ground.operate(Method::PUT, "/clients/client1/plan", &plan);
    assert_eq!((set.status, &set.json()["quotas"][0]["remaining"]), (200, &json!("-3")));
    let read = ground.operate(Method::GET, "/clients/client1/plan", "");
    assert_eq!(read.json()["quotas"][0]["limit"], "2");
    assert_eq!(ground.get("/one").status, 429);
    let removed = ground.operate(Method::DELETE, "/clients/client1/plan", "");
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    let read = ground.operate(Method::GET, "/clients/client1/plan", "");
    read.assert_problem(404, "the client has no plan");
    ground.get("/one").assert_problem(403, "no quota is available to this client");
}

pub fn a_plan_is_taken_in_any_form_that_is_described<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (member, form, read) in [
        ("every", json!(1.0), json!(1)),
        ("anchor", json!("2024-01-01T07:00:00+01:00"), json!("2024-01-01T06:00:00.000Z")),
        ("anchor", json!("2024-01-01T06:00:00.000000Z"), json!("2024-01-01T06:00:00.000Z")),
        ("limit", json!("2.500000"), json!("2.5")),
    ] {
        let mut quota = per_day("2");
        quota[member] = form;
        let plan = json!({ "quotas": [quota] }).to_string();
        assert_eq!(ground.operate(Method::PUT, "/clients/client1/plan", &plan).status, 200, "{plan}");
        let told = ground.operate(Method::GET, "/clients/client1/plan", "").json();
        assert_eq!(told["quotas"][0][member], read, "{plan}");
    }
}

pub fn usage_is_deleted_between_bounds_or_all_of_it<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.get("/half");
    let delete = |query: &str| ground.operate(Method::DELETE, &format!("/clients/client1/usage{query}"), "");
    for (query, member) in [
        ("", "from"),
        ("?from=2024-03-01T00:00:00Z", "to"),
        ("?to=2024-03-01T00:00:00Z", "from"),
        ("?all=1", "all"),
        ("?all=true&from=2024-03-01T00:00:00Z&to=2024-03-02T00:00:00Z", "all"),
        ("?from=2024-03-01&to=2024-03-02", "from"),
        ("?from=2024-03-02T00:00:00Z&to=2024-03-01T00:00:00Z", "to"),
    ] {
        delete(query).assert_malformed(member);
    }
    let after = delete("?from=2024-03-01T12:00:00.001Z&to=2024-03-02T00:00:00Z");
    assert_eq!(after.body, r#"{"deleted":0}"#);
    ground.assert_used("5.5");
    assert_eq!(delete("?all=true").body, r#"{"deleted":2}"#);
    ground.assert_used("0");
}

pub fn a_form_is_a_post_whatever_method_it_names<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/one");
    for path in ["/clients/client1/usage?all=true", "/clients/client1/plan"] {
        for form in ["_method=DELETE", "_method=delete&x=", "%5Fmethod=DELETE", "_method=put"] {
            let mut request = operators(Method::POST, path, form);
            request.headers_mut().insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
            ground.send(request).assert_problem(405, "this resource does not take that method");
        }
        // Nor where it is longer than what is read of a body.
        let long = format!("_method=DELETE&x={}", "y".repeat(100_000));
        let mut request = operators(Method::POST, path, &long);
        request.headers_mut().insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        ground.send(request).assert_problem(405, "this resource does not take that method");
    }
    ground.assert_used("1");
    // What is no POST stays what it is.
    let plan = r#"{"quotas":[]}"#;
    for (method, body, status) in [(Method::PUT, plan, 200), (Method::GET, "", 200), (Method::DELETE, "", 204)] {
        let mut request = operators(method, "/clients/client1/plan", body);
        request.headers_mut().insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(ground.send(request).status, status);
    }
}

pub fn denials_are_told_the_last_one_first<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for cost in ["11", "12.5"] {
        assert_eq!(ground.get(&format!("/compute?credits={cost}")).status, 429);
    }
    let denials = ground.operate(Method::GET, "/clients/client1/denials", "").json();
    let denials = denials["denials"].as_array().unwrap();
    assert_eq!(denials.iter().map(|denial| &denial["required"]).collect::<Vec<_>>(), ["12.5", "11"]);
    assert_eq!((&denials[0]["binding"], &denials[0]["violated"]), (&json!("day"), &json!(["day"])));
    assert_eq!(denials[0]["at"], "2024-03-01T12:00:00.000Z");
    // The last twenty are kept.
    for cost in 13..33 {
        assert_eq!(ground.get(&format!("/compute?credits={cost}")).status, 429);
    }
    let denials = ground.operate(Method::GET, "/clients/client1/denials", "").json();
    let required: Vec<_> = denials["denials"].as_array().unwrap().iter().map(|denial| &denial["required"]).collect();
    let last: Vec<String> = (13..33).rev().map(|cost| cost.to_string()).collect();
    assert_eq!(required, last.iter().collect::<Vec<_>>());
    assert_eq!(ground.operate(Method::GET, "/clients/a%2Fb/denials", "").body, r#"{"denials":[]}"#);
}

pub fn holds_that_are_denied_are_told_too<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
    ground.record("7");
    for path in ["/generate?max=3.5&actual=1", "/answer?status=200", "/stream?max=4.5&chunks=1"] {
        assert_eq!(ground.get(path).status, 429, "{path}");
    }
    for path in ["/by-query?n=5.5", "/compute?credits=6.5", "/generate?max=7.5&actual=1", "/accepted?status=202"] {
        assert_eq!(ground.get_with_key(path, "k").status, 429, "{path}");
    }
    let denials = ground.operate(Method::GET, "/clients/client1/denials", "").json();
    let required: Vec<_> = denials["denials"].as_array().unwrap().iter().map(|denial| &denial["required"]).collect();
    assert_eq!(required, ["4", "7.5", "6.5", "5.5", "4.5", "4", "3.5"]);
    ground.assert_used("7");
}

pub fn denials_that_nobody_remembers_are_not_told<H: HttpHarness>() {
    let ground = Setting::<H>::ten().without_denials().serve();
    assert_eq!(ground.get("/by-query?n=11").status, 429);
    let denials = ground.operate(Method::GET, "/clients/client1/denials", "");
    denials.assert_problem(404, "denials are not remembered here");
}

pub fn nobody_else_is_an_operator<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let long = format!("Bearer {}", "s".repeat(10_000));
    let wrong: [&[u8]; 8] = [
        b"Bearer wrong",
        b"Bearer s3cre",
        b"Bearer s3cret2",
        b"Bearer ",
        b"s3cret",
        b"Basic s3cret",
        b"Bearer s\xc3\xa9cret",
        long.as_bytes(),
    ];
    for value in wrong {
        let mut request = operators(Method::DELETE, "/clients/client1/usage?all=true", "");
        request.headers_mut().insert("authorization", HeaderValue::from_bytes(value).unwrap());
        let refused = ground.send(request);
        refused.assert_problem(401, "this is for operators: their token is needed");
        refused.assert_headers([("www-authenticate", Some("Bearer"))]);
    }
    // Who may not look does not learn whether a path is well formed, or there.
    for path in ["/quota/clients/%00/status", "/quota/clients/nobody/status"] {
        assert_eq!(ground.get(path).status, 401, "{path}");
    }
    let mut put = request(Method::PUT, "/quota/clients/client1/plan");
    *put.body_mut() = r#"{"quotas":[]}"#.into();
    assert_eq!(ground.send(put).status, 401);
    assert_eq!(ground.get("/quota/status").json()["quotas"][0]["limit"], "10");
}

pub fn operators_may_be_named_by_a_function<H: HttpHarness>() {
    let ground = Setting::<H>::ten().operators_by_role().serve();
    let of_role = |method: Method, path: &str, role: Option<&'static str>| {
        let mut request = operators(method, path, r#"{"quotas":[]}"#);
        if let Some(role) = role {
            request.headers_mut().insert("x-role", HeaderValue::from_static(role));
        }
        ground.send(request)
    };
    for (method, path) in [
        (Method::GET, "/clients"),
        (Method::GET, "/clients/client1/status"),
        (Method::PUT, "/clients/client1/plan"),
        (Method::DELETE, "/clients/client1/usage?all=true"),
    ] {
        // The token, which is sent with each, counts for nothing.
        let nobody = of_role(method.clone(), path, None);
        nobody.assert_problem(401, "this is for operators: their token is needed");
        of_role(method.clone(), path, Some("reader")).assert_problem(403, "this is for operators");
        assert_eq!(ground.get("/quota/status").json()["quotas"].as_array().unwrap().len(), 1, "{method} {path}");
        if method == Method::GET {
            assert_eq!(of_role(method, path, Some("operator")).status, 200, "{path}");
        }
    }
    assert_eq!(of_role(Method::PUT, "/clients/client1/plan", Some("operator")).status, 200);
    assert_eq!(ground.get("/quota/status").json()["quotas"].as_array().unwrap().len(), 0);
}

pub fn plans_of_the_applications_are_only_read<H: HttpHarness>() {
    let ground = Setting::<H>::ten().read_only().serve();
    let plan = r#"{"quotas":[]}"#;
    assert_eq!(ground.operate(Method::GET, "/clients/client1/plan", "").json()["quotas"][0]["limit"], "10");
    for (method, body) in [(Method::PUT, plan), (Method::DELETE, "")] {
        let refused = ground.operate(method, "/clients/client1/plan", body);
        refused.assert_problem(405, "this resource does not take that method");
        refused.assert_headers([("allow", Some("GET, HEAD"))]);
    }
    assert_eq!(ground.operate(Method::POST, "/clients/client1/plan/preview", plan).status, 200);
    assert_eq!(ground.get("/quota/status").json()["quotas"][0]["limit"], "10");
}
