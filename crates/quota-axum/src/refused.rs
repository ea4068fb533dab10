//! Refusals as answers.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use quota_core::Denied;
use quota_http::{Answers, Malformed, RefusalResponse};
use quota_service::ServiceError;

use crate::admission::log;
use crate::context::Context;

/// A charge, a hold or a status that a handler asked for and did not get. As an answer it is what the layer would have
/// said; a handler may as well look at it and go on.
#[derive(Debug)]
pub struct QuotaError {
    cause: Box<Cause>,
    context: Arc<Context>,
}

#[derive(Debug)]
enum Cause {
    Denied(Denied),
    Failed(ServiceError),
}

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`], a [`Malformed`] member or a [`RefusalResponse`].
#[derive(Clone, Debug)]
pub struct Refused(RefusalResponse);

impl QuotaError {
    pub(crate) fn denied_by(denied: Denied, context: &Arc<Context>) -> Self {
        Self { cause: Box::new(Cause::Denied(denied)), context: Arc::clone(context) }
    }

    pub(crate) fn failed(error: ServiceError, context: &Arc<Context>) -> Self {
        Self { cause: Box::new(Cause::Failed(error)), context: Arc::clone(context) }
    }

    /// The denial, if it is one.
    #[must_use]
    pub const fn denied(&self) -> Option<&Denied> {
        match &*self.cause {
            Cause::Denied(denied) => Some(denied),
            Cause::Failed(_) => None,
        }
    }

    /// Why the service could not say yes or no, if it is no denial.
    #[must_use]
    pub const fn service_error(&self) -> Option<&ServiceError> {
        match &*self.cause {
            Cause::Denied(_) => None,
            Cause::Failed(error) => Some(error),
        }
    }

    /// The answer; what it must not tell goes to the log.
    #[must_use]
    pub fn into_refusal(self) -> RefusalResponse {
        let answers = &self.context.base.answers;
        match &*self.cause {
            Cause::Denied(denied) => answers.denied(denied),
            Cause::Failed(error) => {
                log(error, &self.context.client);
                answers.failed(error)
            }
        }
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            Cause::Denied(denied) => write!(f, "{} credits are required and were denied", denied.required()),
            Cause::Failed(_) => f.write_str("the request could not be metered"),
        }
    }
}

impl std::error::Error for QuotaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let error: &(dyn std::error::Error + 'static) = self.service_error()?;
        Some(error)
    }
}

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

impl IntoResponse for QuotaError {
    fn into_response(self) -> Response {
        Refused::from(self).into_response()
    }
}
