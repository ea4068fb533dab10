//! Versions of accounts.

use std::fmt;
use std::ops::Deref;

use quota_core::Detail;
use quota_service::StoreError;

use crate::server;

/// How many digits a version has.
pub(crate) const VERSION: usize = 32;

/// Where a version says the detail: at the digit that is the same in all random UUIDs.
const MARK: usize = 12;

/// A version of an account: a random token of 122 bits, and whether it is a store's of entries or of quarters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version([u8; VERSION]);

impl Version {
    pub(crate) fn new(detail: Detail) -> Self {
        let mut digits = [0; VERSION];
        uuid::Uuid::new_v4().simple().encode_lower(&mut digits);
        if let Some(place) = digits.get_mut(MARK) {
            *place = mark(detail);
        }
        Self(digits)
    }

    /// Whether a text is the version of such a store.
    pub(crate) fn is_of(version: &str, detail: Detail) -> bool {
        version.as_bytes().get(MARK) == Some(&mark(detail))
    }
}

const fn mark(detail: Detail) -> u8 {
    match detail {
        Detail::Quarters => b'a',
        Detail::Entries => b'e',
    }
}

/// # Errors
/// Where a version is that of a store which keeps its ledger otherwise: another was made in place of this one.
pub(crate) fn check_detail(version: &str, own: Detail) -> Result<(), StoreError> {
    let other = match own {
        Detail::Quarters => Detail::Entries,
        Detail::Entries => Detail::Quarters,
    };
    if !Version::is_of(version, other) {
        return Ok(());
    }
    Err(StoreError::NotDone { message: server::is_anothers("the account's version"), source: None })
}

/// The version that a text begins with; empty where there is no text.
pub(crate) fn version_of(text: &str) -> &str {
    text.get(..VERSION).unwrap_or_default()
}

impl Deref for Version {
    type Target = str;

    fn deref(&self) -> &str {
        // Digits.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_no_other_and_says_the_detail() {
        for (detail, other) in [(Detail::Quarters, Detail::Entries), (Detail::Entries, Detail::Quarters)] {
            let version = Version::new(detail);
            assert!(version.len() == VERSION && version.bytes().all(|digit| digit.is_ascii_hexdigit()));
            assert!(Version::is_of(&version, detail) && !Version::is_of(&version, other));
            assert!(version != Version::new(detail));
            assert_eq!(version_of(&format!("{version} and more")), version.to_string());
        }
        assert!(!Version::is_of("?", Detail::Quarters) && version_of("?").is_empty());
    }

    #[test]
    fn an_account_of_another_stores_is_refused() {
        let details = [Detail::Quarters, Detail::Entries];
        for (own, of) in details.into_iter().flat_map(|own| details.map(|of| (own, of))) {
            let checked = check_detail(&Version::new(of), own);
            assert_eq!(checked.is_err_and(|error| error.to_string().contains("open this one again")), own != of);
        }
        assert!(check_detail("", Detail::Quarters).is_ok(), "none");
    }
}
