//! Instants in whole milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

/// An instant in UTC, in whole milliseconds, from 1970 to the end of 2099.
///
/// Time zone tables end in 2100, so nothing beyond is promised. Read and written as RFC 3339; `{}` always
/// writes three decimals, `{:#}` leaves them out where they are zero.
///
/// ```
/// use quota_core::Instant;
///
/// let instant: Instant = "2024-03-01T23:30:00+01:00".parse()?;
/// assert_eq!(instant.to_string(), "2024-03-01T22:30:00.000Z");
/// assert_eq!(format!("{instant:#}"), "2024-03-01T22:30:00Z");
/// assert!("2024-03-01T00:00:00.0001Z".parse::<Instant>().is_err());
/// assert!("2100-01-01T00:00:00Z".parse::<Instant>().is_err());
/// # Ok::<(), quota_core::InstantError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// Why a text or a number is no instant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InstantError {
    /// Not RFC 3339, or a leap second.
    #[error("an instant is RFC 3339, such as 2024-03-01T00:00:00Z")]
    Malformed,
    /// Finer than a millisecond.
    #[error("an instant has at most three decimals")]
    TooFine,
    /// Before 1970 or after 2099: milliseconds since 1970.
    #[error("an instant lies between 1970 and 2099")]
    OutOfRange,
}

impl Instant {
    /// 1970-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(0);
    /// 2099-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(4_102_444_799_999);

    /// This many milliseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`InstantError::OutOfRange`] before 1970 or after 2099.
    pub const fn from_millis(millis: i64) -> Result<Self, InstantError> {
        if millis < Self::MIN.0 || millis > Self::MAX.0 { Err(InstantError::OutOfRange) } else { Ok(Self(millis)) }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This much later, in whole milliseconds (rounded down).
    ///
    /// # Errors
    /// [`InstantError::OutOfRange`] after 2099.
    pub fn checked_add(self, duration: Duration) -> Result<Self, InstantError> {
        i64::try_from(duration.as_millis())
            .ok()
            .and_then(|millis| self.0.checked_add(millis))
            .map_or(Err(InstantError::OutOfRange), Self::from_millis)
    }

    /// This much later, at most [`Instant::MAX`].
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }

    /// This much earlier, at least [`Instant::MIN`].
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        i64::try_from(duration.as_millis())
            .ok()
            .and_then(|millis| self.0.checked_sub(millis))
            .and_then(|millis| Self::from_millis(millis).ok())
            .unwrap_or(Self::MIN)
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// Whole seconds since 1970, rounded up: a moment that is not earlier than this instant.
    #[must_use]
    pub const fn ceil_seconds(self) -> u64 {
        self.0.unsigned_abs().div_ceil(1_000)
    }

    /// The same instant for chrono.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, InstantError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| InstantError::Malformed)?;
        let nanos = parsed.timestamp_subsec_nanos();
        // Chrono drops what is finer than a nanosecond.
        let decimals = text.split_once('.').map_or("", |(_, rest)| rest);
        let mut finer = decimals.bytes().take_while(u8::is_ascii_digit).skip(3);
        if nanos >= 1_000_000_000 {
            return Err(InstantError::Malformed);
        }
        if finer.any(|digit| digit != b'0') {
            return Err(InstantError::TooFine);
        }
        Self::from_millis(parsed.timestamp_millis())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole_seconds = f.alternate() && self.0.rem_euclid(1_000) == 0;
        let format = if whole_seconds { SecondsFormat::Secs } else { SecondsFormat::Millis };
        f.write_str(&self.to_utc().to_rfc3339_opts(format, true))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_instant_is_refused_by_kind() {
        for (text, error) in [
            ("", InstantError::Malformed),
            ("2024-02-30T00:00:00Z", InstantError::Malformed),
            ("2024-01-01", InstantError::Malformed),
            ("2016-12-31T23:59:60Z", InstantError::Malformed),
            ("2024-01-01T00:00:00.0005Z", InstantError::TooFine),
            ("2024-01-01T00:00:00.0000000009Z", InstantError::TooFine),
            ("1969-12-31T23:59:59.999Z", InstantError::OutOfRange),
            ("2100-01-01T00:00:00Z", InstantError::OutOfRange),
        ] {
            assert_eq!(text.parse::<Instant>(), Err(error), "{text:?}");
        }
        assert_eq!("2099-12-31T23:59:59.999Z".parse(), Ok(Instant::MAX));
        assert_eq!("1970-01-01T00:00:00.000000Z".parse(), Ok(Instant::MIN));
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(Instant(1).ceil_seconds(), 1);
        assert_eq!(Instant(1_000).ceil_seconds(), 1);
        assert_eq!(Instant(1_001).ceil_seconds(), 2);
    }
}
