//! The headers of `spec/http.md`, line by line.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use quota_core::{
    Allowed, Credits, Decision, Denied, Instant, Limit, Period, QuotaStatus, Quotas, Status, Unit, Window,
};
use quota_http::{Answers, RateLimitFields};
use sfv::{BareItem, FieldType, List, ListEntry, Parser};

fn instant(text: &str) -> Instant {
    text.parse().unwrap()
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn quota(period: Period, limit: &str, used: &str, start: &str, end: &str) -> QuotaStatus {
    let limit = if limit == "unlimited" { Limit::Unlimited } else { Limit::Finite(credits(limit)) };
    let window = Window::new(instant(start), instant(end)).unwrap();
    QuotaStatus::new(period, limit, credits(used), Credits::ZERO, window)
}

fn day(limit: &str, used: &str) -> QuotaStatus {
    quota(Period::DAY, limit, used, "2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z")
}

fn month(limit: &str, used: &str) -> QuotaStatus {
    quota(Period::MONTH, limit, used, "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z")
}

fn allowed(quotas: impl IntoIterator<Item = QuotaStatus>, at: &str) -> Decision {
    Decision::Allowed(Allowed::new(quotas.into_iter().collect(), instant(at)))
}

fn denied(quotas: impl IntoIterator<Item = QuotaStatus>, at: &str, cost: &str) -> Decision {
    Decision::Denied(Denied::new(quotas.into_iter().collect(), instant(at), credits(cost)))
}

fn all_families() -> Answers {
    Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11)
}

fn written(answers: &Answers, decision: &Decision) -> HeaderMap {
    let mut headers = HeaderMap::new();
    answers.write_decision(decision, &mut headers);
    headers
}

fn x_rate_limit(headers: &HeaderMap) -> [&str; 3] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| headers[name].to_str().unwrap())
}

/// The members of a structured list: each item's text and its integer parameters.
fn list(headers: &HeaderMap, name: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let list: List = Parser::new(headers[name].as_bytes()).parse().unwrap();
    // Serialized again it is the same: the emitter writes the canonical form.
    assert_eq!(list.serialize().unwrap(), headers[name].to_str().unwrap());
    list.into_iter()
        .map(|entry| {
            let ListEntry::Item(item) = entry else { panic!("an inner list") };
            let BareItem::String(text) = item.bare_item else { panic!("no string") };
            let parameters = item.params.into_iter().map(|(key, value)| {
                let BareItem::Integer(integer) = value else { panic!("no integer") };
                (key.to_string(), integer.into())
            });
            (text.to_string(), parameters.collect())
        })
        .collect()
}

#[test]
fn the_lowest_quota_is_shown_with_exact_decimals() {
    let headers =
        written(&Answers::default(), &allowed([day("500", "5.5"), month("10000", "6")], "2024-03-01T23:00:00Z"));
    assert_eq!(x_rate_limit(&headers), ["500", "494.5", "1709337600"]);
    assert_eq!(headers.len(), 3);
}

