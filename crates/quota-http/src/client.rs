//! Who a request is from.

use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderMap, HeaderName, Method};
use quota_core::{ClientId, IdError};
use thiserror::Error;

use crate::response::RefusalResponse;

/// Why a request is from nobody that could be charged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoClient {
    /// It names none.
    #[error("the request names no client")]
    Missing,
    /// It names two different ones.
    #[error("the request names two different clients")]
    Ambiguous,
    /// What it names is no client id.
    #[error("the request names no valid client id")]
    Invalid(#[from] IdError),
    /// The application answers in its own way.
    #[error("the request was refused before its client was known")]
    Refused(RefusalResponse),
}

impl From<RefusalResponse> for NoClient {
    fn from(response: RefusalResponse) -> Self {
        Self::Refused(response)
    }
}

/// The client that a header names.
///
/// Anyone can send any header: something in front of the application (a gateway, its own authentication) must set
/// this one, or strip it from what comes from outside.
///
/// # Errors
/// [`NoClient`] where the header is absent, repeated with different values, empty, longer than
/// [`ClientId::MAX_BYTES`], not UTF-8, or holds a control character. The same value twice is one client.
pub fn client_from_header(headers: &HeaderMap, name: &HeaderName) -> Result<ClientId, NoClient> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().ok_or(NoClient::Missing)?;
    if values.any(|value| value != first) {
        return Err(NoClient::Ambiguous);
    }
    Ok(ClientId::from_utf8(first.as_bytes())?)
}

/// Whether a request is a CORS preflight, which is never charged: `OPTIONS` with `Access-Control-Request-Method`.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
