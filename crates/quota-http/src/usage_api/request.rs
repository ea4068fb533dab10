//! What the usage API is asked, and what it answers, whatever the framework.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use quota_core::ClientId;
use serde::Serialize;

use crate::client::NoClient;
use crate::response::RefusalResponse;
use crate::usage_api::operators::Standing;

/// A request to the usage API, as an adapter hands it over.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path below the prefix that the API is mounted under, still percent-encoded: `/clients/a%2Fb/status`.
    pub path: String,
    /// The query, without its `?`; empty for none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; none where it is longer than [`ApiRequest::MAX_BODY`], which an adapter does not read, or was cut off.
    pub body: Option<Bytes>,
    /// The client that the application's own authentication names.
    pub caller: Result<ClientId, NoClient>,
    /// Whether the application says who asks; else the operator's token decides.
    pub standing: Option<Standing>,
}

impl ApiRequest {
    /// A body may be so many bytes long: 64 KiB.
    pub const MAX_BODY: usize = 64 << 10;
}

/// What the usage API answers.
pub type ApiResponse = RefusalResponse;

/// An answer with a body of JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> ApiResponse {
    // Text and numbers always make JSON.
    let body = serde_json::to_vec(body).unwrap_or_default();
    with_body(status, "application/json", body.into())
}

/// An answer with a body of this type.
pub(crate) fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> ApiResponse {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ApiResponse::new(status, headers, body)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> ApiResponse {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ApiResponse::new(status, headers, Bytes::new())
}

/// What `HEAD` gets: the answer to `GET` without its body.
pub(crate) fn head(answer: ApiResponse) -> ApiResponse {
    let (status, headers, _) = answer.into_parts();
    ApiResponse::new(status, headers, Bytes::new())
}
