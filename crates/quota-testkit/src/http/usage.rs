//! The usage API, as callers see it. Every answer is held against the API's own description.

use http::Method;
use http::header::ACCEPT;
use serde_json::json;

use crate::http::ground::{operators, request};
use crate::http::setting::Setting;
use crate::http::{HttpHarness, Named};

pub fn a_caller_reads_its_own_quotas_and_no_other<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    let own = ground.get("/quota/status");
    own.assert_headers([("content-type", Some("application/json"))]);
    let body = concat!(
        r#"{"at":"2024-03-01T12:00:00.000Z","quotas":[{"name":"day","limit":"10","used":"5","held":"0","remaining":"5","#,
        r#""starts_at":"2024-03-01T00:00:00.000Z","resets_at":"2024-03-02T00:00:00.000Z"}],"lowest":"day"}"#
    );
    assert_eq!((own.status, own.body.as_str()), (200, body));
    let mut other = request(Method::GET, "/quota/status");
    other.headers_mut().insert("x-client-id", "a/b".parse().unwrap());
    assert_eq!(ground.send(other).json()["quotas"][0]["used"], "0");
    let mut nobody = request(Method::GET, "/quota/status");
    nobody.headers_mut().remove("x-client-id");
    let nobody = ground.send(nobody);
    nobody.assert_problem(401, "the request names no client");
    nobody.assert_headers([("www-authenticate", Some("ApiKey"))]);
    let mut stranger = request(Method::GET, "/quota/status");
    stranger.headers_mut().insert("x-client-id", "stranger".parse().unwrap());
    ground.send(stranger).assert_problem(403, "no quota is available to this client");
    for path in ["/clients", "/clients/client1/status", "/clients/a%2Fb/usage", "/clients/client1/plan"] {
        let refused = ground.get(&format!("/quota{path}"));
        refused.assert_problem(401, "this is for operators: their token is needed");
        refused.assert_headers([("www-authenticate", Some("Bearer"))]);
    }
    ground.assert_used("5");
}

pub fn usage_is_told_by_day_and_label<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.get("/half");
    ground.record("2");
    let body = concat!(
        r#"{"from":"2024-02-01","to":"2024-03-02","tz":"UTC","#,
        r#""days":[{"day":"2024-03-01","credits":"7.5","entries":3}],"total":"7.5"}"#
    );
    assert_eq!(ground.get("/quota/usage").body, body);
    // The labels are the patterns of the routes; what was recorded elsewhere has none.
    let by_label = ground.get("/quota/usage?by=label&tz=Asia/Tokyo&from=2024-03-01").json();
    let days: Vec<_> = by_label["days"].as_array().unwrap().iter().collect();
    let told: Vec<_> = days.iter().map(|day| (day["label"].as_str(), day["credits"].as_str().unwrap())).collect();
    assert_eq!(told, [(None, "2"), (Some("/five"), "5"), (Some("/half"), "0.5")]);
    assert_eq!((&by_label["to"], &by_label["total"]), (&"2024-03-02".into(), &"7.5".into()));
    assert_eq!(ground.get("/quota/usage?from=2024-03-02&to=2024-03-02").json()["days"].as_array().unwrap().len(), 0);
}

pub fn usage_is_told_as_a_table<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    let mut table = request(Method::GET, "/quota/usage?by=label");
    table.headers_mut().insert(ACCEPT, "text/csv".parse().unwrap());
    let answer = ground.send(table);
    answer.assert_headers([("content-type", Some("text/csv; charset=utf-8; header=present"))]);
    assert_eq!(answer.body, "day,label,credits,entries\r\n2024-03-01,/five,5,1\r\n");
    let mut entries = operators(Method::GET, "/clients/client1/entries", "");
    entries.headers_mut().insert(ACCEPT, "text/csv".parse().unwrap());
    let answer = ground.send(entries);
    assert!(answer.body.starts_with("at,id,credits,label\r\n2024-03-01T12:00:00.000Z,"), "{}", answer.body);
    assert!(answer.body.ends_with(",5,/five\r\n"), "{}", answer.body);
    answer.assert_headers([("link", None)]);
}

pub fn a_table_of_entries_says_where_it_goes_on<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    ground.get("/half");
    let table = |query: &str| {
        let mut entries = operators(Method::GET, &format!("/clients/client1/entries{query}"), "");
        entries.headers_mut().insert(ACCEPT, "text/csv".parse().unwrap());
        ground.send(entries)
    };
    let first = table("?from=2024-03-01T00:00:00%2B00:00&limit=1");
    assert!(first.body.ends_with(",5,/five\r\n"), "{}", first.body);
    let link = first.headers["link"].to_str().unwrap();
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
    assert!(next.contains("limit=1&") && !next.contains("+00"), "{next}");
    let last = table(next);
    assert!(last.body.ends_with(",0.5,/half\r\n") && !last.body.contains("/five"), "{}", last.body);
    last.assert_headers([("link", None)]);
}

