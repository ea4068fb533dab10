//! Refusals as answers.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use quota_http::{Answers, Malformed, QuotaError, RefusalResponse};
use thiserror::Error;

use crate::response::{response_of, status_of};

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`], a [`Malformed`] member or a [`RefusalResponse`].
#[derive(Clone, Debug, Error)]
#[error("the request was refused: {}", .0.status())]
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

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        status_of(self.0.status())
    }

    fn error_response(&self) -> HttpResponse {
        response_of(self.0.clone())
    }
}
