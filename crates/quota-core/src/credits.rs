//! Exact decimal amounts.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Millionths in one credit.
const SCALE: i64 = 1_000_000;

/// An amount of credits: zero or more, exact to six decimal places.
///
/// Kept as a signed 64-bit count of millionths, never as a float. It is read and written as a decimal
/// string: digits, optionally a point and one to six decimals; no sign, no exponent, nothing rounded.
///
/// ```
/// use quota_core::Credits;
///
/// let tenth: Credits = "0.1".parse()?;
/// let sum = tenth.checked_add(tenth).and_then(|two| two.checked_add(tenth));
/// assert_eq!(sum, Some("0.3".parse()?));
/// assert_eq!("2.50".parse::<Credits>()?.to_string(), "2.5");
/// assert!("-1".parse::<Credits>().is_err());
/// assert!("0.0000001".parse::<Credits>().is_err());
/// # Ok::<(), quota_core::CreditsError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// A difference of credits, such as what remains of a quota: negative when a client is in debt.
///
/// Written like [`Credits`], with a leading `-` below zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Balance(i64);

/// Why a text or a number is no amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CreditsError {
    /// Not digits with an optional point: empty, a sign `+`, an exponent, `NaN`, blanks.
    #[error("an amount of credits is digits, optionally a point and one to six decimals")]
    Malformed,
    /// Below zero.
    #[error("an amount of credits is not negative")]
    Negative,
    /// More than six decimals.
    #[error("an amount of credits has at most six decimals")]
    TooPrecise,
    /// More than 9223372036854.775807.
    #[error("an amount of credits is at most 9223372036854.775807")]
    TooLarge,
}

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);
    /// One credit.
    pub const ONE: Self = Self(SCALE);
    /// The greatest amount: 9223372036854.775807 credits.
    pub const MAX: Self = Self(i64::MAX);

    /// This many whole credits.
    ///
    /// # Errors
    /// [`CreditsError::TooLarge`] above 9223372036854.
    pub fn new(whole: u64) -> Result<Self, CreditsError> {
        i64::try_from(whole).ok().and_then(|whole| whole.checked_mul(SCALE)).map(Self).ok_or(CreditsError::TooLarge)
    }

    /// This many millionths of a credit.
    ///
    /// # Errors
    /// [`CreditsError::Negative`] below zero.
    pub const fn from_micros(micros: i64) -> Result<Self, CreditsError> {
        if micros < 0 { Err(CreditsError::Negative) } else { Ok(Self(micros)) }
    }

    /// The amount in millionths of a credit.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The whole credits, rounded down.
    #[must_use]
    pub const fn whole(self) -> u64 {
        (self.0 / SCALE).unsigned_abs()
    }

    /// Whether this is no credits at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it is beyond [`Credits::MAX`].
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless it is below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) if difference >= 0 => Some(Self(difference)),
            _ => None,
        }
    }

    /// So many times this much, unless it is beyond [`Credits::MAX`]: a price for each, and how many there were.
    ///
    /// ```
    /// use quota_core::Credits;
    ///
    /// let each: Credits = "0.0015".parse()?;
    /// assert_eq!(each.checked_mul(1_000), Some("1.5".parse()?));
    /// assert_eq!(Credits::MAX.checked_mul(2), None);
    /// # Ok::<(), quota_core::CreditsError>(())
    /// ```
    #[must_use]
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        let count = i64::try_from(count).ok()?;
        self.0.checked_mul(count).map(Self)
    }

    /// The sum, at most [`Credits::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        match self.checked_sub(other) {
            Some(difference) => difference,
            None => Self::ZERO,
        }
    }
}

impl Balance {
    /// This many millionths of a credit, below zero for a debt.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The amount in millionths of a credit.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// What there is to spend: zero for a debt.
    #[must_use]
    pub const fn spendable(self) -> Credits {
        if self.0 < 0 { Credits::ZERO } else { Credits(self.0) }
    }

    /// Whether `cost` fits.
    #[must_use]
    pub const fn covers(self, cost: Credits) -> bool {
        self.0 >= cost.0
    }
}

