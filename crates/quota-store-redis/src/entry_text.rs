//! Entries as texts.

use quota_core::{Credits, Entry, Instant, Label, OperationId};
use quota_service::StoreError;
use uuid::Uuid;

use crate::keys::{DAY_MILLIS, day_of};

/// Ends the id in a member. Smaller than all that an id may hold, so that members are in the order of their ids.
const END: char = '\u{1}';

/// Marks the ids of entries that have none: no caller's id begins with a control character.
const NAMELESS: char = '\u{2}';

/// A member of a day's sorted set: the millisecond of the day, the id, credits, label. The set orders members by their
/// bytes: by instant, then by id.
pub(crate) fn member(entry: &Entry) -> String {
    let (label, millis) = (entry.label.as_ref().map_or("", Label::as_str), millis_of_day(entry.at.millis()));
    let micros = entry.credits.micros();
    match &entry.id {
        Some(id) => format!("{millis:08}{id}{END}{micros}{END}{label}"),
        None => format!("{millis:08}{NAMELESS}{}{END}{micros}{END}{label}", Uuid::now_v7().simple()),
    }
}

/// The id's part of a day's member, and its entry.
pub(crate) fn read_member(day: i64, member: &str) -> Result<(String, Entry), StoreError> {
    let read = || {
        let (millis, rest) = member.split_at_checked(8)?;
        let mut parts = rest.split(END);
        let (column, micros, label) = (parts.next()?, parts.next()?, parts.next()?);
        let id = if column.starts_with(NAMELESS) { None } else { Some(OperationId::new(column).ok()?) };
        let at = day.checked_mul(DAY_MILLIS)?.checked_add(millis.parse().ok()?)?;
        let (at, credits) = (Instant::from_millis(at).ok()?, Credits::from_micros(micros.parse().ok()?).ok()?);
        Some((column.to_owned(), Entry { id, at, credits, label: read_label(label)? }))
    };
    read().ok_or_else(|| corrupt("an entry", member))
}

/// Where in a day's set the members of this millisecond (of all time) begin, for a bound by bytes; whole days before and
/// after give the ends of the set.
pub(crate) fn bound(day: i64, millis: i64) -> String {
    let start = day.saturating_mul(DAY_MILLIS);
    format!("{:08}", millis.saturating_sub(start).clamp(0, DAY_MILLIS))
}

/// The first place after all members of this instant with this id; with an empty one, the first of the instant.
pub(crate) fn bound_after(at: i64, id: &str) -> String {
    format!("{:08}{id}{NAMELESS}", millis_of_day(at))
}

fn millis_of_day(millis: i64) -> i64 {
    millis.saturating_sub(day_of(millis).saturating_mul(DAY_MILLIS))
}

/// The label of a text; the inner none where the text is empty.
pub(crate) fn read_label(text: &str) -> Option<Option<Label>> {
    if text.is_empty() { Some(None) } else { Label::new(text).ok().map(Some) }
}

pub(crate) fn corrupt(what: &str, found: &str) -> StoreError {
    let found: String = found.chars().take(200).collect();
    StoreError::Corrupt { message: format!("{what} is malformed: {found:?}"), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: Option<&str>, label: Option<&str>) -> Entry {
        Entry {
            id: id.map(|id| OperationId::new(id).unwrap()),
            at: Instant::from_millis(3 * DAY_MILLIS + 5).unwrap(),
            credits: "2.5".parse().unwrap(),
            label: label.map(|label| Label::new(label).unwrap()),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (id, label) in [(Some("a b"), Some("l m")), (Some("é"), None), (None, None), (None, Some(" "))] {
            let entry = entry(id, label);
            assert_eq!(read_member(3, &member(&entry)).unwrap().1, entry);
        }
        assert!(read_member(3, "a").is_err());
    }

    #[test]
    fn members_are_in_the_order_of_their_ids_and_pages_begin_between_them() {
        let [a, ab, nameless] = [Some("a"), Some("a b"), None].map(|id| member(&entry(id, None)));
        assert!(nameless < a && a < ab);
        let at = 3 * DAY_MILLIS + 5;
        assert!(bound_after(at, "") < nameless);
        assert!(a < bound_after(at, "a") && bound_after(at, "a") < ab);
        assert_eq!((bound(3, 0), bound(3, at)), ("00000000".to_owned(), "00000005".to_owned()));
        assert_eq!(bound(3, i64::MAX), "86400000");
    }
}
