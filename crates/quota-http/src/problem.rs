//! Problem documents (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use quota_core::{Denied, Instant, QuotaStatus};
use serde::Serialize;

use crate::lasting::ceil_seconds;
use crate::response::RefusalResponse;

/// Problem types of draft-ietf-httpapi-ratelimit-headers, section "Problem Types".
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// The members that every problem document has, in the order in which they are written.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

#[derive(Serialize)]
struct Denial<'a> {
    #[serde(flatten)]
    problem: Problem<'a>,
    #[serde(rename = "violated-policies")]
    violated: Vec<String>,
    required: String,
    remaining: Option<String>,
    resets_at: Option<String>,
    retry_at: Option<String>,
}

/// A problem that is no more than its status code: type `about:blank`, which RFC 9457 titles with the code's phrase.
pub(crate) fn plain(status: StatusCode, detail: &str) -> RefusalResponse {
    let title = status.canonical_reason().unwrap_or_default();
    document(status, &Problem { r#type: "about:blank", title, status: status.as_u16(), detail })
}

/// 503: try again in a second.
pub(crate) fn reduced_capacity() -> RefusalResponse {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = document(
        status,
        &Problem {
            r#type: REDUCED_CAPACITY,
            title: "Request cannot be satisfied due to temporary server capacity constraints",
            status: status.as_u16(),
            detail: "the request could not be metered; try again",
        },
    );
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// 429, without the quota headers.
pub(crate) fn denial(denied: &Denied, max_retry_after: Option<Duration>) -> RefusalResponse {
    let binding = denied.binding();
    let retry_at = denied.retry_at();
    let detail = denial_detail(denied, binding, retry_at);
    let status = StatusCode::TOO_MANY_REQUESTS;
    let problem = Problem {
        r#type: QUOTA_EXCEEDED,
        title: "Request cannot be satisfied as assigned quota has been exceeded",
        status: status.as_u16(),
        detail: &detail,
    };
    let body = Denial {
        problem,
        violated: denied.violated().map(|status| status.period().to_string()).collect(),
        required: denied.required().to_string(),
        remaining: binding.map(|status| status.remaining().to_string()),
        resets_at: binding.map(|status| short(status.resets_at())),
        retry_at: retry_at.map(short),
    };
    let mut response = document(status, &body);
    if let Some(seconds) = retry_at.and_then(|retry_at| retry_after(retry_at, denied.at(), max_retry_after)) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn denial_detail(denied: &Denied, binding: Option<&QuotaStatus>, retry_at: Option<Instant>) -> String {
    let required = denied.required();
    let Some(binding) = binding else { return format!("{required} credits are required") };
    let (remaining, period, until) = (binding.remaining(), binding.period(), short(binding.resets_at()));
    let detail = format!("{required} credits are required, {remaining} remain in the {period} quota until {until}");
    let too_low = denied.violated().find(|status| status.limit().credits().is_some_and(|limit| limit < required));
    match (retry_at, too_low) {
        (None, Some(quota)) => {
            format!("{detail}; waiting never helps, since the {} quota's limit is {}", quota.period(), quota.limit())
        }
        _ => detail,
    }
}

/// Whole seconds to wait, rounded up, at least 1; none beyond the application's bound.
fn retry_after(retry_at: Instant, at: Instant, longest: Option<Duration>) -> Option<u64> {
    let seconds = ceil_seconds(retry_at.since(at)).max(1);
    let told = longest.is_none_or(|longest| Duration::from_secs(seconds) <= longest);
    told.then_some(seconds)
}

/// An instant without decimals where they are zero.
fn short(instant: Instant) -> String {
    format!("{instant:#}")
}

fn document(status: StatusCode, body: &impl Serialize) -> RefusalResponse {
    // Text and numbers always make JSON.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    RefusalResponse::new(status, headers, Bytes::from(body))
}
