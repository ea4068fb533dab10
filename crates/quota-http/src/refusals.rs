//! The answers to requests that are refused for another reason than want of credits.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use quota_core::Refusal;

use crate::answers::Answers;
use crate::client::NoClient;
use crate::member::{Malformed, MemberError};
use crate::problem;
use crate::response::RefusalResponse;

/// Nothing in these answers tells of the store, its address or its error: that belongs in the log.
impl Answers {
    /// The answer to a request from nobody: 401 with the challenge, or what the application said itself.
    #[must_use]
    pub fn no_client(&self, error: &NoClient) -> RefusalResponse {
        if let NoClient::Refused(response) = error {
            return response.clone();
        }
        let mut response = problem::plain(StatusCode::UNAUTHORIZED, &error.to_string());
        response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge().clone());
        response
    }

    /// The answer to a request with a malformed member: 400, which names it.
    #[must_use]
    pub fn malformed(&self, error: &Malformed) -> RefusalResponse {
        problem::plain(StatusCode::BAD_REQUEST, &error.to_string())
    }

    /// The answer to a request whose id was charged already, where that does not run the handler again: 409.
    #[must_use]
    pub fn replayed(&self) -> RefusalResponse {
        problem::plain(StatusCode::CONFLICT, "already charged")
    }

    /// The answer to an idempotency key that belongs to a charge of another cost: 409.
    #[must_use]
    pub fn key_conflict(&self) -> RefusalResponse {
        problem::plain(StatusCode::CONFLICT, "the idempotency key was used with another cost")
    }

    /// The answer to an idempotency key of a request that is still at work: 409.
    #[must_use]
    pub fn under_way(&self) -> RefusalResponse {
        problem::plain(StatusCode::CONFLICT, "a request with this idempotency key is under way")
    }

    /// The answer to an id that begins as those do that idempotency keys make: 400.
    #[must_use]
    pub fn reserved_id(&self) -> RefusalResponse {
        let error = MemberError::from("ids that begin with \"key:\" are reserved");
        self.malformed(&Malformed::new("id", error))
    }

    /// The answer where the store could not, for the moment: 503, `Retry-After: 1`.
    #[must_use]
    pub fn unavailable(&self) -> RefusalResponse {
        problem::reduced_capacity()
    }

    /// The answer where the application is at fault (no layer, a plan beyond the calendar): 500. Its cause is for
    /// the log.
    #[must_use]
    pub fn internal(&self) -> RefusalResponse {
        problem::plain(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be metered")
    }

    /// The answer to an operation that was refused for what it asks.
    ///
    /// | refusal | status |
    /// | --- | --- |
    /// | the client has no plan | 403 |
    /// | an id that is taken, a hold that is not active | 409 |
    /// | an overflow | 422 |
    /// | too many holds, too many ids | 429 without `Retry-After`: nobody knows when one ends |
    /// | too many entries, an entry in the future, a range that cuts a quarter | 400 |
    /// | a clock ahead | 503 with `Retry-After: 1`: another process may have the right time |
    /// | the rest: a window out of range or beyond retention, no id for a hold | 500: the request is not at fault |
    ///
    /// A refusal is no decision: it tells nothing of quotas. The answer has the quota headers of the last decision before it
    /// in the same request, if there was one, whether a layer or a handler was refused.
    #[must_use]
    pub fn refused(&self, refusal: &Refusal) -> RefusalResponse {
        let (status, detail) = match refusal {
            Refusal::UnknownClient => (StatusCode::FORBIDDEN, "no quota is available to this client"),
            Refusal::IdConflict { .. } => (StatusCode::CONFLICT, "the id belongs to another operation"),
            Refusal::HoldNotActive { .. } => (StatusCode::CONFLICT, "the hold is not active"),
            Refusal::Overflow => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the client's lifetime sum of credits would be exceeded")
            }
            Refusal::TooManyHolds => (StatusCode::TOO_MANY_REQUESTS, "the client has too many active holds"),
            Refusal::TooManyIds => (StatusCode::TOO_MANY_REQUESTS, "the client has too many recent ids"),
            Refusal::TooManyEntries { .. }
            | Refusal::EntryInFuture { .. }
            | Refusal::RangeNotAligned { .. }
            | Refusal::InvalidCursor => {
                return problem::plain(StatusCode::BAD_REQUEST, &refusal.to_string());
            }
            Refusal::ClockAhead { .. } => return self.unavailable(),
            _ => return self.internal(),
        };
        problem::plain(status, detail)
    }

    /// The answer where the service could not say yes or no: as for [`Answers::refused`], and 503 with
    /// `Retry-After: 1` for a store or a source of plans that fails, a deadline, a full queue, a shutdown, and
    /// where it is not known whether the operation happened.
    #[cfg(feature = "service")]
    #[must_use]
    pub fn failed(&self, error: &quota_service::ServiceError) -> RefusalResponse {
        use quota_service::ServiceError;

        match error {
            ServiceError::Refused(refusal) => self.refused(refusal),
            ServiceError::PlansReadOnly => self.internal(),
            _ => self.unavailable(),
        }
    }
}

impl From<Malformed> for RefusalResponse {
    fn from(error: Malformed) -> Self {
        Answers::default().malformed(&error)
    }
}

/// Whether a refusal is answered as the fault of the application or of a server's clock, and not of the request: then it is for
/// the log.
#[cfg(feature = "service")]
pub(crate) fn is_fault(refusal: &Refusal) -> bool {
    Answers::default().refused(refusal).status().is_server_error()
}
