//! What a store keeps: sums of quarters of an hour in place of entries, sums for a time, and only so many ids.

use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderValue, Method};
use quota_core::{Period, Unit};
use quota_http::IdempotencyKeys;
use serde_json::{Value, json};

use crate::http::HttpHarness;
use crate::http::ground::operators;
use crate::http::setting::{Setting, quota};

pub fn a_bound_that_cuts_a_quarter_is_named<H: HttpHarness>() {
    let ground = Setting::<H>::ten().quarters().serve();
    ground.get("/five");
    let delete = |from: &str, to: &str| {
        let path = format!("/clients/client1/usage?from=2024-03-01T{from}Z&to=2024-03-01T{to}Z");
        ground.operate(Method::DELETE, &path, "")
    };
    let why =
        |at: &str| format!("the ledger keeps quarters of an hour there: 2024-03-01T{at}Z is not at the full quarter");
    for (from, to, at, member) in [
        ("11:50:00", "13:00:00", "11:50:00.000", "from"),
        ("12:00:00.001", "13:00:00", "12:00:00.001", "from"),
        ("12:00:00", "12:14:59.999", "12:14:59.999", "to"),
        ("12:05:00", "12:20:00", "12:05:00.000", "from"),
    ] {
        delete(from, to).assert_problem(400, &format!("{member}: {}", why(at)));
    }
    ground.assert_used("5");
    assert_eq!(delete("12:15:00", "13:00:00").body, r#"{"deleted":0}"#);
    assert_eq!(delete("12:00:00", "12:15:00").body, r#"{"deleted":1}"#);
    ground.assert_used("0");
}

pub fn days_begin_at_quarters_wherever_they_begin<H: HttpHarness>() {
    let ground = Setting::<H>::ten().quarters().serve();
    ground.get("/five");
    // Half past three is midnight in St. John's: a millisecond before it, and then.
    ground.clock().advance(Duration::from_secs(15 * 3_600 + 30 * 60) - Duration::from_millis(1));
    ground.get("/half");
    ground.clock().advance(Duration::from_millis(1));
    ground.get("/one");
    for (tz, first, second) in [
        ("UTC", "5", "1.5"),
        ("America/St_Johns", "5.5", "1"),
        ("Asia/Kathmandu", "5", "1.5"),
        ("Asia/Tokyo", "5", "1.5"),
    ] {
        let asked = format!("/usage?from=2024-03-01&to=2024-03-03&tz={tz}");
        let own = ground.get(&format!("/quota{asked}"));
        assert_eq!(ground.operate(Method::GET, &format!("/clients/client1{asked}"), "").body, own.body);
        let days: Vec<Value> = own.json()["days"].as_array().unwrap().clone();
        let told: Vec<_> = days.iter().map(|day| (&day["day"], &day["credits"])).collect();
        assert_eq!(told, [(&json!("2024-03-01"), &json!(first)), (&json!("2024-03-02"), &json!(second))], "{tz}");
    }
    // Monrovia was 44 minutes and a half behind until 1972.
    for path in ["/quota/usage", "/quota/clients/client1/usage"] {
        let mut asked = operators(Method::GET, "", "");
        asked.headers_mut().insert("x-client-id", HeaderValue::from_static("client1"));
        *asked.uri_mut() = format!("{path}?from=1971-01-01&to=1971-02-01&tz=Africa/Monrovia").parse().unwrap();
        ground.send(asked).assert_malformed("tz");
    }
}

pub fn a_store_without_entries_has_none_to_tell<H: HttpHarness>() {
    let ground = Setting::<H>::ten().quarters().serve();
    assert_eq!(ground.get("/compute?credits=2.5&id=order-7").status, 200);
    let path = "/clients/client1/entries?from=2024-03-01T11:59:59.999Z&limit=1";
    assert_eq!(ground.operate(Method::GET, path, "").body, r#"{"entries":[],"next":null}"#);
    let mut table = operators(Method::GET, path, "");
    table.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/csv"));
    let table = ground.send(table);
    assert_eq!(table.body, "at,id,credits,label\r\n");
    table.assert_headers([("link", None)]);
    // But the id is known, and the label.
    let replay = ground.get("/compute?credits=2.5&id=order-7");
    assert_eq!((replay.status, replay.remaining()), (200, Some("7.5")));
    let days = ground.get("/quota/usage?by=label&from=2024-03-01").json();
    assert_eq!(days["days"], json!([{ "day": "2024-03-01", "label": "/compute", "credits": "2.5", "entries": 1 }]));
}

/// The plan of one quota.
fn plan(period: &str, every: u32) -> String {
    let anchor = "2024-01-01T00:00:00Z";
    let quota = json!({ "period": period, "every": every, "limit": "5", "anchor": anchor, "tz": "UTC" });
    json!({ "quotas": [quota] }).to_string()
}

/// A plan that is set or previewed is refused for this, and nothing is changed.
#[track_caller]
fn assert_no_plan<H: HttpHarness>(setting: Setting<H>, plan: &str, why: &str) {
    let ground = setting.serve();
    for (method, path) in [(Method::PUT, "/plan"), (Method::POST, "/plan/preview")] {
        let refused = ground.operate(method, &format!("/clients/client1{path}"), plan);
        refused.assert_problem(400, &format!("quotas: {why}"));
    }
    assert_eq!(ground.get("/one").remaining(), Some("9"));
}

pub fn a_plan_beyond_the_calendar_is_named<H: HttpHarness>() {
    let why = "the 100000-year quota has no window from 1970 to 2099 that holds 2024-03-01T12:00:00.000Z";
    for setting in [Setting::<H>::ten(), Setting::ten().stored_plans()] {
        assert_no_plan(setting, &plan("YEAR", 100_000), why);
    }
}

pub fn a_plan_that_outlasts_what_is_kept_is_named<H: HttpHarness>() {
    let why = "the month quota's window is longer than the 259200s that the store keeps";
    for setting in [Setting::<H>::ten(), Setting::ten().stored_plans()] {
        assert_no_plan(setting.quarters().retention(Duration::from_secs(3 * 86_400)), &plan("MONTH", 1), why);
    }
}

pub fn a_plan_of_the_applications_that_cannot_be_applied_is_its_own_fault<H: HttpHarness>() {
    let endless = Setting::<H>::with([quota(Period::new(Unit::Year, 100_000).unwrap(), "10")]);
    let long = Setting::with([quota(Period::MONTH, "10")]).quarters().retention(Duration::from_secs(3 * 86_400));
    for setting in [endless, long] {
        let ground = setting.serve();
        for answer in [ground.get("/quota/status"), ground.operate(Method::GET, "/clients/client1/status", "")] {
            answer.assert_problem(500, "the client's plan cannot be applied");
        }
        ground.get("/one").assert_problem(500, "the request could not be metered");
        assert_eq!(ground.operate(Method::GET, "/clients/client1/plan", "").json()["quotas"][0]["limit"], "10");
    }
}

pub fn a_request_needs_no_id_where_no_more_are_remembered<H: HttpHarness>() {
    let ground = Setting::<H>::ten().keys(IdempotencyKeys::default()).serve();
    ground.fill();
    // The first time it is not known yet whether a handler answers, and the charge would have an id.
    for (path, remaining) in
        [("/five", "5"), ("/by-query?n=0.5", "4.5"), ("/by-query?n=0.5", "4"), ("/compute?credits=1", "3")]
    {
        let answer = ground.get(path);
        assert_eq!((answer.status, answer.remaining()), (200, Some(remaining)), "{path}");
    }
    let entries = ground.operate(Method::GET, "/clients/client1/entries", "").json();
    let ids: Vec<_> = entries["entries"].as_array().unwrap().iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, [&Value::Null; 4]);
    // What has one cannot do without.
    let with_ids = [
        ground.get_with_key("/one", "k"),
        ground.get_with_key("/compute?credits=1", "k"),
        ground.get("/compute?credits=1&id=order-7"),
        ground.get("/generate?max=1&actual=1"),
        ground.get("/accepted?status=202"),
    ];
    for refused in with_ids {
        refused.assert_problem(429, "the client has too many recent ids");
        refused.assert_headers([("retry-after", None)]);
        refused.assert_no_quota();
    }
    ground.assert_used("7");
}
