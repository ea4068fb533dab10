//! Numbers as ASCII, appended to a buffer without the formatting machinery: headers are written on every answer.

use bytes::BytesMut;
use quota_core::{Credits, Period};

/// The greatest integer of a structured field: 15 digits (RFC 9651, section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// Millionths in one credit.
const SCALE: u64 = 1_000_000;

/// Appends an integer of at most 15 digits; a greater one is clamped.
pub(crate) fn push_integer(buffer: &mut BytesMut, value: u64) {
    push_digits(buffer, value.min(MAX_INTEGER));
}

/// Appends a decimal without trailing zeros, as `Credits` displays itself.
pub(crate) fn push_credits(buffer: &mut BytesMut, credits: Credits) {
    let micros = credits.micros().unsigned_abs();
    let (whole, mut rest) = (micros / SCALE, micros % SCALE);
    push_digits(buffer, whole);
    if rest == 0 {
        return;
    }
    buffer.extend_from_slice(b".");
    let mut place = SCALE / 10;
    while rest > 0 {
        push_digits(buffer, rest / place);
        rest %= place;
        place /= 10;
    }
}

/// Appends the name of a quota, as `Period` displays itself.
pub(crate) fn push_period(buffer: &mut BytesMut, period: Period) {
    if period.every() > 1 {
        push_digits(buffer, u64::from(period.every()));
        buffer.extend_from_slice(b"-");
    }
    buffer.extend_from_slice(period.unit().lower().as_bytes());
}

fn push_digits(buffer: &mut BytesMut, value: u64) {
    buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use quota_core::Unit;

    use super::*;

    fn written(push: impl Fn(&mut BytesMut)) -> String {
        let mut buffer = BytesMut::from("x");
        push(&mut buffer);
        String::from_utf8(buffer.to_vec()).unwrap().split_off(1)
    }

    #[test]
    fn credits_are_written_as_they_display_themselves() {
        for micros in [0, 1, 10, 999_999, 1_000_000, 1_000_001, 494_500_000, 10_010_000, 123_456_789_012, i64::MAX] {
            let credits = Credits::from_micros(micros).unwrap();
            assert_eq!(written(|buffer| push_credits(buffer, credits)), credits.to_string());
        }
    }

    #[test]
    fn periods_are_written_as_they_display_themselves() {
        for unit in Unit::ALL {
            for every in [1, 2, 15, 100_000] {
                let period = Period::new(unit, every).unwrap();
                assert_eq!(written(|buffer| push_period(buffer, period)), period.to_string());
            }
        }
    }

    #[test]
    fn integers_have_at_most_15_digits() {
        for (value, text) in [
            (0, "0"),
            (7, "7"),
            (10, "10"),
            (999_999_999_999_999, "999999999999999"),
            (1_000_000_000_000_000, "999999999999999"),
            (u64::MAX, "999999999999999"),
        ] {
            assert_eq!(written(|buffer| push_integer(buffer, value)), text);
        }
    }
}
