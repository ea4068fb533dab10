//! What a handler can do.

use std::time::Duration;

use http::Method;
use quota_core::Account;
use quota_http::IdempotencyKeys;
use quota_service::OnStoreError;
use serde_json::json;

use crate::http::HttpHarness;
use crate::http::ground::request;
use crate::http::setting::Setting;

pub fn a_handler_charges_exactly_what_it_says<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/compute?credits=2.5");
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "2.5", Some("7.5")));
    let denied = ground.get("/compute?credits=8");
    assert_eq!((denied.status, denied.remaining()), (429, Some("7.5")));
    denied.assert_headers([("retry-after", Some("43200")), ("ratelimit", Some(r#""day";r=7;t=43200"#))]);
    ground.assert_used("2.5");
}

pub fn amounts_that_are_none_are_named_and_nothing_is_charged<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for bad in
        ["", "?credits=", "?credits=-1", "?credits=NaN", "?credits=1e400", "?credits=0.0000001", "?credits=1&credits=1"]
    {
        let answer = ground.get(&format!("/compute{bad}"));
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.body.contains(r#""detail":"credits: "#), "{}", answer.body);
        // The headers are on every answer for a metered request.
        assert_eq!(answer.remaining(), Some("10"), "{bad}");
    }
    ground.assert_used("0");
}

pub fn a_hold_is_settled_and_the_headers_say_so<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/generate?max=8&actual=2.5");
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, "late: false", Some("7.5")));
    assert_eq!(ground.get("/generate?max=8&actual=1").status, 429);
    // More than was held may lead into debt.
    assert_eq!(ground.get("/generate?max=1&actual=9").remaining(), Some("0"));
    ground.assert_used("11.5");
}

pub fn a_hold_that_cannot_be_settled_is_released_and_the_headers_say_so<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.get("/one");
    let answer = ground.get("/generate?max=4&actual=9223372036854.775807");
    assert_eq!((answer.status, answer.remaining()), (422, Some("9")), "{}", answer.body);
    ground.assert_used("1");
}

pub fn a_malformed_amount_after_the_hold_releases_it<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (bad, member) in [
        ("max=6&actual=x", "actual"),
        ("max=6", "actual"),
        ("max=-1&actual=1", "max"),
        ("max=NaN&actual=1", "max"),
        ("max=6&actual=0.0000001", "actual"),
    ] {
        ground.get(&format!("/generate?{bad}")).assert_malformed(member);
        ground.wait_for_held("0");
        ground.assert_used("0");
    }
}

pub fn a_failed_handler_releases_its_hold<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let answer = ground.get("/generate?max=8&actual=2.5&fail=true");
    assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (500, "failed", Some("10")));
    ground.assert_used("0");
}

pub fn several_charges_show_the_last<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/twice").remaining(), Some("6.5"));
    ground.assert_used("3.5");
}

pub fn a_handler_that_charges_nothing_shows_what_remains<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    assert_eq!(ground.get("/idle").remaining(), Some("10"));
    ground.assert_used("0");
}

pub fn a_hold_that_has_expired_is_not_active<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    let asked = ground.begin(request(Method::GET, "/generate?max=8&actual=1&fail=true&work=wait"));
    ground.wait_for_held("8");
    // Five minutes are the default.
    ground.clock().advance(Duration::from_millis(5 * 60_000 - 1));
    assert_eq!(ground.held_and_used().0, "8");
    ground.clock().advance(Duration::from_millis(1));
    assert_eq!(ground.held_and_used().0, "0");
    ground.pause().end();
    let gone = asked.answer().unwrap();
    gone.assert_problem(409, "the hold is not active");
    // What it had set aside is there again.
    assert_eq!(gone.remaining(), Some("10"));
    ground.assert_used("0");
}

pub fn nobody_holds_without_end<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
    let held = ground.hold(Account::MAX_HOLDS);
    for path in ["/generate?max=1&actual=1", "/answer?status=200"] {
        let refused = ground.get(path);
        refused.assert_problem(429, "the client has too many active holds");
        // Nobody knows when one ends, and it is no denial of credits.
        refused.assert_headers([("retry-after", None)]);
        refused.assert_no_quota();
    }
    // What needs no hold runs, also under a key.
    assert_eq!(ground.get("/one").remaining(), Some("8.99"));
    assert_eq!(ground.get_with_key("/one", "k").remaining(), Some("7.99"));
    drop(held);
    ground.wait_for_held("0");
    ground.assert_used("2");
}

