//! Requests that are sent again, and requests that are charged only if they succeed.

use http::{HeaderValue, Method};
use quota_http::{IdempotencyKeys, OnReplay};

use crate::http::HttpHarness;
use crate::http::ground::{request, with_key};
use crate::http::setting::Setting;

/// So long that the longest keys are too long beside it.
pub const LONG_ROUTE: &str = "/reports/of-all-that-was-used/by-every-department/and-project/and-member-of-it/in-every-region/and-zone/told-by-hour/and-day";

fn keyed<H: HttpHarness>() -> Setting<H> {
    Setting::ten().keys(IdempotencyKeys::default())
}

pub fn a_key_is_charged_once<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    assert_eq!(ground.get_with_key("/one", "k").status, 200);
    for key in ["k", "\"k\""] {
        let replay = ground.get_with_key("/one", key);
        replay.assert_problem(409, "already charged");
        assert_eq!(replay.remaining(), Some("9"));
    }
    // Another key or route is another charge, and so is a request without a key.
    for (path, key) in [("/one", "l"), ("/half", "k")] {
        assert_eq!(ground.get_with_key(path, key).status, 200);
    }
    assert_eq!(ground.get("/one").status, 200);
    ground.assert_used("3.5");
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let has = |id: &str| entries["entries"].as_array().unwrap().iter().any(|entry| entry["id"] == id);
    assert!(has("key:GET /one:k") && has("key:GET /one:l") && has("key:GET /half:k"), "{entries}");
    // HEAD is charged as GET, and so is its key.
    let mut head = request(Method::HEAD, "/one");
    head.headers_mut().insert("idempotency-key", "k".parse().unwrap());
    assert_eq!(ground.send(head).status, 409);
    ground.assert_used("3.5");
}

pub fn a_key_that_is_too_long_beside_its_route_is_hashed<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    let (one, other) = ("k".repeat(128), format!("{}l", "k".repeat(127)));
    for (key, status) in [(&one, 200), (&one, 409), (&other, 200), (&other, 409)] {
        assert_eq!(ground.get_with_key(LONG_ROUTE, key).status, status);
    }
    assert_eq!(ground.get_with_key(LONG_ROUTE, "k").status, 200);
    ground.assert_used("3");
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let ids: Vec<&str> =
        entries["entries"].as_array().unwrap().iter().filter_map(|entry| entry["id"].as_str()).collect();
    let is_hashed = |id: &&&str| id.strip_prefix("key:").is_some_and(|rest| rest.len() == 64 && !rest.contains('/'));
    assert_eq!((ids.len(), ids.iter().filter(is_hashed).count()), (3, 2), "{entries}");
    assert!(ids.contains(&format!("key:GET {LONG_ROUTE}:k").as_str()), "{entries}");
}

pub fn a_key_says_nothing_where_nobody_asked_for_keys<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (key, remaining) in [("k", "9"), ("k", "8"), ("a b", "7")] {
        let answer = ground.get_with_key("/one", key);
        assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)), "{key}");
    }
    // Its entries have no id of a key's.
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let ids = entries["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap_or_default());
    assert!(ids.into_iter().all(|id| !id.starts_with("key:")), "{entries}");
    ground.assert_used("3");
}

pub fn a_key_with_another_cost_is_a_conflict<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for path in ["/by-query?n=", "/compute?credits="] {
        assert_eq!(ground.get_with_key(&format!("{path}1"), "k").status, 200);
        let other = ground.get_with_key(&format!("{path}2"), "k");
        other.assert_problem(409, "the idempotency key was used with another cost");
        // It is neither allowed nor denied: nothing is told of quotas, whoever charges.
        other.assert_no_quota();
    }
    ground.assert_used("2");
}

pub fn a_hold_under_a_key_is_settled_once<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    assert_eq!(ground.get_with_key("/generate?max=8&actual=2.5&fail=true", "k").status, 500);
    assert_eq!(ground.get_with_key("/generate?max=8&actual=2.5", "k").status, 200);
    let replay = ground.get_with_key("/generate?max=8&actual=2.5", "k");
    replay.assert_problem(409, "already charged");
    assert_eq!(replay.remaining(), Some("7.5"));
    ground.assert_used("2.5");
}

/// The key is the layer's.
pub fn what_a_handler_charges_beside_its_layer_is_charged_under_a_key_too<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    let answer = ground.get_with_key("/twice", "k");
    assert_eq!((answer.status, answer.remaining()), (200, Some("6.5")));
    ground.get_with_key("/twice", "k").assert_problem(409, "already charged");
    ground.assert_used("3.5");
    // Who runs again pays again what is under no key.
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default().with_on_replay(OnReplay::Run)).serve();
    for remaining in ["6.5", "4"] {
        let answer = ground.get_with_key("/twice", "k");
        assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)));
    }
}

