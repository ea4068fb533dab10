//! What the headers and the body of an answer say.

use std::time::Duration;

use quota_core::{Anchor, Limit, Period, Quota, Tz, Unit};
use quota_http::Answers;
use serde_json::json;
use sfv::{List, Parser};

use crate::http::HttpHarness;
use crate::http::fields;
use crate::http::setting::{Setting, quota};

/// Half a day before the day ends, thirty days and a half before the month does.
fn day_and_month<H: HttpHarness>() -> Setting<H> {
    Setting::with([quota(Period::DAY, "500"), quota(Period::MONTH, "10000")])
}

pub fn every_allowed_answer_says_what_remains<H: HttpHarness>() {
    let ground = day_and_month::<H>().serve();
    for (path, remaining, fields) in [
        ("/one", "499", r#""day";r=499;t=43200, "month";r=9999;t=2635200"#),
        ("/five", "494", r#""day";r=494;t=43200, "month";r=9994;t=2635200"#),
    ] {
        let answer = ground.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ran"));
        answer.assert_headers([
            ("x-ratelimit-limit", Some("500")),
            ("x-ratelimit-remaining", Some(remaining)),
            ("x-ratelimit-reset", Some("1709337600")),
            ("ratelimit-policy", Some(r#""day";q=500;w=86400, "month";q=10000;w=2678400"#)),
            ("ratelimit", Some(fields)),
            ("retry-after", None),
        ]);
    }
    ground.assert_used("6");
}

pub fn each_family_can_be_off<H: HttpHarness>() {
    let ground = day_and_month::<H>().answers(Answers::without_x_rate_limit).serve();
    ground.get("/one").assert_headers([
        ("x-ratelimit-limit", None),
        ("x-ratelimit-remaining", None),
        ("x-ratelimit-reset", None),
        ("ratelimit", Some(r#""day";r=499;t=43200, "month";r=9999;t=2635200"#)),
    ]);
    let ground = day_and_month::<H>().answers(Answers::without_rate_limit_fields).serve();
    ground.get("/one").assert_headers([
        ("x-ratelimit-remaining", Some("499")),
        ("ratelimit", None),
        ("ratelimit-policy", None),
    ]);
    let neither = |answers: Answers| answers.without_rate_limit_fields().without_x_rate_limit();
    day_and_month::<H>().answers(neither).serve().get("/one").assert_no_quota();
}

pub fn plans_without_a_limit_show_nothing<H: HttpHarness>() {
    let unlimited = Setting::<H>::with([quota(Period::DAY, "unlimited")]).serve();
    let answer = unlimited.get("/five");
    assert_eq!(answer.status, 200);
    answer.assert_no_quota();
    unlimited.assert_used("5");
    let empty = Setting::<H>::with([]).serve();
    let answer = empty.get("/five");
    assert_eq!(answer.status, 200);
    answer.assert_no_quota();
    let some = Setting::<H>::with([quota(Period::DAY, "unlimited"), quota(Period::MONTH, "10")]).serve();
    some.get("/one").assert_headers([
        ("x-ratelimit-remaining", Some("9")),
        ("ratelimit-policy", Some(r#""month";q=10;w=2678400"#)),
    ]);
}

pub fn fractions_are_decimals_and_whole_in_the_fields<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "2.25")]).serve();
    ground.get("/half").assert_headers([
        ("x-ratelimit-limit", Some("2.25")),
        ("x-ratelimit-remaining", Some("1.75")),
        ("ratelimit-policy", Some(r#""day";q=2;w=86400"#)),
        ("ratelimit", Some(r#""day";r=1;t=43200"#)),
    ]);
}

pub fn a_debt_is_shown_as_nothing_left<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.record("12");
    let answer = ground.get("/idle");
    assert_eq!(answer.status, 200);
    answer.assert_headers([("x-ratelimit-remaining", Some("0")), ("ratelimit", Some(r#""day";r=0;t=43200"#))]);
    assert_eq!(ground.get("/half").status, 429);
    ground.assert_used("12");
}

pub fn a_denial_says_what_to_do<H: HttpHarness>() {
    let ground = Setting::<H>::ten().serve();
    ground.record("7");
    let denied = ground.get("/five");
    assert_eq!(denied.status, 429);
    denied.assert_headers([
        ("content-type", Some("application/problem+json")),
        ("cache-control", Some("no-store")),
        ("retry-after", Some("43200")),
        ("x-ratelimit-limit", Some("10")),
        ("x-ratelimit-remaining", Some("3")),
        ("x-ratelimit-reset", Some("1709337600")),
        ("ratelimit", Some(r#""day";r=3;t=43200"#)),
    ]);
    assert_eq!(
        denied.body,
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"#,
            r#""detail":"5 credits are required, 3 remain in the day quota until 2024-03-02T00:00:00Z","#,
            r#""violated-policies":["day"],"required":"5","remaining":"3","#,
            r#""resets_at":"2024-03-02T00:00:00Z","retry_at":"2024-03-02T00:00:00Z"}"#
        )
    );
    // What is smaller still runs.
    assert_eq!(ground.get("/one").status, 200);
    ground.assert_used("8");
}

pub fn where_waiting_never_helps_nobody_is_told_to_wait<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "4")]).serve();
    let denied = ground.get("/five");
    assert_eq!(denied.status, 429);
    denied.assert_headers([("retry-after", None), ("x-ratelimit-remaining", Some("4"))]);
    assert!(denied.body.contains("waiting never helps, since the day quota's limit is 4"), "{}", denied.body);
    assert!(denied.body.contains(r#""retry_at":null"#), "{}", denied.body);
}

pub fn of_two_violated_quotas_the_one_that_resets_last_is_shown<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "10"), quota(Period::MONTH, "12")]).serve();
    ground.record("9");
    let denied = ground.get("/five");
    denied.assert_headers([
        ("retry-after", Some("2635200")),
        ("x-ratelimit-limit", Some("12")),
        ("x-ratelimit-remaining", Some("3")),
        ("x-ratelimit-reset", Some("1711929600")),
    ]);
    assert!(denied.body.contains(r#""violated-policies":["day","month"]"#), "{}", denied.body);
    assert!(denied.body.contains(r#""remaining":"1","resets_at":"2024-03-02T00:00:00Z""#), "{}", denied.body);
}

pub fn a_denial_of_a_handler_is_told_whatever_is_released_after_it<H: HttpHarness>() {
    let ground = Setting::<H>::with([quota(Period::DAY, "10"), quota(Period::MONTH, "12")]).serve();
    ground.record("5");
    // Four are held for its success, so that one is left of the day and three of the month.
    let denied = ground.get("/beside?credits=5");
    assert_eq!(denied.status, 429);
    denied.assert_headers([
        ("retry-after", Some("2635200")),
        ("x-ratelimit-limit", Some("12")),
        ("x-ratelimit-remaining", Some("3")),
        ("x-ratelimit-reset", Some("1711929600")),
    ]);
    ground.assert_used("5");
    assert_eq!(ground.get("/beside?credits=1").remaining(), Some("0"));
    ground.assert_used("10");
}

pub fn a_long_wait_is_not_told_beyond_the_bound<H: HttpHarness>() {
    for (seconds, told) in [(43_200, Some("43200")), (43_199, None)] {
        let bound = Duration::from_secs(seconds);
        let ground = Setting::<H>::ten().answers(|answers| answers.with_max_retry_after(bound)).serve();
        ground.record("7");
        ground.get("/five").assert_headers([("retry-after", told)]);
    }
}

/// So is every other answer of the suite that has them.
pub fn the_fields_are_structured_lists<H: HttpHarness>() {
    let ground = day_and_month::<H>().serve();
    let answer = ground.get("/one");
    fields::assert_structured(&answer.headers);
    for name in ["ratelimit-policy", "ratelimit"] {
        assert_eq!(Parser::new(answer.header(name).unwrap()).parse::<List>().unwrap().len(), 2, "{name}");
    }
}

pub fn parts_of_a_second_are_rounded_up<H: HttpHarness>() {
    let anchor = Anchor::new("2022-01-01T00:00:00.250Z".parse().unwrap(), Tz::UTC);
    let every = |period, limit: &str| Quota::new(period, Limit::Finite(limit.parse().unwrap()), anchor);
    let setting = Setting::<H>::with([every(Period::SECOND, "5"), every(Period::DAY, "100")]);
    let ground = setting.serve();
    // A millisecond after noon: the second has 249 ms left, the day 12 hours and 249 ms.
    ground.clock().advance(Duration::from_millis(1));
    ground.get("/one").assert_headers([
        ("x-ratelimit-remaining", Some("4")),
        ("x-ratelimit-reset", Some("1709294401")),
        ("ratelimit-policy", Some(r#""second";q=5;w=1, "day";q=100;w=86400"#)),
        ("ratelimit", Some(r#""second";r=4;t=1, "day";r=99;t=43201"#)),
    ]);
    // Nobody is told to wait for less than a second, nor for less than what is left.
    let denied = ground.get("/five");
    assert_eq!((denied.status, denied.json()["retry_at"].as_str()), (429, Some("2024-03-01T12:00:00.250Z")));
    denied.assert_headers([("retry-after", Some("1")), ("x-ratelimit-reset", Some("1709294401"))]);
    ground.record("90");
    let denied = ground.get("/compute?credits=5");
    denied.assert_headers([("retry-after", Some("1"))]);
    ground.record("5");
    ground.clock().advance(Duration::from_millis(249));
    let denied = ground.get("/five");
    denied.assert_headers([("retry-after", Some("43200")), ("x-ratelimit-reset", Some("1709337601"))]);
}

pub fn periods_of_several_units_are_named_by_their_number<H: HttpHarness>() {
    let every = |unit, every, limit| quota(Period::new(unit, every).unwrap(), limit);
    let ground = Setting::<H>::with([every(Unit::Minute, 15, "10"), every(Unit::Month, 3, "8.5")]).serve();
    // Three months from January on: 91 days, of which 30 and a half are left.
    ground.get("/one").assert_headers([
        ("x-ratelimit-limit", Some("8.5")),
        ("x-ratelimit-remaining", Some("7.5")),
        ("ratelimit-policy", Some(r#""15-minute";q=10;w=900, "3-month";q=8;w=7862400"#)),
        ("ratelimit", Some(r#""15-minute";r=9;t=900, "3-month";r=7;t=2635200"#)),
    ]);
    let denied = ground.get("/compute?credits=8");
    assert_eq!(denied.json()["violated-policies"], json!(["3-month"]));
    let detail = "8 credits are required, 7.5 remain in the 3-month quota until 2024-04-01T00:00:00Z";
    assert_eq!((denied.status, denied.json()["detail"].as_str()), (429, Some(detail)));
}
