//! Whose headers an answer has.

/// Whether a header is likely to be of what an application has put around its handlers, for CORS or security, and not of one
/// handler: it stays where a refusal takes the place of a handler's answer.
///
/// ```
/// use quota_http::is_of_application;
///
/// assert!(is_of_application("Access-Control-Allow-Origin") && is_of_application("Vary"));
/// assert!(!is_of_application("Set-Cookie") && !is_of_application("ETag"));
/// ```
#[must_use]
pub fn is_of_application(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("access-control-") || OF_APPLICATION.contains(&name.as_str())
}

const OF_APPLICATION: [&str; 16] = [
    "content-security-policy",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "expect-ct",
    "permissions-policy",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "traceparent",
    "vary",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-frame-options",
    "x-request-id",
    "x-xss-protection",
];
