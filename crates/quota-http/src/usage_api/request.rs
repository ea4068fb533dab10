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
    /// The body, or why it is not there.
    pub body: Result<Bytes, NoBody>,
    /// The client that the application's own authentication names. It counts for `/status` and `/usage` alone.
    pub caller: Result<ClientId, NoClient>,
    /// Whether the application says who asks; else the operator's token decides.
    pub standing: Option<Standing>,
}

/// Why a request's body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// It is longer than [`ApiRequest::MAX_BODY`], and was not read.
    TooLong,
    /// It ended before it was whole.
    CutOff,
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
