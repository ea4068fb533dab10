//! Refusals as answers.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use quota_http::{Answers, Malformed, QuotaError, RefusalResponse};

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`], a [`Malformed`] member or a [`RefusalResponse`].
#[derive(Clone, Debug)]
pub struct Refused(RefusalResponse);

impl Refused {
    /// The answer.
    #[must_use]
    pub fn into_inner(self) -> RefusalResponse {
        self.0
    }
}

impl From<RefusalResponse> for Refused {
    fn from(refusal: RefusalResponse) -> Self {
        Self(refusal)
    }
}

impl From<QuotaError> for Refused {
    fn from(error: QuotaError) -> Self {
        error.into_refusal().into()
    }
}

impl From<Malformed> for Refused {
    fn from(error: Malformed) -> Self {
        Answers::default().malformed(&error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        http::Response::<Body>::from(self.0)
    }
}