pub fn a_table_holds_no_formula<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let ids = ["=1+1", "+1", "-1", "@a", "a=1", "'=1", "a,\"b\""];
    for id in ids {
        let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        assert_eq!(ground.get(&format!("/compute?credits=1&id={id}")).status, 200);
    }
    let mut table = operators(Method::GET, "/clients/client1/entries", "");
    table.headers_mut().insert(ACCEPT, "text/csv".parse().unwrap());
    let table = ground.send(table).body;
    let told: Vec<&str> = table.lines().skip(1).map(|row| row.split_once("Z,").unwrap().1).collect();
    let quoted = ["'=1+1", "'+1", "'-1", "'@a", "a=1", "'=1", "\"a,\"\"b\"\"\""];
    let expected: Vec<String> = quoted.iter().map(|id| format!("{id},1,/compute")).collect();
    let (mut told, mut expected) = (told, expected);
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    // What reads JSON is no spreadsheet.
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let entries = entries["entries"].as_array().unwrap();
    assert!(ids.iter().all(|id| entries.iter().any(|entry| entry["id"] == *id)), "{entries:?}");
}

pub fn who_asks_is_described_as_the_application_says<H: HttpHarness>() {
    for (named, header) in [(Named::Header, "x-client-id"), (Named::Function, "Authorization")] {
        let ground = Setting::<H>::ten().named(named).serve();
        let described = ground.get("/quota/openapi.json").json();
        let schemes = &described["components"]["securitySchemes"];
        assert_eq!(schemes["operator"], json!({ "type": "http", "scheme": "bearer" }));
        let client = &schemes["client"];
        let scheme = (&client["type"], &client["in"], &client["name"]);
        assert_eq!(scheme, (&json!("apiKey"), &json!("header"), &json!(header)), "{named:?}");
        let is_unsaid = client["description"].as_str().unwrap().starts_with("The application decides");
        assert_eq!(is_unsaid, named != Named::Header, "{client}");
        for (path, method, security) in [
            ("/status", "get", json!([{ "client": [] }])),
            ("/clients", "get", json!([{ "operator": [] }])),
            ("/health", "get", json!([])),
        ] {
            assert_eq!(described["paths"][path][method]["security"], security, "{path}");
        }
    }
}

pub fn every_resource_says_what_it_takes<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/quota/health").body, r#"{"status":"ok"}"#);
    assert_eq!(ground.get("/quota/openapi.json").json()["openapi"], "3.1.0");
    for path in ["/quota/none", "/quota/status/", "/quota//status", "/quota/clients/client1"] {
        ground.get(path).assert_problem(404, "there is no such resource");
    }
    for (method, path, takes) in [
        (Method::POST, "/status", "GET, HEAD"),
        (Method::PATCH, "/clients", "GET, HEAD"),
        (Method::POST, "/clients/client1/plan", "GET, PUT, DELETE, HEAD"),
        (Method::GET, "/clients/client1/plan/preview", "POST"),
        (Method::PUT, "/clients/client1/usage", "GET, DELETE, HEAD"),
    ] {
        let answer = ground.operate(method, path, "");
        answer.assert_problem(405, "this resource does not take that method");
        answer.assert_headers([("allow", Some(takes))]);
    }
    for path in ["/quota/status", "/quota/health", "/quota/openapi.json"] {
        let head = ground.send(request(Method::HEAD, path));
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        let length = ground.get(path).body.len().to_string();
        head.assert_headers([("content-type", Some("application/json")), ("content-length", Some(&length))]);
    }
}

pub fn a_store_that_fails_is_a_503_that_tells_nothing<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/one");
    ground.fail(true);
    let own = [
        request(Method::GET, "/quota/status"),
        request(Method::GET, "/quota/usage"),
        request(Method::GET, "/quota/health"),
    ];
    let plan = r#"{"quotas":[]}"#;
    let others = [
        operators(Method::GET, "/clients", ""),
        operators(Method::GET, "/clients/client1/status", ""),
        operators(Method::GET, "/clients/client1/usage", ""),
        operators(Method::DELETE, "/clients/client1/usage?all=true", ""),
        operators(Method::GET, "/clients/client1/entries", ""),
        operators(Method::PUT, "/clients/client1/plan", plan),
        operators(Method::POST, "/clients/client1/plan/preview", plan),
    ];
    for request in own.into_iter().chain(others) {
        let path = format!("{} {}", request.method(), request.uri());
        let answer = ground.send(request);
        assert_eq!(answer.status, 503, "{path}");
        answer.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
        assert!(!answer.body.contains("redis") && !answer.body.contains("10.0.0.7"), "{}", answer.body);
    }
}

pub fn it_answers_below_any_prefix<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/five");
    let get = |path: &str| ground.get(&format!("/v1/deep/quota{path}"));
    assert_eq!(get("/status").body, ground.get("/quota/status").body);
    assert_eq!(get("/usage?from=2024-03-01&to=2024-03-02").json()["total"], "5");
    assert_eq!(get("/health").status, 200);
    assert_eq!(get("/openapi.json").status, 200);
    get("/none").assert_problem(404, "there is no such resource");
    for (path, status) in [("/clients/a%2Fb/status", 200), ("/clients/a/b/status", 404), ("/clients", 200)] {
        let mut request = operators(Method::GET, path, "");
        *request.uri_mut() = format!("/v1/deep/quota{path}").parse().unwrap();
        assert_eq!(ground.send(request).status, status, "{path}");
    }
    for path in ["/v1", "/v1/deep", "/deep/quota/status"] {
        assert_eq!(ground.get(path).status, 404, "{path}");
    }
}
