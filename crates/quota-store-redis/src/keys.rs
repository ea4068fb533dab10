//! The names of keys.

use std::fmt;
use std::str::FromStr;

use quota_core::ClientId;
use thiserror::Error;

use crate::queue::Token;

/// Milliseconds of a UTC day.
pub(crate) const DAY_MILLIS: i64 = 86_400_000;

/// How many keys list the clients. In a cluster they lie on different nodes.
pub(crate) const LISTS: u32 = 16;

/// What the names of a store's keys begin with: 1 to 64 letters, digits, `_`, `-`, `.` and `:`. `quota` by default.
///
/// ```
/// use quota_store_redis::KeyPrefix;
///
/// assert_eq!(KeyPrefix::default().as_str(), "quota");
/// assert!(KeyPrefix::new("billing:eu").is_ok());
/// assert!(KeyPrefix::new("{tag}").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

/// A text is no prefix of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no prefix of keys: 1 to 64 of a-z, A-Z, 0-9, _, -, . and :")]
pub struct PrefixError {
    text: String,
}

/// The keys of one client, all on its hash slot.
#[derive(Clone, Debug)]
pub(crate) struct ClientKeys {
    tagged: String,
}

/// One of a client's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Version, account, labels and so on: a list of which only the head counts.
    Account,
    /// Ids by which a retry finds an operation whose caller gave none, of ten minutes: a hash.
    Retries(i64),
    /// Ids of a UTC day: a hash.
    Ids(i64),
    /// Sums and counts of a UTC day's quarters: a hash.
    Sums(i64),
    /// Entries of a UTC day: a sorted set, all scores 0.
    Entries(i64),
}

impl Key {
    /// As the script names its type.
    pub(crate) const fn kind(self) -> char {
        match self {
            Self::Entries(_) => 'z',
            Self::Account => 'l',
            Self::Retries(_) | Self::Ids(_) | Self::Sums(_) => 'h',
        }
    }
}

impl KeyPrefix {
    /// Checks and takes the text.
    ///
    /// # Errors
    /// [`PrefixError`] for anything but 1 to 64 of the named characters.
    pub fn new(text: &str) -> Result<Self, PrefixError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PrefixError { text: text.chars().take(100).collect() })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn client(&self, client: &ClientId) -> ClientKeys {
        let mut tagged = String::with_capacity(self.0.len() + client.as_str().len() + 3);
        tagged.push_str(&self.0);
        tagged.push_str(":{");
        for byte in client.as_str().bytes() {
            // A brace would end the tag, and a colon could make another client's key of it.
            if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
                tagged.push(char::from(byte));
            } else {
                tagged.push_str(&format!("%{byte:02X}"));
            }
        }
        tagged.push('}');
        ClientKeys { tagged }
    }

    /// What the keys of this store agree on: their format's number.
    pub(crate) fn format(&self) -> String {
        format!("{}:format", self.0)
    }

    /// How much the ledgers remember.
    pub(crate) fn detail(&self) -> String {
        format!("{}:detail", self.0)
    }

    /// What a look at the store's health writes.
    pub(crate) fn health(&self) -> String {
        format!("{}:health", self.0)
    }

    /// The same on the slot of a list of clients.
    pub(crate) fn health_beside(&self, number: u32) -> String {
        format!("{}:health:{{{number}}}", self.0)
    }

    /// The channel on which a store is told that it is its turn, as the script names it.
    pub(crate) fn turns_of(&self, token: Token) -> String {
        format!("{}:turn:{token}", self.0)
    }

    /// A key for a moment, of one opening alone.
    pub(crate) fn check(&self) -> String {
        format!("{}:check:{}", self.0, uuid::Uuid::new_v4().simple())
    }

    /// The same on the slot of a tag.
    pub(crate) fn check_beside(&self, tag: &str) -> String {
        format!("{}:check:{{{tag}}}:{}", self.0, uuid::Uuid::new_v4().simple())
    }

    /// The key that lists this client.
    pub(crate) fn list_of(&self, client: &ClientId) -> String {
        // FNV-1a: the same in every version of this crate.
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
        self.list(client.as_str().bytes().fold(2_166_136_261, step) % LISTS)
    }

    pub(crate) fn list(&self, number: u32) -> String {
        format!("{}:clients:{{{number}}}", self.0)
    }
}

impl ClientKeys {
    pub(crate) fn name(&self, key: Key) -> String {
        let tagged = &self.tagged;
        match key {
            Key::Account => format!("{tagged}:a"),
            Key::Retries(span) => format!("{tagged}:r:{span}"),
            Key::Ids(day) => format!("{tagged}:i:{day}"),
            Key::Sums(day) => format!("{tagged}:s:{day}"),
            Key::Entries(day) => format!("{tagged}:e:{day}"),
        }
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("quota".to_owned())
    }
}

impl FromStr for KeyPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        Self::new(text)
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The UTC day that holds a millisecond, counted from 1970.
pub(crate) const fn day_of(millis: i64) -> i64 {
    millis.div_euclid(DAY_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_leaves_its_hash_slot_or_meets_anothers_key() {
        let prefix = KeyPrefix::default();
        let key = |name: &str| prefix.client(&ClientId::new(name).unwrap()).name(Key::Account);
        assert_eq!(key("client-1"), "quota:{client-1}:a");
        assert_eq!(key("a}b"), "quota:{a%7Db}:a");
        assert_eq!(key("a:s:1"), "quota:{a%3As%3A1}:a");
        assert_eq!(key("é%"), "quota:{%C3%A9%25}:a");
        for name in ["{", "}", "{}", ":", "a}:s:19000", "%7D"] {
            let key = key(name);
            assert_eq!((key.matches('{').count(), key.matches('}').count()), (1, 1), "{key}");
        }
    }
}
