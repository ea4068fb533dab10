//! What is charged.

use http::Method;
use quota_core::Period;
use quota_service::OnStoreError;
use serde_json::json;

use crate::http::HttpHarness;
use crate::http::ground::request;
use crate::http::setting::{Setting, quota};

pub fn a_route_costs_what_it_declares<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (path, remaining) in [
        ("/one", "9"),
        ("/five", "4"),
        ("/half", "3.5"),
        ("/by-query?n=0.25", "3.25"),
        ("/by-waiting?n=0.25", "3"),
        // Now it is known that a handler answers.
        ("/one", "2"),
        ("/by-waiting?n=0.5", "1.5"),
    ] {
        assert_eq!(ground.get(path).remaining(), Some(remaining), "{path}");
    }
    assert_eq!(ground.get("/by-waiting?n=2").status, 429);
    ground.assert_used("8.5");
}

pub fn a_malformed_computed_cost_is_refused_and_nothing_is_charged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for path in ["/by-query", "/by-waiting"] {
        ground.get(&format!("{path}?n=-1")).assert_problem(400, "n: an amount of credits is not negative");
        ground.get(path).assert_problem(400, "n: it is missing");
        for bad in ["", "NaN", "1e400", "0.0000001", "10000000000000"] {
            ground.get(&format!("{path}?n={bad}")).assert_malformed("n");
        }
        ground.get(&format!("{path}?n=1&n=1")).assert_problem(400, "n: it is given more than once");
    }
    ground.assert_used("0");
}

pub fn what_is_exempt_is_not_metered<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut request = request(Method::GET, "/free");
    request.headers_mut().remove("x-client-id");
    let answer = ground.send(request);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ran"));
    answer.assert_no_quota();
    ground.assert_used("0");
}

/// Whether `/%6Fne` is `/one` is the framework's own business.
pub fn an_encoded_path_is_no_way_around<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut left = 10;
    for (path, cost) in [("/%6Fne", 1), ("/on%65", 1), ("/%66ive", 5_u32)] {
        let answer = ground.get(path);
        match answer.status {
            200 => left -= cost,
            404 => answer.assert_no_quota(),
            _ => panic!("{path}: {answer:?}"),
        }
        ground.assert_used(&(10 - left).to_string());
    }
}

pub fn head_is_charged_as_get<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.send(request(Method::HEAD, "/five"));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    answer.assert_headers([("x-ratelimit-remaining", Some("5")), ("ratelimit", Some(r#""day";r=5;t=43200"#))]);
    ground.assert_used("5");
}

pub fn a_preflight_is_free_and_other_options_are_not<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut preflight = request(Method::OPTIONS, "/any");
    preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    let answer = ground.send(preflight);
    assert_eq!(answer.status, if H::PAYS_BY_TYPE { 500 } else { 200 }, "{answer:?}");
    answer.assert_no_quota();
    ground.assert_used("0");
    let answer = ground.send(request(Method::OPTIONS, "/any"));
    assert_eq!((answer.status, answer.remaining()), (200, Some("9")));
    ground.assert_used("1");
}

pub fn preflights_unmatched_paths_and_methods_without_a_handler_are_free<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let mut preflight = request(Method::OPTIONS, "/one");
    preflight.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    let put = |path| request(Method::PUT, path);
    let unhandled = [preflight, request(Method::OPTIONS, "/one"), put("/five"), put("/answer?status=200")];
    for request in unhandled {
        let answer = ground.send(request);
        // Which of the two is the framework's own business.
        assert!(matches!(answer.status, 404 | 405), "{answer:?}");
        answer.assert_no_quota();
    }
    for path in ["/none", "/one/more", "/"] {
        let answer = ground.get(path);
        assert_eq!(answer.status, 404, "{path}");
        answer.assert_no_quota();
    }
    ground.assert_used("0");
}

pub fn a_request_that_an_extractor_refuses_is_charged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/number/7").remaining(), Some("9"));
    let refused = ground.get("/number/seven");
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert_eq!(refused.remaining(), Some("8"));
    ground.assert_used("2");
}

pub fn what_the_handler_set_stays<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.send(request(Method::POST, "/created"));
    assert_eq!((answer.status, answer.body.as_str()), (201, "made"));
    // But what it set under our names is replaced.
    answer.assert_headers([("location", Some("/made/1")), ("x-ratelimit-remaining", Some("9"))]);
}

pub fn what_the_handler_set_is_taken_out_where_no_quota_is_told<H: HttpHarness>() {
    let unlimited = Setting::<H>::with([quota(Period::DAY, "unlimited")]).serve();
    let open = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
    open.fail(true);
    for ground in [unlimited, open] {
        let answer = ground.send(request(Method::POST, "/created"));
        assert_eq!((answer.status, answer.header("location")), (201, Some("/made/1")));
        answer.assert_no_quota();
    }
}

pub fn entries_may_have_a_label_of_their_own<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for path in ["/labelled", "/labelled", "/one"] {
        assert_eq!(ground.get(path).status, 200, "{path}");
    }
    let days = ground.get("/quota/usage?from=2024-03-01&to=2024-03-02&by=label").json();
    let labels: Vec<_> = days["days"].as_array().unwrap().iter().map(|day| (&day["label"], &day["credits"])).collect();
    assert_eq!(labels, [(&json!("/one"), &json!("1")), (&json!("reports"), &json!("2"))]);
}
