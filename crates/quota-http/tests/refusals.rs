//! The problem documents of `spec/http.md`, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use http::{HeaderMap, HeaderName, HeaderValue};
use quota_core::{
    ClientId, Credits, Denied, IdError, Instant, Limit, Period, QuotaStatus, Quotas, Refusal, Window, WindowOutOfRange,
};
use quota_http::{Answers, Malformed, NoClient, RefusalResponse, client_from_header, credits_from_query};

const HEADER: HeaderName = HeaderName::from_static("x-client-id");

fn instant(text: &str) -> Instant {
    text.parse().unwrap()
}

fn quota(period: Period, limit: &str, used: &str, end: &str) -> QuotaStatus {
    let window = Window::new(instant("2024-03-01T00:00:00Z"), instant(end)).unwrap();
    let limit = Limit::Finite(limit.parse().unwrap());
    QuotaStatus::new(period, limit, used.parse().unwrap(), Credits::ZERO, window)
}

fn denial(quotas: impl IntoIterator<Item = QuotaStatus>, cost: &str) -> RefusalResponse {
    let quotas: Quotas = quotas.into_iter().collect();
    let denied = Denied::new(quotas, instant("2024-03-01T12:00:00Z"), cost.parse().unwrap());
    Answers::default().denied(&denied)
}

fn body(response: &RefusalResponse) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn is_problem(response: &RefusalResponse, status: u16, title: &str, detail: &str) {
    let expected = format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#);
    assert_eq!(body(response), expected);
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[test]
fn a_denial_is_a_problem_document() {
    let response = denial([quota(Period::DAY, "500", "497", "2024-03-02T00:00:00Z")], "5");
    assert_eq!(response.status(), 429);
    assert_eq!(
        body(&response),
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","#,
            r#""title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"#,
            r#""detail":"5 credits are required, 3 remain in the day quota until 2024-03-02T00:00:00Z","#,
            r#""violated-policies":["day"],"required":"5","remaining":"3","#,
            r#""resets_at":"2024-03-02T00:00:00Z","retry_at":"2024-03-02T00:00:00Z"}"#
        )
    );
    let mut headers: Vec<_> =
        response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("cache-control", "no-store"),
            ("content-type", "application/problem+json"),
            ("retry-after", "43200"),
            ("x-ratelimit-limit", "500"),
            ("x-ratelimit-remaining", "3"),
            ("x-ratelimit-reset", "1709337600"),
        ]
    );
}

#[test]
fn remaining_and_reset_are_the_binding_quotas_and_retry_waits_for_all() {
    let quotas = [
        quota(Period::HOUR, "1000", "0", "2024-03-01T01:00:00.250Z"),
        quota(Period::DAY, "500", "498.5", "2024-03-02T00:00:00.250Z"),
        quota(Period::MONTH, "10000", "9997", "2024-04-01T00:00:00Z"),
    ];
    let response = denial(quotas, "5");
    assert!(body(&response).contains(concat!(
        r#""detail":"5 credits are required, 1.5 remain in the day quota until 2024-03-02T00:00:00.250Z","#,
        r#""violated-policies":["day","month"],"required":"5","remaining":"1.5","#,
        r#""resets_at":"2024-03-02T00:00:00.250Z","retry_at":"2024-04-01T00:00:00Z"}"#
    )));
    assert_eq!(response.headers()["retry-after"], "2635200");
}

#[test]
fn a_denial_that_waiting_never_helps_says_so() {
    let quotas = [
        quota(Period::DAY, "500", "498", "2024-03-02T00:00:00Z"),
        quota(Period::MONTH, "600", "500", "2024-04-01T00:00:00Z"),
    ];
    let response = denial(quotas, "501");
    assert!(body(&response).contains(concat!(
        r#""detail":"501 credits are required, 2 remain in the day quota until 2024-03-02T00:00:00Z; "#,
        r#"waiting never helps, since the day quota's limit is 500","violated-policies":["day","month"],"#,
        r#""required":"501","remaining":"2","resets_at":"2024-03-02T00:00:00Z","retry_at":null}"#
    )));
    assert!(!response.headers().contains_key("retry-after"));
}

