//! Where a page of entries ended.

use quota_core::{Refusal, Window};

/// Where a page of entries ended, for stores that keep them in the order of their instants and then of their ids: the
/// `next` of an [`crate::EntriesPage`].
///
/// Written as the milliseconds and the bytes in hexadecimal, so that it is plain ASCII whatever the id is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesCursor {
    /// The entry's instant in milliseconds since 1970.
    pub at: i64,
    /// What tells it from others of that instant: never empty for an entry.
    pub id: String,
}

impl EntriesCursor {
    /// Before the first entry of a range.
    #[must_use]
    pub fn before(range: Window) -> Self {
        // No id is empty, so every entry at this instant comes after it.
        Self { at: range.start().millis(), id: String::new() }
    }

    /// Reads a cursor that was given out for this range.
    ///
    /// # Errors
    /// [`Refusal::InvalidCursor`] for any other text.
    pub fn read(text: &str, range: Window) -> Result<Self, Refusal> {
        Self::parse(text)
            .filter(|cursor| range.start().millis() <= cursor.at && cursor.at < range.end().millis())
            .ok_or(Refusal::InvalidCursor)
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, hex) = text.split_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(at) || hex.is_empty() || hex.len() > 1_024 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let pairs = hex.as_bytes().chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
        // No id has a NUL, and some stores take no text with one.
        let id = String::from_utf8(bytes?).ok().filter(|id| !id.contains('\0'))?;
        Some(Self { at: at.parse().ok()?, id })
    }

    /// What the next page is asked with.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = format!("{}-", self.at);
        for byte in self.id.bytes() {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = EntriesCursor { at: 1_700_000_000_000, id: "\u{1}é-1".to_owned() };
        assert_eq!(EntriesCursor::read(&cursor.write(), Window::ALL), Ok(cursor));
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        for text in
            ["", "-", "1", "1-", "-61", "x-61", "1-6", "1-6x", "1-ff", "+1-61", "1-61 ", "99999999999999999999-61"]
        {
            assert_eq!(EntriesCursor::read(text, Window::ALL), Err(Refusal::InvalidCursor), "{text:?}");
        }
    }
}
