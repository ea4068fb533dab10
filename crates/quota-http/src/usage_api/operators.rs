//! Who may look after other clients than their own.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Who asks, as far as operators are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An operator; the name is for the log.
    Operator(Box<str>),
    /// Somebody who is known and no operator: 403.
    Other,
    /// Nobody that is known: 401.
    Unknown,
}

/// A bearer token that operators prove themselves with. Only its SHA-256 is kept, and compared in constant time.
#[derive(Clone)]
pub struct OperatorToken([u8; 32]);

/// A text that is no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an operator's token is 1 to 1024 visible ASCII characters")]
pub struct OperatorTokenError;

impl OperatorToken {
    const MAX_BYTES: usize = 1_024;

    /// Takes a token. Make it of at least 128 random bits: nobody is stopped from trying.
    ///
    /// # Errors
    /// [`OperatorTokenError`] where it is empty, longer than 1024 bytes, or holds anything but visible ASCII.
    pub fn new(token: &str) -> Result<Self, OperatorTokenError> {
        let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > Self::MAX_BYTES || !is_visible {
            return Err(OperatorTokenError);
        }
        Ok(Self(Sha256::digest(token).into()))
    }

    /// Who sends these headers. `Authorization` must be there once, with the scheme `Bearer` and this token.
    pub(crate) fn standing(&self, headers: &HeaderMap) -> Standing {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Standing::Unknown };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return Standing::Unknown;
        };
        // Any number of blanks stands between them (RFC 9110, section 11.4).
        let blanks = token.iter().take_while(|byte| **byte == b' ').count();
        let token = token.get(blanks..).unwrap_or_default();
        let given: [u8; 32] = Sha256::digest(token).into();
        let is_right = bool::from(given.ct_eq(&self.0)) && scheme.eq_ignore_ascii_case(b"Bearer ");
        if is_right { Standing::Operator("the operator's token".into()) } else { Standing::Unknown }
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_is_an_operators() {
        let token = OperatorToken::new("s3cret").unwrap();
        let standing = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            matches!(token.standing(&headers), Standing::Operator(_))
        };
        assert!(standing(&[b"Bearer s3cret"]) && standing(&[b"bearer s3cret"]) && standing(&[b"Bearer   s3cret"]));
        for wrong in
            [&b"s3cret"[..], b"Basic s3cret", b"Bearer", b"Bearer ", b"Bearer s3cret ", b"Bearer s3cre\xff", b""]
        {
            assert!(!standing(&[wrong]), "{wrong:?}");
        }
        assert!(!standing(&[]) && !standing(&[b"Bearer s3cret", b"Bearer s3cret"]));
    }

    #[test]
    fn a_token_is_visible_and_never_shown() {
        for text in ["", " ", "a b", "é", "a\n", &"a".repeat(1_025)] {
            assert!(OperatorToken::new(text).is_err(), "{text:?}");
        }
        assert!(!format!("{:?}", OperatorToken::new("s3cret").unwrap()).contains("s3cret"));
    }
}
