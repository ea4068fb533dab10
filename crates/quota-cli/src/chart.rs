//! Bars of text.

use quota_core::Credits;

const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar whose length is to `width` columns as `credits` are to `most`; anything above zero is at least an eighth of a
/// column wide.
pub(crate) fn bar(credits: Credits, most: Credits, width: u16) -> String {
    let (part, whole) = (i128::from(credits.micros()), i128::from(most.micros()));
    if part <= 0 || whole <= 0 {
        return String::new();
    }
    let eighths = (part * i128::from(width) * 8 / whole).max(1);
    let full = usize::try_from(eighths / 8).unwrap_or_default();
    let rest = usize::try_from(eighths % 8).ok().and_then(|rest| EIGHTHS.get(rest)).filter(|_| eighths % 8 > 0);
    let mut bar = "█".repeat(full);
    bar.extend(rest);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let credits = |text: &str| text.parse::<Credits>().unwrap();
        let ten = credits("10");
        assert_eq!(bar(ten, ten, 4), "████");
        assert_eq!(bar(credits("5"), ten, 4), "██");
        assert_eq!(bar(credits("6.25"), ten, 4), "██▌");
        assert_eq!(bar(credits("0.000001"), ten, 4), "▏");
        assert_eq!(bar(Credits::ZERO, ten, 4), "");
        assert_eq!(bar(Credits::ZERO, Credits::ZERO, 4), "");
    }
}
