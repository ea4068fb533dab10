//! What an application chooses about its answers.

use std::time::Duration;

use http::HeaderValue;
use quota_core::{Decision, Denied, Status};

use crate::headers;
use crate::problem;
use crate::quota_headers::HeadersMut;
use crate::response::RefusalResponse;

/// How quotas show in an application's answers: which headers, which challenge, how long a client may be told to
/// wait. By default the `X-RateLimit` headers are on, the `RateLimit` fields off, and the challenge is `ApiKey`.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use quota_core::{Credits, Limit, Period, QuotaStatus, Quotas, Status, Window};
/// use quota_http::{Answers, RateLimitFields};
///
/// let day = Window::new("2024-03-01T00:00:00Z".parse()?, "2024-03-02T00:00:00Z".parse()?)?;
/// let limit = Limit::Finite(Credits::new(500)?);
/// let quota = QuotaStatus::new(Period::DAY, limit, "5.5".parse()?, Credits::ZERO, day);
/// let status = Status::new(Quotas::from_iter([quota]), "2024-03-01T23:00:00Z".parse()?);
///
/// let mut headers = HeaderMap::new();
/// Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11).write_status(&status, &mut headers);
/// assert_eq!(headers["x-ratelimit-remaining"], "494.5");
/// assert_eq!(headers["ratelimit-policy"], "\"day\";q=500;w=86400");
/// assert_eq!(headers["ratelimit"], "\"day\";r=494;t=3600");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Answers {
    x_rate_limit: bool,
    rate_limit_fields: Option<RateLimitFields>,
    challenge: HeaderValue,
    max_retry_after: Option<Duration>,
}

/// A form of the fields `RateLimit-Policy` and `RateLimit`, which draft-ietf-httpapi-ratelimit-headers still
/// changes from revision to revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitFields {
    /// Revisions -08 to -11: a list of names with the parameters `q` and `w`, and `r` and `t`.
    Draft08To11,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            x_rate_limit: true,
            rate_limit_fields: None,
            challenge: HeaderValue::from_static("ApiKey"),
            max_retry_after: None,
        }
    }
}

impl Answers {
    /// With the fields `RateLimit-Policy` and `RateLimit` in this form.
    #[must_use]
    pub fn with_rate_limit_fields(mut self, form: RateLimitFields) -> Self {
        self.rate_limit_fields = Some(form);
        self
    }

    /// Without `RateLimit-Policy` and `RateLimit`, as by default.
    #[must_use]
    pub fn without_rate_limit_fields(mut self) -> Self {
        self.rate_limit_fields = None;
        self
    }

    /// Without `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    #[must_use]
    pub fn without_x_rate_limit(mut self) -> Self {
        self.x_rate_limit = false;
        self
    }

    /// With this `WWW-Authenticate` challenge for requests that name no client.
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = challenge;
        self
    }

    /// Without `Retry-After` where a client would be told to wait longer than this: clients sleep as long as they
    /// are told. A wait of exactly this length is told.
    #[must_use]
    pub fn with_max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = Some(longest);
        self
    }

    /// Writes the quota headers of a decision, replacing what the application set under the names of the families
    /// that are on. A decision that is unchecked, or without a finite quota, has none: then they are taken out.
    pub fn write_decision(&self, decision: &Decision, headers: &mut impl HeadersMut) {
        headers::write_decision(self, decision, headers);
    }

    /// Writes the quota headers of a status, as for [`Answers::write_decision`].
    pub fn write_status(&self, status: &Status, headers: &mut impl HeadersMut) {
        headers::write_lowest(self, status.quotas(), status.at(), headers);
    }

    /// The answer to a request that was denied: 429 with the quota headers, `Retry-After` where waiting helps, and
    /// a problem document.
    #[must_use]
    pub fn denied(&self, denied: &Denied) -> RefusalResponse {
        let mut response = problem::denial(denied, self.max_retry_after);
        headers::write_denied(self, denied, response.headers_mut());
        response
    }

    pub(crate) const fn x_rate_limit(&self) -> bool {
        self.x_rate_limit
    }

    pub(crate) const fn rate_limit_fields(&self) -> Option<RateLimitFields> {
        self.rate_limit_fields
    }

    pub(crate) const fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }
}