#[test]
fn the_rate_limit_fields_list_every_finite_quota_short_to_long() {
    let quotas = [day("500.9", "5.5"), month("10000", "5.5")];
    let headers = written(&all_families(), &allowed(quotas, "2024-03-01T23:00:00Z"));
    assert_eq!(headers["ratelimit-policy"], r#""day";q=500;w=86400, "month";q=10000;w=2678400"#);
    assert_eq!(headers["ratelimit"], r#""day";r=495;t=3600, "month";r=9994;t=2595600"#);
    let pairs = |a: &str, x: i64, b: &str, y: i64| vec![(a.to_owned(), x), (b.to_owned(), y)];
    let policies =
        vec![("day".to_owned(), pairs("q", 500, "w", 86400)), ("month".to_owned(), pairs("q", 10000, "w", 2678400))];
    assert_eq!(list(&headers, "ratelimit-policy"), policies);
    let limits =
        vec![("day".to_owned(), pairs("r", 495, "t", 3600)), ("month".to_owned(), pairs("r", 9994, "t", 2595600))];
    assert_eq!(list(&headers, "ratelimit"), limits);
}

#[test]
fn names_carry_the_count_of_units() {
    let quarter_hour = Period::new(Unit::Minute, 15).unwrap();
    let quarter = Period::new(Unit::Month, 3).unwrap();
    let quotas = [
        quota(quarter_hour, "9", "0", "2024-03-01T00:00:00Z", "2024-03-01T00:15:00Z"),
        quota(quarter, "99", "0", "2024-03-01T00:00:00Z", "2024-06-01T00:00:00Z"),
    ];
    let headers = written(&all_families(), &allowed(quotas, "2024-03-01T00:00:00Z"));
    assert_eq!(headers["ratelimit-policy"], r#""15-minute";q=9;w=900, "3-month";q=99;w=7948800"#);
}

#[test]
fn times_round_up_and_amounts_round_down() {
    let quotas = [quota(Period::SECOND, "2.999999", "1.5", "2024-03-01T00:00:00.001Z", "2024-03-01T00:00:01.001Z")];
    let headers = written(&all_families(), &allowed(quotas, "2024-03-01T00:00:01Z"));
    assert_eq!(x_rate_limit(&headers), ["2.999999", "1.499999", "1709251202"]);
    assert_eq!(headers["ratelimit-policy"], r#""second";q=2;w=1"#);
    // One millisecond is left.
    assert_eq!(headers["ratelimit"], r#""second";r=1;t=1"#);
}

#[test]
fn a_window_of_a_broken_second_rounds_up() {
    let quotas = [quota(Period::DAY, "5", "0", "2024-03-01T00:00:00.500Z", "2024-03-02T00:00:00.501Z")];
    let headers = written(&all_families(), &allowed(quotas, "2024-03-01T00:00:00.500Z"));
    assert_eq!(headers["ratelimit-policy"], r#""day";q=5;w=86401"#);
    assert_eq!(headers["ratelimit"], r#""day";r=5;t=86401"#);
}

#[test]
fn durations_count_from_the_callers_instant() {
    // The caller's clock is a day behind the account's.
    let headers = written(&all_families(), &allowed([day("5", "1")], "2024-02-29T12:00:00Z"));
    assert_eq!(headers["ratelimit"], r#""day";r=4;t=129600"#);
}

#[test]
fn a_debt_is_shown_as_zero() {
    let headers = written(&all_families(), &allowed([day("5", "7.5")], "2024-03-01T12:00:00Z"));
    assert_eq!(x_rate_limit(&headers)[1], "0");
    assert_eq!(headers["ratelimit"], r#""day";r=0;t=43200"#);
}

#[test]
fn an_unlimited_quota_is_left_out() {
    let quotas = [day("unlimited", "70"), month("100", "70")];
    let headers = written(&all_families(), &allowed(quotas, "2024-03-01T00:00:00Z"));
    assert_eq!(x_rate_limit(&headers)[..2], ["100", "30"]);
    assert_eq!(headers["ratelimit-policy"], r#""month";q=100;w=2678400"#);
    assert_eq!(headers["ratelimit"], r#""month";r=30;t=2678400"#);
}

#[test]
fn nothing_finite_writes_nothing_and_takes_out_what_stood_there() {
    let at = "2024-03-01T00:00:00Z";
    for decision in [allowed([], at), allowed([day("unlimited", "3")], at), Decision::Unchecked] {
        let mut headers = HeaderMap::new();
        for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        headers.insert("x-other", HeaderValue::from_static("stays"));
        all_families().write_decision(&decision, &mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}

#[test]
fn what_the_application_set_under_these_names_is_replaced() {
    let mut headers = HeaderMap::new();
    for value in ["1", "2"] {
        headers.append("x-ratelimit-limit", HeaderValue::from_static(value));
        headers.append("ratelimit", HeaderValue::from_static(value));
    }
    all_families().write_decision(&allowed([day("5", "1")], "2024-03-01T00:00:00Z"), &mut headers);
    assert_eq!(headers.get_all("x-ratelimit-limit").iter().collect::<Vec<_>>(), ["5"]);
    assert_eq!(headers.get_all("ratelimit").iter().collect::<Vec<_>>(), [r#""day";r=4;t=86400"#]);
}

#[test]
fn each_family_can_be_switched_off_and_is_then_left_alone() {
    let decision = allowed([day("5", "1")], "2024-03-01T00:00:00Z");
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-limit", HeaderValue::from_static("the application's"));
    all_families().without_x_rate_limit().write_decision(&decision, &mut headers);
    assert_eq!(headers["x-ratelimit-limit"], "the application's");
    assert_eq!(headers.len(), 3);
    let none = all_families().without_rate_limit_fields().without_x_rate_limit();
    assert!(written(&none, &decision).is_empty());
    assert_eq!(written(&Answers::default(), &decision).len(), 3);
}

#[test]
fn integers_have_at_most_15_digits_and_the_greatest_limit_is_written() {
    let max = Credits::MAX.to_string();
    let headers = written(&all_families(), &allowed([day(&max, "0")], "2024-03-01T00:00:00Z"));
    assert_eq!(x_rate_limit(&headers)[0], "9223372036854.775807");
    assert_eq!(headers["ratelimit-policy"], r#""day";q=9223372036854;w=86400"#);
    list(&headers, "ratelimit-policy");
    let years = quota(Period::YEAR, "1", "0", "1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z");
    let headers = written(&all_families(), &allowed([years], "1970-01-01T00:00:00Z"));
    assert_eq!(headers["ratelimit"], r#""year";r=1;t=4102444800"#);
}

#[test]
fn a_denial_shows_the_violated_quota_that_resets_last() {
    let quotas = [day("500", "498"), month("10000", "9997")];
    let headers = written(&all_families(), &denied(quotas, "2024-03-01T12:00:00Z", "5"));
    // The day has fewer remaining, but a client that waits for it only is denied again.
    assert_eq!(x_rate_limit(&headers), ["10000", "3", "1711929600"]);
    assert_eq!(headers["ratelimit"], r#""day";r=2;t=43200, "month";r=3;t=2635200"#);
}

#[test]
fn a_denial_leaves_quotas_that_are_not_violated_aside() {
    let quotas = [day("500", "498"), month("10000", "9000")];
    let headers = written(&Answers::default(), &denied(quotas, "2024-03-01T12:00:00Z", "5"));
    assert_eq!(x_rate_limit(&headers), ["500", "2", "1709337600"]);
}

#[test]
fn of_violated_quotas_with_one_reset_a_denial_shows_the_scarcer() {
    let end = "2024-03-02T00:00:00Z";
    let hour = quota(Period::HOUR, "9", "7", "2024-03-01T23:00:00Z", end);
    for (used, shown) in
        [("9", ["10", "1", "1709337600"]), ("7", ["9", "2", "1709337600"]), ("8", ["9", "2", "1709337600"])]
    {
        let quotas = [hour, quota(Period::DAY, "10", used, "2024-03-01T00:00:00Z", end)];
        let headers = written(&Answers::default(), &denied(quotas, "2024-03-01T23:30:00Z", "5"));
        assert_eq!(x_rate_limit(&headers), shown);
    }
}

#[test]
fn a_denial_that_waiting_never_helps_shows_the_binding_quota() {
    let quotas = [day("4", "3"), month("10000", "9998")];
    let headers = written(&Answers::default(), &denied(quotas, "2024-03-01T12:00:00Z", "5"));
    assert_eq!(x_rate_limit(&headers), ["4", "1", "1709337600"]);
}

#[test]
fn a_status_shows_the_lowest_quota() {
    let quotas: Quotas = [day("500", "1"), month("10000", "9999")].into_iter().collect();
    let mut headers = HeaderMap::new();
    Answers::default().write_status(&Status::new(quotas, instant("2024-03-01T00:00:00Z")), &mut headers);
    assert_eq!(x_rate_limit(&headers), ["10000", "1", "1711929600"]);
}

#[test]
fn retry_after_is_whole_seconds_rounded_up_and_at_least_one() {
    for (at, seconds) in [
        ("2024-03-01T23:59:59.999Z", "1"),
        ("2024-03-01T23:59:59.000Z", "1"),
        ("2024-03-01T23:59:58.999Z", "2"),
        ("2024-03-01T00:00:00.000Z", "86400"),
    ] {
        let Decision::Denied(denied) = denied([day("5", "3")], at, "3") else { unreachable!() };
        let response = Answers::default().denied(&denied);
        assert_eq!(response.headers()["retry-after"], seconds);
    }
}

#[test]
fn retry_after_is_absent_beyond_the_applications_bound() {
    let answers = Answers::default().with_max_retry_after(Duration::from_secs(60));
    for (at, seconds) in [("2024-03-01T23:59:00Z", Some("60")), ("2024-03-01T23:58:59.999Z", None)] {
        let Decision::Denied(denied) = denied([day("5", "3")], at, "3") else { unreachable!() };
        let response = answers.denied(&denied);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), seconds);
        // The document still says when.
        let body = std::str::from_utf8(response.body()).unwrap();
        assert!(body.ends_with(r#""retry_at":"2024-03-02T00:00:00Z"}"#), "{body}");
    }
}