impl From<Credits> for Balance {
    fn from(credits: Credits) -> Self {
        Self(credits.0)
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, CreditsError> {
        match text.strip_prefix('-') {
            Some(magnitude) => Err(unsigned(magnitude).err().unwrap_or(CreditsError::Negative)),
            None => unsigned(text),
        }
    }
}

/// Reads an amount without a sign.
fn unsigned(text: &str) -> Result<Credits, CreditsError> {
    let (whole, decimals) = match text.split_once('.') {
        Some((_, "")) => return Err(CreditsError::Malformed),
        Some((whole, decimals)) => (whole, decimals),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) {
        return Err(CreditsError::Malformed);
    }
    if decimals.len() > 6 {
        return Err(CreditsError::TooPrecise);
    }
    let fold = |sum: i64, digit: u8| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
    whole
        .bytes()
        .chain(decimals.bytes())
        .chain(std::iter::repeat_n(b'0', 6 - decimals.len()))
        .try_fold(0_i64, fold)
        .map(Credits)
        .ok_or(CreditsError::TooLarge)
}

/// Writes millionths as a decimal without trailing zeros.
fn write_micros(micros: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let magnitude = micros.unsigned_abs();
    let scale = SCALE.unsigned_abs();
    let (whole, mut rest) = (magnitude / scale, magnitude % scale);
    if micros < 0 {
        f.write_str("-")?;
    }
    write!(f, "{whole}")?;
    if rest == 0 {
        return Ok(());
    }
    let mut width = 6;
    while rest.is_multiple_of(10) {
        rest /= 10;
        width -= 1;
    }
    write!(f, ".{rest:0width$}")
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_micros(self.0, f)
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credits({self})")
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_micros(self.0, f)
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Balance({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_amount_is_refused_by_kind() {
        for (text, error) in [
            ("", CreditsError::Malformed),
            ("-", CreditsError::Malformed),
            ("+1", CreditsError::Malformed),
            (".5", CreditsError::Malformed),
            ("1.", CreditsError::Malformed),
            ("1e3", CreditsError::Malformed),
            ("NaN", CreditsError::Malformed),
            ("inf", CreditsError::Malformed),
            (" 1", CreditsError::Malformed),
            ("1.2.3", CreditsError::Malformed),
            ("--1", CreditsError::Malformed),
            ("-1", CreditsError::Negative),
            ("0.0000001", CreditsError::TooPrecise),
            ("1.0000000", CreditsError::TooPrecise),
            ("9223372036854.775808", CreditsError::TooLarge),
            ("99999999999999999999999", CreditsError::TooLarge),
        ] {
            assert_eq!(text.parse::<Credits>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn amounts_are_written_without_trailing_zeros() {
        for (text, written) in [
            ("0", "0"),
            ("000", "0"),
            ("7.500000", "7.5"),
            ("0.000001", "0.000001"),
            ("10.010", "10.01"),
            ("9223372036854.775807", "9223372036854.775807"),
        ] {
            assert_eq!(text.parse::<Credits>().unwrap().to_string(), written);
        }
        assert_eq!(Balance::from_micros(-3_000_000).to_string(), "-3");
        assert_eq!(Balance::from_micros(i64::MIN).to_string(), "-9223372036854.775808");
        assert_eq!(Balance::from_micros(-1).to_string(), "-0.000001");
    }

    #[test]
    fn a_long_text_is_refused_like_a_short_one() {
        for sign in ["-", "+", "0x", ".", "e"] {
            assert_eq!(sign.repeat(1_000_000).parse::<Credits>(), Err(CreditsError::Malformed));
        }
        assert_eq!("9".repeat(1_000_000).parse::<Credits>(), Err(CreditsError::TooLarge));
    }

    #[test]
    fn a_tenth_three_times_is_three_tenths() {
        let tenth: Credits = "0.1".parse().unwrap();
        let sum = tenth.checked_add(tenth).unwrap().checked_add(tenth).unwrap();
        assert!(Balance::from("0.3".parse::<Credits>().unwrap()).covers(sum));
    }
}