pub fn what_is_no_key_is_named<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for key in ["", "a b", "\"open", "\"\"", &"x".repeat(129)] {
        let answer = ground.get_with_key("/one", key);
        answer.assert_problem(400, "idempotency-key: a key is 1 to 128 visible ASCII characters");
        answer.assert_no_quota();
    }
    let mut twice = request(Method::GET, "/one");
    for key in ["a", "b"] {
        twice.headers_mut().append("idempotency-key", key.parse().unwrap());
    }
    ground.send(twice).assert_problem(400, "idempotency-key: it is given more than once");
    ground.assert_used("0");
    let mut bytes = request(Method::GET, "/one");
    bytes.headers_mut().insert("idempotency-key", HeaderValue::from_bytes(b"k\xff").unwrap());
    if H::HIDES_OTHER_THAN_UTF8 {
        // It is no key, so whoever sends it again pays again.
        for remaining in ["9", "8"] {
            let answer = ground.send(bytes.clone());
            assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)));
        }
    } else {
        ground.send(bytes).assert_problem(400, "idempotency-key: a key is 1 to 128 visible ASCII characters");
        ground.assert_used("0");
    }
    assert_eq!(ground.get_with_key("/one", &"x".repeat(128)).status, 200);
}

pub fn a_replay_may_run_again<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default().with_on_replay(OnReplay::Run)).serve();
    for path in ["/five", "/answer?status=200", "/compute?credits=0.5"] {
        for _ in 0..3 {
            assert_eq!(ground.get_with_key(path, "k").status, 200, "{path}");
        }
    }
    ground.assert_used("9.5");
    // What is held anew is not what was paid.
    assert_eq!(ground.get_with_key("/generate?max=0.5&actual=0.25", "k").status, 200);
    assert_eq!(ground.get_with_key("/generate?max=0.5&actual=0.25", "k").status, 409);
    ground.assert_used("9.75");
}

pub fn only_success_is_charged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (status, remaining) in [(404, "10"), (500, "10"), (200, "6"), (503, "6"), (201, "2")] {
        let answer = ground.get(&format!("/answer?status={status}"));
        assert_eq!((answer.status, answer.remaining()), (status, Some(remaining)));
    }
    // What cannot be paid does not run, even if it would fail.
    assert_eq!(ground.get("/answer?status=500").status, 429);
    ground.assert_used("8");
}

pub fn a_failed_request_may_be_tried_again_under_its_key<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for (asked, answered) in [(503, 503), (503, 503), (200, 200), (200, 409), (503, 409)] {
        assert_eq!(ground.get_with_key(&format!("/answer?status={asked}"), "k").status, answered);
    }
    ground.assert_used("4");
}

pub fn a_key_of_what_no_handler_answers_stays_free<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for (method, path) in [
        (Method::PUT, "/one"),
        (Method::DELETE, "/five"),
        (Method::POST, "/by-query?n=1"),
        (Method::PUT, "/answer?status=200"),
        (Method::DELETE, "/compute?credits=1"),
        (Method::GET, "/none"),
        (Method::PUT, "/number/7"),
    ] {
        for _ in 0..3 {
            let mut asked = with_key(path, "k");
            *asked.method_mut() = method.clone();
            let answer = ground.send(asked);
            // Which of the two is the framework's own business.
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {answer:?}");
            answer.assert_no_quota();
        }
    }
    ground.assert_used("0");
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 0, "{entries}");
}

pub fn a_key_stays_free_until_something_is_paid<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    // What is asked under one key, and what is answered; then it is paid.
    let asked: [(&[(&str, u16)], &str); 7] = [
        (&[("/by-query?n=x", 400), ("/by-query?n=11", 429)], "/by-query?n=1"),
        (&[("/by-waiting", 400), ("/by-waiting?n=11", 429)], "/by-waiting?n=1"),
        (&[("/compute?credits=-1", 400), ("/compute?credits=11", 429)], "/compute?credits=1"),
        (&[("/compute?credits=1&id=key%3Ak", 400)], "/compute?credits=1"),
        (&[("/generate?max=11&actual=1", 429), ("/generate?max=x&actual=1", 400)], "/generate?max=1&actual=1"),
        (&[("/generate?max=1&actual=x", 400), ("/generate?max=1&actual=1&fail=true", 500)], "/generate?max=1&actual=1"),
        (
            &[("/answer?status=404", 404), ("/answer?status=405", 405), ("/answer?status=500", 500)],
            "/answer?status=200",
        ),
    ];
    for (number, (before, paid)) in asked.into_iter().enumerate() {
        let get = |path: &str| ground.get_with_key(path, &format!("k{number}"));
        for (path, status) in before {
            assert_eq!(get(path).status, *status, "{path}");
            // What a handler drops is released by itself.
            ground.wait_for_held("0");
        }
        assert_eq!(get(paid).status, 200, "{paid}");
        get(paid).assert_problem(409, "already charged");
    }
    ground.assert_used("10");
    // What an extractor refuses is charged, unless the route charges on success.
    let ground = keyed::<H>().serve();
    for (path, statuses) in [("/number/", [409, 409]), ("/success/", [200, 409])] {
        let refused = ground.get_with_key(&format!("{path}seven"), "k");
        assert!((400..500).contains(&refused.status) && refused.status != 409, "{path}: {refused:?}");
        for status in statuses {
            assert_eq!(ground.get_with_key(&format!("{path}7"), "k").status, status, "{path}");
        }
    }
    ground.assert_used("5");
}

