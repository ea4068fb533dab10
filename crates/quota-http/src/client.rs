//! Who a request is from.

use http::{HeaderMap, HeaderName};
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
    client_from_values(headers.get_all(name).iter().map(http::HeaderValue::as_bytes))
}

/// The client that the values of a header name.
pub(crate) fn client_from_values<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<ClientId, NoClient> {
    let first = values.next().ok_or(NoClient::Missing)?;
    if values.any(|value| value != first) {
        return Err(NoClient::Ambiguous);
    }
    Ok(ClientId::from_utf8(first)?)
}
