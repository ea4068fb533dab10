//! Keys of entries and quarters.

use mongodb::bson::{Document, doc};
use quota_core::{ClientId, OperationId, Refusal, Span};

/// What stands between a client and the rest: no client's name holds it, and every character that one may hold is greater.
/// So the entries of a client lie together, and none of another's among them.
const END: char = '\t';

/// Follows it.
const AFTER_END: char = '\n';

/// Digits of an instant, until 2099.
const INSTANT: usize = 13;

/// Digits of a commit's number and of a place among its entries.
const PLACE: usize = 19 + 7;

/// The key of an entry: a text, since keys of texts are found by range on every server. It sorts by client, instant, commit
/// and place in the commit. No two entries have the same, whatever was taken out before.
pub(crate) fn entry_key(client: &ClientId, at: i64, seq: i64, number: usize) -> String {
    format!("{client}{END}{at:013}{seq:019}{number:07}")
}

/// The key of a quarter's sum, for the same reason a text: one text is found by its index on every server.
pub(crate) fn quarter_key(client: &ClientId, quarter: i64, label: &str) -> String {
    format!("{client}{END}{quarter:013}{label}")
}

/// The keys of a client's entries of some instants, or of quarters that begin at some.
pub(crate) fn keys_of(client: &ClientId, (from, to): Span) -> Document {
    doc! { "$gte": key_with(client, &digits_of(from)), "$lt": key_with(client, &digits_of(to)) }
}

/// The digits with which the keys of a client's entries at an instant begin.
pub(crate) fn digits_of(at: i64) -> String {
    format!("{at:013}")
}

/// The digits in an entry's key: all that follows the client.
pub(crate) fn digits_in(key: &str) -> Option<&str> {
    key.rsplit_once(END).map(|(_, digits)| digits).filter(|digits| is_digits(digits))
}

/// When an entry was, by the digits in its key.
pub(crate) fn at_of(digits: &str) -> Option<i64> {
    digits.get(..INSTANT)?.parse().ok()
}

/// Whether a key can begin with these digits: all that such a key is, is an entry of its client.
pub(crate) fn is_digits(text: &str) -> bool {
    (INSTANT..=INSTANT + PLACE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The key of a client's entry, or the beginning of some, by its digits.
pub(crate) fn key_with(client: &ClientId, digits: &str) -> String {
    format!("{client}{END}{digits}")
}

/// By what an entry with an id is found: one text, since a server may not use an index of two fields for some ids of one
/// client.
pub(crate) fn id_key(client: &ClientId, id: &OperationId) -> String {
    format!("{client}{END}{id}")
}

/// All such keys of a client.
pub(crate) fn id_keys_of(client: &ClientId) -> Document {
    doc! { "$gte": format!("{client}{END}"), "$lt": format!("{client}{AFTER_END}") }
}

/// The id in such a key.
pub(crate) fn id_of(key: &str) -> Option<&str> {
    key.split_once(END).map(|(_, id)| id)
}

/// What tells an entry from others of its client and instant.
pub(crate) fn place_of(key: &str) -> Option<&str> {
    digits_in(key)?.get(INSTANT..)
}

/// The key of a client's entry at an instant, by its place.
pub(crate) fn key_at(client: &ClientId, at: i64, place: &str) -> Result<String, Refusal> {
    if place.len() != PLACE || !place.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::InvalidCursor);
    }
    Ok(format!("{client}{END}{at:013}{place}"))
}

#[cfg(test)]
mod tests {
    use quota_core::Instant;

    use super::*;

    #[test]
    fn quarters_are_found_by_when_they_begin_whatever_their_label() {
        let (client, quarter) = (ClientId::new("c").unwrap(), 900_000);
        let range = keys_of(&client, (quarter, 2 * quarter));
        let (from, to) = (range.get_str("$gte").unwrap(), range.get_str("$lt").unwrap());
        for label in ["", "/a", "\u{10ffff}", "0"] {
            assert!((from..to).contains(&quarter_key(&client, quarter, label).as_str()));
            assert!(quarter_key(&client, 2 * quarter, label).as_str() >= to);
            assert!(quarter_key(&client, 0, label).as_str() < from);
        }
    }

    #[test]
    fn an_id_is_told_from_its_client() {
        let (client, id) = (ClientId::new("c i").unwrap(), OperationId::new("i c").unwrap());
        assert_eq!(id_of(&id_key(&client, &id)), Some("i c"));
        let keys = id_keys_of(&client);
        let (from, to) = (keys.get_str("$gte").unwrap(), keys.get_str("$lt").unwrap());
        for (name, is_own) in [("c i", true), ("c", false), ("c i ", false), ("c i!", false), ("c j", false)] {
            let key = id_key(&ClientId::new(name).unwrap(), &id);
            assert_eq!((from..to).contains(&key.as_str()), is_own, "{name}");
        }
    }

    #[test]
    fn keys_sort_by_client_instant_commit_and_place() {
        let client = |name: &str| ClientId::new(name).unwrap();
        let keys = [
            entry_key(&client("c"), 0, i64::MAX, 9_999_999),
            entry_key(&client("c"), 5, 1, 0),
            entry_key(&client("c"), 5, 1, 10),
            entry_key(&client("c"), 5, 20, 0),
            entry_key(&client("c"), Instant::MAX.millis(), 1, 0),
            entry_key(&client("c "), 0, 1, 0),
            entry_key(&client("c1"), 0, 1, 0),
        ];
        assert!(keys.is_sorted());
        let place = place_of(&keys[2]).unwrap();
        assert_eq!(key_at(&client("c"), 5, place).unwrap(), keys[2]);
        let range = keys_of(&client("c"), (5, 6));
        let (from, to) = (range.get_str("$gte").unwrap(), range.get_str("$lt").unwrap());
        let inside: Vec<_> = keys.iter().filter(|key| (from..to).contains(&key.as_str())).collect();
        assert_eq!(inside, [&keys[1], &keys[2], &keys[3]]);
        for place in ["", "1", &"1".repeat(25), &"x".repeat(26)] {
            assert!(key_at(&client("c"), 5, place).is_err());
        }
    }
}
