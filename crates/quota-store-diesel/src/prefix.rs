//! What the names of our tables begin with.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What the names of the store's tables begin with: a lower-case letter, then up to 30 lower-case letters,
/// digits and underscores. `quota_` by default.
///
/// ```
/// use quota_store_diesel::TablePrefix;
///
/// assert_eq!(TablePrefix::default().as_str(), "quota_");
/// assert!(TablePrefix::new("billing_").is_ok());
/// assert!(TablePrefix::new("x; drop table users").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TablePrefix(String);

/// A text is no prefix of table names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no prefix of table names: a lower-case letter, then at most 30 of a-z, 0-9 and _")]
pub struct PrefixError {
    text: String,
}

impl TablePrefix {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 31;

    /// Checks and takes the text.
    ///
    /// # Errors
    /// [`PrefixError`] for anything but `[a-z][a-z0-9_]{0,30}`.
    pub fn new(text: &str) -> Result<Self, PrefixError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if begins && text.len() <= Self::MAX_BYTES && text.bytes().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError { text: text.to_owned() })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A statement that names tables as `{p}accounts`, with the prefix in place.
    pub(crate) fn fill(&self, template: &str) -> String {
        template.replace("{p}", &self.0)
    }
}

impl Default for TablePrefix {
    fn default() -> Self {
        Self("quota_".to_owned())
    }
}

impl FromStr for TablePrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        Self::new(text)
    }
}

impl fmt::Display for TablePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lower_case_names_are_prefixes() {
        for good in ["q", "quota_", "a1_b2", &"a".repeat(31)] {
            assert!(TablePrefix::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "_q", "1q", "Q", "quota-", "q ", "q\"", "ä", "q;", &"a".repeat(32)] {
            assert!(TablePrefix::new(bad).is_err(), "{bad:?}");
        }
    }
}
