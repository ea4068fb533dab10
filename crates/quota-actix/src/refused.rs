//! Refusals as answers.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use quota_http::RefusalResponse;
use thiserror::Error;

use crate::response::{response_of, status_of};

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`](crate::QuotaError), a [`Malformed`](crate::Malformed) member or a [`RefusalResponse`].
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

impl<E: Into<RefusalResponse>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
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
