//! Credits as the predecessor kept them.

use quota_core::Credits;

use crate::import::row::Skip;

/// Credits as the predecessor kept them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Amount {
    Double(f64),
    /// Written out with every digit that it has, `12.5` or `1.05E+3`: a double would lose the last ones.
    Decimal(String),
}

impl Amount {
    /// Rounded to six places: to the nearest, and from the middle to the even one.
    ///
    /// # Errors
    /// It is no amount, or one that cannot be counted.
    pub(super) fn credits(&self) -> Result<Credits, Skip> {
        match self {
            Self::Double(number) => of_double(*number),
            Self::Decimal(text) => of_decimal(text),
        }
    }
}

fn of_double(number: f64) -> Result<Credits, Skip> {
    if !number.is_finite() {
        return Err(Skip::NotFinite);
    }
    if number < 0.0 {
        return Err(Skip::Negative);
    }
    // Written with six places it is rounded so; the sign of a zero is none of ours.
    format!("{:.6}", number.abs()).parse().map_err(|_| Skip::TooMany)
}

fn of_decimal(text: &str) -> Result<Credits, Skip> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if ["NaN", "Infinity"].contains(&unsigned) {
        return Err(Skip::NotFinite);
    }
    let (number, exponent) = unsigned.split_once('E').unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().map_err(|_| Skip::NoCredits)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Skip::NoCredits);
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(Credits::ZERO);
    }
    if unsigned != text {
        return Err(Skip::Negative);
    }
    // How far the millionths are from the first digit that counts.
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let before = length(whole).saturating_sub(length(&digits).saturating_sub(length(significant)));
    millionths(significant, before.saturating_add(exponent).saturating_add(6))
}

/// The number whose first so many digits these are, or begin with; rounded by those behind.
fn millionths(digits: &str, length: i64) -> Result<Credits, Skip> {
    if length > MOST_DIGITS {
        return Err(Skip::TooMany);
    }
    // Less than a tenth of one.
    let Ok(length) = usize::try_from(length) else { return Ok(Credits::ZERO) };
    let (kept, rest) = digits.split_at_checked(length).unwrap_or((digits, ""));
    let kept: u64 = format!("0{kept:0<length$}").parse().map_err(|_| Skip::TooMany)?;
    let mut rest = rest.bytes();
    let is_up = match rest.next() {
        Some(b'5') => rest.any(|digit| digit != b'0') || kept % 2 == 1,
        first => first > Some(b'5'),
    };
    let micros = i64::try_from(kept.saturating_add(u64::from(is_up))).map_err(|_| Skip::TooMany)?;
    Credits::from_micros(micros).map_err(|_| Skip::TooMany)
}

/// Of a signed number of 64 bits.
const MOST_DIGITS: i64 = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_rounded_to_six_places() {
        for (number, text) in [
            (0.1 + 0.2, "0.3"),
            (0.000_000_4, "0"),
            (0.000_000_6, "0.000001"),
            (2.5, "2.5"),
            (-0.0, "0"),
            (f64::from(0.1_f32), "0.1"),
            (9_000_000_000_000.0, "9000000000000"),
        ] {
            assert_eq!(of_double(number).unwrap().to_string(), text, "{number}");
        }
    }

    #[test]
    fn decimals_are_exact_to_six_places_and_rounded_behind_them() {
        for (number, text) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("0E+6000", "0"),
            ("007", "7"),
            ("7.", "7"),
            (".5", "0.5"),
            ("12.340000000000", "12.34"),
            ("1234567890123.456789", "1234567890123.456789"),
            ("9223372036854.775807", "9223372036854.775807"),
            ("9223372036854.77580749", "9223372036854.775807"),
            ("0.0000004999999999", "0"),
            ("0.0000005", "0"),
            ("0.00000050000000000000000000000001", "0.000001"),
            ("0.0000015", "0.000002"),
            ("0.00000149", "0.000001"),
            ("0.00000005", "0"),
            ("0.0000000999", "0"),
            ("0.9999995", "1"),
            ("1.05E+3", "1050"),
            ("12E+6", "12000000"),
            ("5.1E-7", "0.000001"),
            ("9E-8", "0"),
            ("1E-6176", "0"),
        ] {
            assert_eq!(of_decimal(number).unwrap().to_string(), text, "{number}");
        }
    }

    #[test]
    fn a_double_and_its_decimal_come_to_the_same() {
        for number in [0.5, 0.007_812_5, 0.023_437_5, 1.000_244_140_625, 4_294_967_296.125, 123.456_789, 1e-7] {
            assert_eq!(of_decimal(&format!("{number}")), of_double(number), "{number}");
        }
    }

    #[test]
    fn what_is_no_amount_is_told_apart() {
        for (number, skip) in [
            ("NaN", Skip::NotFinite),
            ("Infinity", Skip::NotFinite),
            ("-Infinity", Skip::NotFinite),
            ("-1", Skip::Negative),
            ("-0.0000001", Skip::Negative),
            ("9223372036854.775808", Skip::TooMany),
            ("9223372036854.7758075", Skip::TooMany),
            ("10000000000000", Skip::TooMany),
            ("1E+6111", Skip::TooMany),
            ("", Skip::NoCredits),
            ("-", Skip::NoCredits),
            (".", Skip::NoCredits),
            ("1.2.3", Skip::NoCredits),
            ("1E", Skip::NoCredits),
            ("+1", Skip::NoCredits),
            ("lots", Skip::NoCredits),
        ] {
            assert_eq!(of_decimal(number), Err(skip), "{number}");
        }
    }
}