#[test]
fn a_request_from_nobody_is_challenged() {
    let answers = Answers::default().with_challenge(HeaderValue::from_static("Bearer realm=\"api\""));
    for (error, detail) in [
        (NoClient::Missing, "the request names no client"),
        (NoClient::Ambiguous, "the request names two different clients"),
        (NoClient::Invalid(IdError::Empty), "the request names no valid client id"),
    ] {
        let response = Answers::default().no_client(&error);
        is_problem(&response, 401, "Unauthorized", detail);
        assert_eq!(response.headers()["www-authenticate"], "ApiKey");
        assert_eq!(answers.no_client(&error).headers()["www-authenticate"], "Bearer realm=\"api\"");
    }
    let own = RefusalResponse::new(http::StatusCode::IM_A_TEAPOT, HeaderMap::new(), "own".into());
    assert_eq!(answers.no_client(&own.clone().into()), own);
}

#[test]
fn a_header_names_one_valid_client() {
    let named = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        client_from_header(&headers, &HEADER)
    };
    assert_eq!(named(&[b"client1"]), Ok(ClientId::new("client1").unwrap()));
    assert_eq!(named(&["caf\u{e9}".as_bytes()]), Ok(ClientId::new("caf\u{e9}").unwrap()));
    assert_eq!(named(&[b"a", b"a"]), Ok(ClientId::new("a").unwrap()));
    assert_eq!(named(&[b"a", b"A"]), Err(NoClient::Ambiguous));
    assert_eq!(named(&[b"a", b"a", b""]), Err(NoClient::Ambiguous));
    assert_eq!(named(&[]), Err(NoClient::Missing));
    assert_eq!(named(&[b""]), Err(NoClient::Invalid(IdError::Empty)));
    assert_eq!(named(&[b"a\tb"]), Err(NoClient::Invalid(IdError::ControlCharacter)));
    assert_eq!(named(&[&[0xff]]), Err(NoClient::Invalid(IdError::NotUtf8)));
    assert_eq!(named(&["\u{85}".as_bytes()]), Err(NoClient::Invalid(IdError::ControlCharacter)));
    assert!(named(&[&[b'x'; 255]]).is_ok());
    assert_eq!(named(&[&[b'x'; 256]]), Err(NoClient::Invalid(IdError::TooLong { max: 255 })));
}

