//! Where quota headers are written.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::{RATE_LIMIT, RATE_LIMIT_POLICY, X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING, X_RATE_LIMIT_RESET};

/// A header that tells of quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaHeader {
    /// [`X_RATE_LIMIT_LIMIT`].
    XRateLimitLimit,
    /// [`X_RATE_LIMIT_REMAINING`].
    XRateLimitRemaining,
    /// [`X_RATE_LIMIT_RESET`].
    XRateLimitReset,
    /// [`RATE_LIMIT_POLICY`].
    RateLimitPolicy,
    /// [`RATE_LIMIT`].
    RateLimit,
}

/// The headers of an answer in a framework's own type.
pub trait HeadersMut {
    /// Makes room for so many more; false where there can be none, and then nothing is written.
    fn reserve(&mut self, more: usize) -> bool;

    /// Sets a header, in place of what stood under its name. The value is visible ASCII.
    fn insert(&mut self, header: QuotaHeader, value: Bytes);

    /// Takes all headers of a name out.
    fn remove(&mut self, header: QuotaHeader);
}

impl QuotaHeader {
    /// Every one, in the order in which they are written.
    pub const ALL: [Self; 5] = [
        Self::XRateLimitLimit,
        Self::XRateLimitRemaining,
        Self::XRateLimitReset,
        Self::RateLimitPolicy,
        Self::RateLimit,
    ];

    /// Its name as a text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XRateLimitLimit => "x-ratelimit-limit",
            Self::XRateLimitRemaining => "x-ratelimit-remaining",
            Self::XRateLimitReset => "x-ratelimit-reset",
            Self::RateLimitPolicy => "ratelimit-policy",
            Self::RateLimit => "ratelimit",
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> HeaderName {
        match self {
            Self::XRateLimitLimit => X_RATE_LIMIT_LIMIT,
            Self::XRateLimitRemaining => X_RATE_LIMIT_REMAINING,
            Self::XRateLimitReset => X_RATE_LIMIT_RESET,
            Self::RateLimitPolicy => RATE_LIMIT_POLICY,
            Self::RateLimit => RATE_LIMIT,
        }
    }
}

impl HeadersMut for HeaderMap {
    fn reserve(&mut self, more: usize) -> bool {
        self.try_reserve(more).is_ok()
    }

    fn insert(&mut self, header: QuotaHeader, value: Bytes) {
        // Digits, points and ASCII names always make a header value.
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            Self::insert(self, header.name(), value);
        }
    }

    fn remove(&mut self, header: QuotaHeader) {
        Self::remove(self, header.name());
    }
}
