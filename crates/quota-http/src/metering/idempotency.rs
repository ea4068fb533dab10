//! Keys that make a request safe to send again.

use std::borrow::Cow;

use http::header::InvalidHeaderName;
use http::{HeaderName, Method};
use quota_core::OperationId;
use sfv::{BareItem, Item, Parser};
use sha2::{Digest, Sha256};

use crate::member::{Malformed, MemberError};

/// What becomes of a request whose idempotency key was charged already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnReplay {
    /// It is answered with 409, "already charged", and the handler does not run. Where the handler charges itself, it runs until then.
    #[default]
    Refuse,
    /// The handler runs once more, free of charge. For handlers that store their answers by the key: one payment buys
    /// any number of runs. (What nobody knew was charged, and was answered with 503, is taken back: one that is sent again before that
    /// is done has run free.)
    Run,
}

/// In which header a request may carry a key that makes it safe to send again (as in
/// draft-ietf-httpapi-idempotency-key-header): it is charged once under the key, its route and its method. A request
/// without a key is charged whenever it comes.
///
/// What is charged before a request runs is held under its key and settled at once, which asks the store twice: so a request that is
/// refused since nobody knows what the store has done, or whose client goes away before it runs, is not paid, and may be sent again.
///
/// A key is 1 to 128 visible ASCII characters, bare or as a quoted string of a structured field. Where the handler
/// charges itself, its first charge or hold without an id of its own is made under the key: what it does before that it does for a
/// replay too.
///
/// Of two layers around each other that charge the same clients in the same store, only one may read keys: to the inner one, a key that
/// the outer one has charged is charged already.
///
/// The charge's id is `key:<method> <route>:<key>` (of a `HEAD`, which is answered as `GET`, with that method), with `%25` and `%3A` for the percent signs and colons of the route, so that
/// no two requests of other routes, methods or keys have the same; where that is too long, its SHA-256 stands after `key:`.
/// Handlers cannot charge under an id that begins so ([`crate::RequestQuota`] refuses it, 400). Nobody else is hindered: what an
/// application charges by `QuotaService` itself, such as in a task, should have ids that begin otherwise.
///
/// ```
/// use quota_http::{IdempotencyKeys, OnReplay};
///
/// let keys = IdempotencyKeys::default(); // `Idempotency-Key`; a replay is refused
/// let own = IdempotencyKeys::header("X-Request-Key")?.with_on_replay(OnReplay::Run);
/// # Ok::<(), http::header::InvalidHeaderName>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdempotencyKeys {
    header: HeaderName,
    on_replay: OnReplay,
}

/// The beginning of all ids that keys make.
const PREFIX: &str = "key:";

/// How long a key may be.
const MAX_BYTES: usize = 128;

impl IdempotencyKeys {
    /// In a header of this name.
    ///
    /// # Errors
    /// [`InvalidHeaderName`] where this is no header's name.
    pub fn header(name: &str) -> Result<Self, InvalidHeaderName> {
        Ok(Self { header: name.parse()?, on_replay: OnReplay::default() })
    }

    /// With another answer to a replay than 409.
    #[must_use]
    pub const fn with_on_replay(mut self, on_replay: OnReplay) -> Self {
        self.on_replay = on_replay;
        self
    }

    pub(crate) const fn name(&self) -> &HeaderName {
        &self.header
    }

    pub(crate) const fn on_replay(&self) -> OnReplay {
        self.on_replay
    }

    /// The id of a request's charge, if it carries a key. Ids are each client's own, so no client is in it.
    pub(crate) fn id<'a>(
        &self,
        mut values: impl Iterator<Item = &'a [u8]>,
        method: &Method,
        route: &str,
    ) -> Result<Option<OperationId>, Malformed> {
        let malformed = |error: MemberError| Malformed::new(self.header.as_str(), error);
        let Some(value) = values.next() else { return Ok(None) };
        if values.any(|other| other != value) {
            return Err(malformed(MemberError::Repeated));
        }
        let other = || malformed("a key is 1 to 128 visible ASCII characters".into());
        let key = key(value).ok_or_else(other)?;
        // Rocket's routes know no HEAD apart from GET.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        // Its first colon ends the route, or `/a` with the key `b:c` were `/a:b` with the key `c`.
        let route = match route.contains(['%', ':']) {
            true => Cow::Owned(route.replace('%', "%25").replace(':', "%3A")),
            false => Cow::Borrowed(route),
        };
        let text = format!("{PREFIX}{method} {route}:{key}");
        let id = OperationId::new(&text).or_else(|_| OperationId::new(format!("{PREFIX}{}", hashed(&text))));
        id.map(Some).map_err(|_| other())
    }
}

