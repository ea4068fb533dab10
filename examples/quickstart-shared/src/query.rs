//! What a request says, and an answer of the example's own.

use http::{HeaderMap, StatusCode};
use quota_http::{Malformed, RefusalResponse, member_from_query};

/// `true` or `false`; false where it is not given.
///
/// # Errors
/// [`Malformed`] where it is neither.
pub fn flag_from_query(query: Option<&str>, member: &str) -> Result<bool, Malformed> {
    match member_from_query(query, member)?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Malformed::new(member, "it is true or false")),
    }
}

/// What a handler answers whose work failed.
#[must_use]
pub fn failure() -> RefusalResponse {
    RefusalResponse::new(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), "the work failed\n".into())
}
