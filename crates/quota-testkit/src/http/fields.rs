//! The fields `RateLimit-Policy` and `RateLimit`, read as structured fields (RFC 9651).

use http::HeaderMap;
use sfv::{FieldType, Integer, List, ListEntry, Parser};

const POLICY: &str = "ratelimit-policy";
const LIMITS: &str = "ratelimit";

/// Whatever an answer says in them is what a library would write; there are both or none, and both name the same quotas.
#[track_caller]
pub(super) fn assert_structured(headers: &HeaderMap) {
    let policy = headers.get_all(POLICY).iter().map(|value| names(value.to_str().unwrap(), ["q", "w"]));
    let limits = headers.get_all(LIMITS).iter().map(|value| names(value.to_str().unwrap(), ["r", "t"]));
    let (policy, limits): (Vec<_>, Vec<_>) = (policy.collect(), limits.collect());
    assert_eq!(policy, limits, "{headers:?}");
    assert!(policy.len() < 2 && policy.iter().all(|names| !names.is_empty()), "{headers:?}");
}

/// The names that a field lists, each with these parameters, integers that are not negative.
#[track_caller]
fn names(value: &str, keys: [&str; 2]) -> Vec<String> {
    let list = Parser::new(value).parse::<List>().unwrap_or_else(|error| panic!("{value}: {error}"));
    assert_eq!(list.serialize().unwrap(), value, "as a library writes it");
    let name = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("{entry:?} is no item") };
        assert_eq!(item.params.keys().map(|key| key.as_str()).collect::<Vec<_>>(), keys, "{value}");
        let is_count = |value: Option<Integer>| value.is_some_and(|value| value >= Integer::ZERO);
        assert!(item.params.values().all(|value| is_count(value.as_integer())), "{value}");
        item.bare_item.as_string().unwrap().as_str().to_owned()
    };
    list.iter().map(name).collect()
}