pub fn a_key_of_a_handler_that_panics_is_free_where_that_pays_nothing<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for (path, status) in [("/five?", 409), ("/answer?status=200&", 200), ("/generate?max=1&actual=1&", 200)] {
        if let Some(answer) = ground.try_send(with_key(&format!("{path}work=panic"), "k")) {
            assert_eq!(answer.status, 500, "{path}");
        }
        ground.wait_for_held("0");
        for status in [status, 409] {
            assert_eq!(ground.get_with_key(path, "k").status, status, "{path}");
        }
    }
    ground.assert_used("10");
}

pub fn a_key_under_way_is_a_conflict_and_is_left_alone<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    for path in ["/answer?status=200&work=wait", "/generate?max=4&actual=4&work=wait"] {
        let first = ground.begin(with_key(path, path));
        ground.wait_for_held("4");
        let other = ground.get_with_key(path, path);
        other.assert_problem(409, "a request with this idempotency key is under way");
        other.assert_no_quota();
        ground.wait_for_held("4");
        ground.pause().end();
        assert_eq!(first.answer().unwrap().status, 200, "{path}");
        ground.pause().begin();
    }
    ground.assert_used("8");
}

pub fn a_hold_of_another_cost_under_a_key_under_way_is_a_conflict<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    let first = ground.begin(with_key("/generate?max=4&actual=4&work=wait", "k"));
    ground.wait_for_held("4");
    let other = ground.get_with_key("/generate?max=5&actual=4", "k");
    other.assert_problem(409, "the idempotency key was used with another cost");
    other.assert_no_quota();
    ground.wait_for_held("4");
    ground.pause().end();
    assert_eq!(first.answer().unwrap().status, 200);
    // What was held is settled: what it did cost is charged, whatever is held now.
    ground.get_with_key("/generate?max=5&actual=4", "k").assert_problem(409, "already charged");
    ground.assert_used("4");
}

pub fn a_charge_under_a_key_under_way_is_told_so<H: HttpHarness>() {
    let ground = keyed::<H>().serve();
    let asked = ["/record?credits=3", "/compute?credits=3&at=2024-02-29T18:00:00Z", "/compute?credits=3"];
    for (path, key) in asked.into_iter().zip(["k", "k", "other"]) {
        let (route, _) = path.split_once('?').unwrap();
        let held = ground.hold_as(&format!("key:GET {route}:{key}"), "3");
        let other = ground.get_with_key(path, key);
        other.assert_problem(409, "a request with this idempotency key is under way");
        other.assert_no_quota();
        drop(held);
        ground.wait_for_held("0");
        assert_eq!(ground.get_with_key(path, key).status, 200, "{path}");
    }
    ground.assert_used("9");
}

pub fn only_what_the_application_says_is_charged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (status, remaining) in [(200, "10"), (404, "10"), (202, "6"), (500, "6"), (202, "2"), (200, "2")] {
        let answer = ground.get(&format!("/accepted?status={status}"));
        let expected = if remaining == "2" && status == 200 { (429, Some("2")) } else { (status, Some(remaining)) };
        assert_eq!((answer.status, answer.remaining()), expected);
    }
    ground.assert_used("8");
}

pub fn a_key_may_have_a_header_of_its_own<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::header("X-Request-Key").unwrap()).serve();
    let keyed = |key: &str| {
        let mut request = request(Method::GET, "/one");
        request.headers_mut().insert("x-request-key", key.parse().unwrap());
        ground.send(request)
    };
    assert_eq!(keyed("k").status, 200);
    keyed("k").assert_problem(409, "already charged");
    keyed("a b").assert_problem(400, "x-request-key: a key is 1 to 128 visible ASCII characters");
    // The other header says nothing here.
    for remaining in ["8", "7"] {
        assert_eq!(ground.get_with_key("/one", "k").remaining(), Some(remaining));
    }
    ground.assert_used("3");
}
