//! Refusals as answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use quota_http::RefusalResponse;

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`](crate::QuotaError), a [`Malformed`](crate::Malformed) member or a [`RefusalResponse`].
#[derive(Clone, Debug)]
pub struct Refused(RefusalResponse);

impl Refused {
    /// The answer.
    #[must_use]
    pub fn into_inner(self) -> RefusalResponse {
        self.0
    }
}

impl<E: Into<RefusalResponse>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        http::Response::<Body>::from(self.0)
    }
}
