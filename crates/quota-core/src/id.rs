//! Names that callers give: of clients, of operations, of routes.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;
use thiserror::Error;

/// Why a text is no client id, operation id or label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// No bytes at all.
    #[error("it is empty")]
    Empty,
    /// More bytes of UTF-8 than allowed.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The greatest number of bytes allowed.
        max: usize,
    },
    /// A control character (Unicode category Cc).
    #[error("it contains a control character")]
    ControlCharacter,
    /// Bytes that are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
}

fn checked(text: &str, max: usize) -> Result<SmolStr, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong { max });
    }
    // Most are ASCII, and bytes are quicker to look at than characters.
    let is_controlled = if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    };
    if is_controlled {
        return Err(IdError::ControlCharacter);
    }
    Ok(SmolStr::new(text))
}

macro_rules! name {
    ($(#[$docs:meta])* $name:ident, $max:literal) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The greatest length in bytes of UTF-8.
            pub const MAX_BYTES: usize = $max;

            /// Checks and takes the text.
            ///
            /// # Errors
            /// [`IdError`] where it is empty, too long or holds a control character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                checked(text.as_ref(), Self::MAX_BYTES).map(Self)
            }

            /// Checks and takes bytes.
            ///
            /// # Errors
            /// [`IdError`] as for [`Self::new`], or where they are not UTF-8.
            pub fn from_utf8(bytes: &[u8]) -> Result<Self, IdError> {
                std::str::from_utf8(bytes).map_err(|_| IdError::NotUtf8).and_then(Self::new)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }
    };
}

name! {
    /// Who is charged: 1 to 255 bytes of UTF-8 without control characters, compared by bytes.
    ///
    /// ```
    /// use quota_core::ClientId;
    ///
    /// assert_ne!(ClientId::new("client1")?, ClientId::new("client1 ")?);
    /// assert!(ClientId::new("").is_err());
    /// assert!(ClientId::new("x".repeat(256)).is_err());
    /// # Ok::<(), quota_core::IdError>(())
    /// ```
    ClientId, 255
}

name! {
    /// What makes an operation safe to retry: 1 to 255 bytes of UTF-8 without control characters, unique
    /// for a client over its entries and active holds.
    OperationId, 255
}

name! {
    /// What an entry was for, such as a route or a feature: 1 to 64 bytes of UTF-8 without control characters.
    Label, 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_bytes_and_bounded() {
        let names = ["Client1", "client1", "client1 ", "cafe\u{301}", "caf\u{e9}"];
        for (i, one) in names.iter().enumerate() {
            for (j, other) in names.iter().enumerate() {
                assert_eq!(ClientId::new(one) == ClientId::new(other), i == j);
            }
        }
        assert_eq!(ClientId::new("a\nb"), Err(IdError::ControlCharacter));
        assert_eq!(ClientId::new("a\u{85}b"), Err(IdError::ControlCharacter));
        assert_eq!(Label::new("x".repeat(65)), Err(IdError::TooLong { max: 64 }));
        assert_eq!(ClientId::from_utf8(&[0xff]), Err(IdError::NotUtf8));
        assert!(ClientId::new("é".repeat(127)).is_ok());
        assert!(ClientId::new("é".repeat(128)).is_err());
    }
}