impl Default for IdempotencyKeys {
    fn default() -> Self {
        Self { header: HeaderName::from_static("idempotency-key"), on_replay: OnReplay::default() }
    }
}

/// Whether an id looks as if a key had made it.
pub(crate) fn is_reserved(id: &OperationId) -> bool {
    id.as_str().starts_with(PREFIX)
}

fn key(value: &[u8]) -> Option<String> {
    let key = match value.first()? {
        b'"' => match Parser::new(value).parse::<Item>().ok()? {
            Item { bare_item: BareItem::String(text), params } if params.is_empty() => text.as_str().to_owned(),
            _ => return None,
        },
        _ => String::from_utf8(value.to_vec()).ok()?,
    };
    let is_key = (1..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_key.then_some(key)
}

fn hashed(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(values: &[&str]) -> Result<Option<String>, String> {
        id_of_route(values, "/orders/{id}")
    }

    fn id_of_route(values: &[&str], route: &str) -> Result<Option<String>, String> {
        let values = values.iter().map(|value| value.as_bytes());
        let id = IdempotencyKeys::default().id(values, &Method::POST, route);
        id.map(|id| id.map(|id| id.as_str().to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn bare_and_quoted_keys_are_the_same_key() {
        for values in [&["k-1"][..], &["\"k-1\""], &["k-1", "k-1"]] {
            assert_eq!(id(values), Ok(Some("key:POST /orders/{id}:k-1".to_owned())), "{values:?}");
        }
        assert_eq!(id(&[r#""a\"b\\c""#]), Ok(Some(r#"key:POST /orders/{id}:a"b\c"#.to_owned())));
        assert_eq!(id(&[]), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let long = "x".repeat(129);
        for value in ["", "\"\"", "a b", "\"a b\"", "\"open", "\"a\";b=1", "\u{e9}", &long, &format!("\"{long}\"")] {
            let expected = "idempotency-key: a key is 1 to 128 visible ASCII characters";
            assert_eq!(id(&[value]), Err(expected.to_owned()), "{value:?}");
        }
        assert_eq!(id(&["a", "b"]), Err("idempotency-key: it is given more than once".to_owned()));
    }

    #[test]
    fn no_two_requests_have_the_same_id() {
        let long = "r".repeat(200);
        let asked = [
            (Method::GET, "/a", "b:c"),
            (Method::GET, "/a:b", "c"),
            (Method::GET, "/a%3Ab", "c"),
            (Method::GET, "/a%253Ab", "c"),
            (Method::GET, "/a:b:c", ":"),
            (Method::GET, "/a", "b:c::"),
            (Method::GET, "/a:", ":b"),
            (Method::GET, "/a", "::b"),
            (Method::POST, "/a", "b:c"),
            (Method::GET, "POST /a", "b:c"),
            (Method::GET, "/{id:[0-9]+}", "c"),
            (Method::GET, &long, "b:c"),
            (Method::GET, &format!("{long}:b"), "c"),
        ];
        let ids: std::collections::BTreeSet<String> = asked
            .iter()
            .map(|(method, route, key)| {
                let id = IdempotencyKeys::default().id([key.as_bytes()].into_iter(), method, route);
                id.unwrap().unwrap().as_str().to_owned()
            })
            .collect();
        assert_eq!(ids.len(), asked.len(), "{ids:?}");
    }

    #[test]
    fn long_keys_are_hashed_and_stay_apart() {
        let route = format!("/{}", "r".repeat(128));
        let ids =
            ["x", "y"].map(|last| id_of_route(&[&format!("{}{last}", "x".repeat(127))], &route).unwrap().unwrap());
        assert_ne!(ids[0], ids[1]);
        assert!(ids.iter().all(|id| id.starts_with(PREFIX) && id.len() == PREFIX.len() + 64), "{ids:?}");
    }
}
