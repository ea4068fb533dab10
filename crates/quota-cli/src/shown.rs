//! Text from a store, made safe for a terminal.

use std::borrow::Cow;

/// The text with everything escaped that a terminal would act on or not show: control characters, marks that turn the
/// direction of writing, and characters without width. So two ids that differ in what is not seen look different, and none of them
/// rewrites a line. (What is escaped stays as it is when it is escaped again, so an id may spell it.)
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Whether a terminal would act on it or not show it.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
                | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffc | 0xfffe..=0xffff | 0x13430..=0x1343f | 0x16fe4
                | 0x1bca0..=0x1bca3 | 0x1d159 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        for plain in ["client1", "Zoë Müller", "顧客", "a'b\"c`d$e\\f", "\u{1bc9f}\u{1d172}\u{1d17b}"] {
            assert_eq!(escape(plain), plain);
        }
        assert_eq!(escape("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(escape("a\u{a0}\u{200b}"), "a\\u{a0}\\u{200b}");
        // A blank of Braille, and what is not shown of shorthand and of music.
        for format in ['\u{2800}', '\u{1bca0}', '\u{1bca3}', '\u{1d173}', '\u{1d17a}'] {
            assert_eq!(escape(&format!("a{format}b")), format!("a\\u{{{:x}}}b", u32::from(format)));
        }
    }
}
