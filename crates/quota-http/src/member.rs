//! What a request says in its query.

use percent_encoding::percent_decode_str;
use quota_core::{Credits, CreditsError};
use thiserror::Error;

/// A member of the request is not what it should be: 400, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{member}: {error}")]
pub struct Malformed {
    member: Box<str>,
    error: MemberError,
}

/// What is wrong with a member of a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemberError {
    /// It is required.
    #[error("it is missing")]
    Missing,
    /// It occurs more than once.
    #[error("it is given more than once")]
    Repeated,
    /// It is no amount of credits.
    #[error(transparent)]
    Credits(#[from] CreditsError),
    /// Something else, in the application's words. They are shown to the client.
    #[error("{0}")]
    Other(Box<str>),
}

impl Malformed {
    /// The member of this name is at fault.
    pub fn new(member: impl Into<Box<str>>, error: impl Into<MemberError>) -> Self {
        Self { member: member.into(), error: error.into() }
    }

    /// The member's name.
    #[must_use]
    pub const fn member(&self) -> &str {
        &self.member
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn error(&self) -> &MemberError {
        &self.error
    }
}

impl From<&str> for MemberError {
    fn from(words: &str) -> Self {
        Self::Other(words.into())
    }
}

impl From<String> for MemberError {
    fn from(words: String) -> Self {
        Self::Other(words.into())
    }
}

/// The amount of credits that a query gives under a name.
///
/// ```
/// use quota_http::credits_from_query;
///
/// assert_eq!(credits_from_query(Some("credits=2.5"), "credits")?.to_string(), "2.5");
/// let error = credits_from_query(Some("credits=-1"), "credits").unwrap_err();
/// assert_eq!(error.to_string(), "credits: an amount of credits is not negative");
/// # Ok::<(), quota_http::Malformed>(())
/// ```
///
/// # Errors
/// [`Malformed`] where it is missing, given more than once, not UTF-8, or no amount of credits.
pub fn credits_from_query(query: Option<&str>, member: &str) -> Result<Credits, Malformed> {
    let text = member_from_query(query, member)?.ok_or_else(|| Malformed::new(member, MemberError::Missing))?;
    text.parse().map_err(|error: CreditsError| Malformed::new(member, error))
}

/// The text that a query gives under a name, decoded; none if it does not.
///
/// # Errors
/// [`Malformed`] where it is given more than once, or is not UTF-8.
pub fn member_from_query(query: Option<&str>, member: &str) -> Result<Option<String>, Malformed> {
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| {
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
        (name == member).then_some((pair, value))
    });
    match (pairs.next(), pairs.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Malformed::new(member, MemberError::Repeated)),
        // What the parser has put in the place of other bytes is not what was sent.
        (Some((pair, _)), None) if percent_decode_str(pair).decode_utf8().is_err() => {
            Err(Malformed::new(member, "it is not UTF-8"))
        }
        (Some((_, value)), None) => Ok(Some(value.into_owned())),
    }
}