#[test]
fn a_malformed_amount_is_named() {
    let refused = |query: Option<&str>| credits_from_query(query, "credits").unwrap_err();
    for (query, detail) in [
        (None, "credits: it is missing"),
        (Some("max=3"), "credits: it is missing"),
        (Some("credits=1&credits=1"), "credits: it is given more than once"),
        (Some("credits="), "credits: an amount of credits is digits, optionally a point and one to six decimals"),
        (Some("credits=+1"), "credits: an amount of credits is digits, optionally a point and one to six decimals"),
        (Some("credits=NaN"), "credits: an amount of credits is digits, optionally a point and one to six decimals"),
        (Some("credits=%FF"), "credits: it is not UTF-8"),
        (Some("credits=-1"), "credits: an amount of credits is not negative"),
        (Some("credits=0.0000001"), "credits: an amount of credits has at most six decimals"),
        (Some("credits=9223372036855"), "credits: an amount of credits is at most 9223372036854.775807"),
    ] {
        is_problem(&Answers::default().malformed(&refused(query)), 400, "Bad Request", detail);
    }
    assert_eq!(credits_from_query(Some("a=%FF&credits=2%2E50"), "credits").unwrap().to_string(), "2.5");
    let own = Malformed::new("zone", "it is \"unknown\"");
    is_problem(&Answers::default().malformed(&own), 400, "Bad Request", r#"zone: it is \"unknown\""#);
}

#[test]
fn each_refusal_has_its_status_and_its_detail() {
    let id = "secret-id".parse().unwrap();
    let conflict = Refusal::IdConflict { id, is_held: false };
    let inactive = Refusal::HoldNotActive { id: "secret-id".parse().unwrap() };
    let beyond = Refusal::WindowOutOfRange(WindowOutOfRange { period: Period::DAY, instant: Instant::MAX });
    let cut = Refusal::RangeNotAligned { at: instant("2024-03-01T00:00:00.500Z") };
    for (refusal, status, title, detail) in [
        (Refusal::UnknownClient, 403, "Forbidden", "no quota is available to this client"),
        (conflict, 409, "Conflict", "the id belongs to another operation"),
        (inactive, 409, "Conflict", "the hold is not active"),
        (Refusal::Overflow, 422, "Unprocessable Entity", "the client's lifetime sum of credits would be exceeded"),
        (Refusal::TooManyHolds, 429, "Too Many Requests", "the client has too many active holds"),
        (Refusal::TooManyIds, 429, "Too Many Requests", "the client has too many recent ids"),
        (Refusal::TooManyEntries { max: 10_000 }, 400, "Bad Request", "a backfill takes at most 10000 entries"),
        (
            cut,
            400,
            "Bad Request",
            "the ledger keeps quarters of an hour there: 2024-03-01T00:00:00.500Z is not at the full quarter",
        ),
        (Refusal::IdRequired, 500, "Internal Server Error", "the request could not be metered"),
        (beyond, 500, "Internal Server Error", "the request could not be metered"),
    ] {
        let response = Answers::default().refused(&refusal);
        is_problem(&response, status, title, detail);
        assert!(!response.headers().contains_key("retry-after"), "{refusal}");
    }
    is_problem(&Answers::default().replayed(), 409, "Conflict", "already charged");
    is_problem(&Answers::default().internal(), 500, "Internal Server Error", "the request could not be metered");
}

fn is_reduced_capacity(response: &RefusalResponse) {
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(
        body(response),
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
            r#""title":"Request cannot be satisfied due to temporary server capacity constraints","status":503,"#,
            r#""detail":"the request could not be metered; try again"}"#
        )
    );
}

#[test]
fn what_may_pass_by_itself_can_be_tried_again_in_a_second() {
    is_reduced_capacity(&Answers::default().unavailable());
    let ahead = Refusal::ClockAhead {
        at: instant("2024-03-01T00:02:00Z"),
        server: instant("2024-03-01T00:00:00Z"),
        max_ahead: std::time::Duration::from_secs(60),
    };
    is_reduced_capacity(&Answers::default().refused(&ahead));
}

#[cfg(feature = "service")]
#[test]
fn a_failure_of_the_service_tells_nothing_of_the_store() {
    use quota_service::{ServiceError, StoreError};

    let secret = || StoreError::not_done("redis://10.0.0.7 said no", "connection refused");
    for error in [
        ServiceError::NotDone { source: secret() },
        ServiceError::DeadlineQueued,
        ServiceError::Unknown { id: Some("secret-id".parse().unwrap()), source: Some(secret()) },
        ServiceError::Unknown { id: None, source: None },
        ServiceError::Overloaded,
        ServiceError::ShutDown,
        ServiceError::Plans("the file /etc/plans.json is gone".into()),
        ServiceError::PlanKeepsChanging,
        ServiceError::NotDone { source: StoreError::corrupt("a row", "bad JSON") },
        ServiceError::NotDone { source: StoreError::UpgradeNeeded { found: 2, known: 1 } },
    ] {
        is_reduced_capacity(&Answers::default().failed(&error));
    }
    let unknown = Answers::default().failed(&ServiceError::Refused(Refusal::UnknownClient));
    is_problem(&unknown, 403, "Forbidden", "no quota is available to this client");
    let read_only = Answers::default().failed(&ServiceError::PlansReadOnly);
    is_problem(&read_only, 500, "Internal Server Error", "the request could not be metered");
}
