//! Refusals as answers.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use quota_http::{Answers, Malformed, QuotaError, RefusalResponse};

use crate::response::response_of;

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

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request was refused: {}", self.0.status())
    }
}

impl std::error::Error for Refused {}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        response_of(self.0.clone())
    }
}