/// Whether a layer or a handler is refused.
pub fn a_refusal_tells_of_the_decision_before_it_or_of_none<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    // Of all that can ever be used, less than two credits are left; of the next day's ten, all.
    ground.record("9223372036853");
    ground.clock().advance(Duration::from_secs(24 * 3_600));
    let detail = "the client's lifetime sum of credits would be exceeded";
    for path in ["/five", "/answer?status=200", "/compute?credits=2", "/generate?max=2&actual=1"] {
        let refused = ground.get(path);
        refused.assert_problem(422, detail);
        refused.assert_no_quota();
    }
    // Its layer charges one before.
    let refused = ground.get("/twice");
    refused.assert_problem(422, detail);
    refused.assert_headers([("x-ratelimit-remaining", Some("9")), ("ratelimit", Some(r#""day";r=9;t=43200"#))]);
    ground.assert_used("1");
}

pub fn a_handler_may_charge_under_an_id_that_no_key_makes<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for _ in 0..2 {
        let answer = ground.get("/compute?credits=2&id=order-7");
        assert_eq!((answer.status, answer.remaining()), (200, Some("8")), "it is charged once");
    }
    let other = ground.get("/compute?credits=3&id=order-7");
    other.assert_problem(409, "the id belongs to another operation");
    other.assert_no_quota();
    for path in ["/compute?credits=1", "/record?credits=1", "/generate?max=1&actual=1"] {
        let reserved = ground.get(&format!("{path}&id=key%3AGET%20/one%3Ak"));
        reserved.assert_problem(400, "id: ids that begin with \"key:\" are reserved");
        assert_eq!(reserved.remaining(), Some("8"), "{path}");
    }
    ground.assert_used("2");
    for (path, remaining) in [("/record?credits=1&id=order-8", "7"), ("/generate?max=3&actual=2&id=order-9", "5")] {
        let answer = ground.get(path);
        assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)), "{path}");
    }
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let ids: Vec<_> = entries["entries"].as_array().unwrap().iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, ["order-7", "order-8", "order-9"]);
}

pub fn a_handler_may_charge_at_an_instant_of_its_own<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    // The day before, of which the headers tell: six hours were left of it.
    let before = ground.get("/compute?credits=4&at=2024-02-29T18:00:00Z");
    assert_eq!((before.status, before.remaining()), (200, Some("6")));
    before.assert_headers([("x-ratelimit-reset", Some("1709251200")), ("ratelimit", Some(r#""day";r=6;t=21600"#))]);
    let denied = ground.get("/compute?credits=7&at=2024-02-29T18:00:00.001Z");
    assert_eq!(denied.status, 429);
    denied.assert_headers([("retry-after", Some("21600")), ("x-ratelimit-reset", Some("1709251200"))]);
    // This day is another one.
    ground.assert_used("0");
    assert_eq!(ground.get("/one").remaining(), Some("9"));
    // Time does not run backwards: now an earlier instant counts as noon.
    let late = ground.get("/compute?credits=2&at=2024-02-29T23:00:00Z&id=late");
    assert_eq!((late.status, late.remaining()), (200, Some("7")));
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let made: Vec<_> = entries["entries"].as_array().unwrap().iter().map(|one| (&one["at"], &one["credits"])).collect();
    let (evening, noon) = (json!("2024-02-29T18:00:00.000Z"), json!("2024-03-01T12:00:00.000Z"));
    assert_eq!(made[0], (&evening, &json!("4")));
    assert!(made.len() == 3 && made[1..].iter().all(|(at, _)| **at == noon), "{made:?}");
    let days = ground.get("/quota/usage?from=2024-02-29&to=2024-03-02").json();
    let days: Vec<_> = days["days"].as_array().unwrap().iter().map(|day| (&day["day"], &day["credits"])).collect();
    assert_eq!(days, [(&json!("2024-02-29"), &json!("4")), (&json!("2024-03-01"), &json!("3"))]);
}

pub fn nobody_charges_ahead_of_time<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    // A minute of difference between clocks is borne.
    assert_eq!(ground.get("/compute?credits=1&at=2024-03-01T12:01:00Z").remaining(), Some("9"));
    for at in ["2024-03-01T12:01:00.001Z", "2024-03-02T00:00:00Z", "2099-12-31T00:00:00Z"] {
        let ahead = ground.get(&format!("/compute?credits=1&at={at}"));
        // Another process may have the right time.
        assert_eq!(ahead.status, 503, "{at}");
        ahead.assert_headers([("retry-after", Some("1")), ("content-type", Some("application/problem+json"))]);
    }
    ground.assert_used("1");
}

pub fn a_handler_has_the_decision_and_the_status_at_hand<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    for (body, remaining) in [("10: 9, then 7", "7"), ("10: 6, then 4", "4")] {
        let answer = ground.get("/told");
        assert_eq!((answer.status, answer.body.as_str(), answer.remaining()), (200, body, Some(remaining)));
    }
    ground.assert_used("6");
    // What nobody has metered is told as that.
    let open = Setting::<H>::ten().on_store_error(OnStoreError::FailOpen).serve();
    open.fail(true);
    let answer = open.get("/told");
    assert_eq!((answer.status, answer.body.as_str()), (503, "it is not checked"));
}
