//! Refusals in the hands of a handler.

use std::fmt;

use quota_core::Denied;
use quota_service::ServiceError;

use crate::metering::meter::log;
use crate::metering::request_quota::RequestQuota;
use crate::metering::trial::Made;
use crate::response::RefusalResponse;

/// A charge, a hold or a status that a handler asked for and did not get. As an answer it is what the layer would have
/// said; a handler may as well look at it and go on.
#[derive(Debug)]
pub struct QuotaError {
    cause: Box<Cause>,
    quota: RequestQuota,
    /// A charge that may have been made, of this request alone.
    made: Option<Made>,
}

#[derive(Debug)]
pub(crate) enum Cause {
    Denied(Denied),
    Failed(ServiceError),
    /// The request's idempotency key was charged already.
    Replayed,
    /// The key belongs to a charge of another cost.
    KeyConflict,
    /// Another request with the key holds its credits.
    UnderWay,
    /// The id begins as those do that keys make.
    ReservedId,
}

impl QuotaError {
    pub(crate) fn new(cause: Cause, quota: RequestQuota) -> Self {
        Self { cause: Box::new(cause), quota, made: None }
    }

    /// With what the answer takes back.
    pub(crate) fn with_made(self, made: Option<Made>) -> Self {
        Self { made, ..self }
    }

    /// The denial, if it is one.
    #[must_use]
    pub const fn denied(&self) -> Option<&Denied> {
        match &*self.cause {
            Cause::Denied(denied) => Some(denied),
            _ => None,
        }
    }

    /// Why the service could not say yes or no, if that is why.
    #[must_use]
    pub const fn service_error(&self) -> Option<&ServiceError> {
        match &*self.cause {
            Cause::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the request's idempotency key was used before.
    #[must_use]
    pub const fn is_replay(&self) -> bool {
        matches!(&*self.cause, Cause::Replayed | Cause::KeyConflict | Cause::UnderWay)
    }

    /// The answer; what it must not tell goes to the log. Where nothing was decided in the request, its headers tell of quotas
    /// where its key was charged already or an id is reserved: no other refusal is worth another question to the store.
    #[must_use]
    pub fn into_refusal(self) -> RefusalResponse {
        if matches!(&*self.cause, Cause::Failed(_) | Cause::KeyConflict | Cause::UnderWay) {
            self.quota.note_unknown();
        }
        // By dropping it. The client is told that it was not charged.
        drop(self.made.map(|made| self.quota.trial(made)));
        let answers = self.quota.answers();
        match &*self.cause {
            Cause::Denied(denied) => answers.denied(denied),
            Cause::Failed(error) => {
                log(error, self.quota.client());
                answers.failed(error)
            }
            Cause::Replayed => answers.replayed(),
            Cause::KeyConflict => answers.key_conflict(),
            Cause::UnderWay => answers.under_way(),
            Cause::ReservedId => answers.reserved_id(),
        }
    }
}

impl From<QuotaError> for RefusalResponse {
    fn from(error: QuotaError) -> Self {
        error.into_refusal()
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            Cause::Denied(denied) => write!(f, "{} credits are required and were denied", denied.required()),
            Cause::Failed(_) => f.write_str("the request could not be metered"),
            Cause::Replayed => f.write_str("the request's idempotency key was charged already"),
            Cause::KeyConflict => f.write_str("the request's idempotency key was used otherwise"),
            Cause::UnderWay => f.write_str("another request with the idempotency key is under way"),
            Cause::ReservedId => f.write_str("ids that begin with \"key:\" are reserved"),
        }
    }
}

impl std::error::Error for QuotaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let error: &(dyn std::error::Error + 'static) = self.service_error()?;
        Some(error)
    }
}
