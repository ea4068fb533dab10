//! Ids that are kept in one field.

use std::fmt::Write;

use quota_core::{Credits, Entry, Instant, Label, OperationId};
use quota_service::StoreError;

use crate::entry_text::{corrupt, read_label};

/// Stands before the last digit of each id but the first: no label holds it.
const NEXT: char = '\u{1}';

/// The entries that one field of a key of ids tells of: one, or those of a commit whose ids were made and are of one block.
///
/// The field is the first id, the lowest. Its value has when it was written, and of the entry the instant, the credits and the label;
/// then each other id's last digit, and what its entry has else, where that is not as of the one before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptIds {
    /// Not empty; the ids are ascending.
    entries: Vec<Entry>,
    pub(crate) written: Instant,
}

/// An entry found by its id, and the entries that are kept in the same field.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) entry: Entry,
    pub(crate) written: Instant,
    pub(crate) others: Vec<Entry>,
}

impl KeptIds {
    /// What a field and its value tell.
    pub(crate) fn read(field: &str, value: &str) -> Result<Self, StoreError> {
        read(field, value).ok_or_else(|| corrupt("an id's entry", value))
    }

    /// The field and its value; none where there is no entry.
    pub(crate) fn write(&self) -> Option<[String; 2]> {
        write(&self.entries.iter().collect::<Vec<_>>(), self.written)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Splits off the entry with this id.
    pub(crate) fn find(mut self, id: &OperationId) -> Option<Named> {
        let place = self.entries.iter().position(|entry| entry.id.as_ref() == Some(id))?;
        let entry = self.entries.remove(place);
        Some(Named { entry, written: self.written, others: self.entries })
    }

    /// Without the entries that are gone.
    pub(crate) fn retain(&mut self, is_kept: impl FnMut(&Entry) -> bool) {
        self.entries.retain(is_kept);
    }
}

impl Named {
    /// What is kept in the field without it.
    pub(crate) fn rest(&self) -> KeptIds {
        KeptIds { entries: self.others.clone(), written: self.written }
    }
}

/// The fields and values of entries with ids that are written at once, one for each.
pub(crate) fn fields_of_given(entries: &[&Entry], written: Instant) -> Vec<[String; 2]> {
    entries.chunks(1).filter_map(|entry| write(entry, written)).collect()
}

/// The same where the ids were made, in ascending order: one for those of each block.
pub(crate) fn fields_of_made(entries: &[&Entry], written: Instant) -> Vec<[String; 2]> {
    let blocks = entries.chunk_by(|one, other| block_of(one) == block_of(other));
    blocks.filter_map(|block| write(block, written)).collect()
}

fn block_of(entry: &Entry) -> Option<&str> {
    entry.id.as_ref().and_then(|id| all_but_last(id.as_str()))
}

fn all_but_last(text: &str) -> Option<&str> {
    text.get(..text.len().checked_sub(1)?)
}

/// About as long is the value of one entry.
const BYTES: usize = 64;

fn write(entries: &[&Entry], written: Instant) -> Option<[String; 2]> {
    let (mut before, others) = entries.split_first()?;
    let field = before.id.as_ref()?.as_str().to_owned();
    let mut value = String::with_capacity(BYTES);
    // Into memory: it cannot fail.
    let _ = write!(value, "{} ", written.millis());
    say(before, &mut value);
    for entry in others {
        value.push(NEXT);
        value.extend(entry.id.as_ref()?.as_str().chars().next_back());
        if (entry.at, entry.credits, &entry.label) != (before.at, before.credits, &before.label) {
            say(entry, &mut value);
        }
        before = entry;
    }
    Some([field, value])
}

/// All that is kept of an entry beside its id.
fn say(entry: &Entry, value: &mut String) {
    let label = entry.label.as_ref().map_or("", Label::as_str);
    let _ = write!(value, "{} {} {label}", entry.at.millis(), entry.credits.micros());
}

fn read(field: &str, value: &str) -> Option<KeptIds> {
    let mut parts = value.split(NEXT);
    let (written, first) = parts.next()?.split_once(' ')?;
    let first = read_entry(OperationId::new(field).ok()?, first)?;
    let mut entries = vec![first];
    for part in parts {
        let (digit, said) = part.split_at_checked(1)?;
        let id = OperationId::new(format!("{}{digit}", all_but_last(field)?)).ok()?;
        let entry = match said {
            "" => Entry { id: Some(id), ..entries.last()?.clone() },
            said => read_entry(id, said)?,
        };
        entries.push(entry);
    }
    Some(KeptIds { entries, written: Instant::from_millis(written.parse().ok()?).ok()? })
}

fn read_entry(id: OperationId, said: &str) -> Option<Entry> {
    let mut parts = said.splitn(3, ' ');
    let (at, micros) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let label = read_label(parts.next()?)?;
    Some(Entry { id: Some(id), at: Instant::from_millis(at).ok()?, credits: Credits::from_micros(micros).ok()?, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one block, by its last digit.
    fn made(digit: char) -> String {
        format!("0356BVs9rV4RTSxnkgXwX{digit}")
    }

    fn entry(id: &str, at: i64, label: Option<&str>) -> Entry {
        Entry {
            id: Some(OperationId::new(id).unwrap()),
            at: Instant::from_millis(at).unwrap(),
            credits: "2.5".parse().unwrap(),
            label: label.map(|label| Label::new(label).unwrap()),
        }
    }

    fn written() -> Instant {
        Instant::from_millis(7).unwrap()
    }

    fn kept(fields: &[[String; 2]]) -> Vec<KeptIds> {
        fields.iter().map(|[field, value]| KeptIds::read(field, value).unwrap()).collect()
    }

    #[test]
    fn an_id_of_a_caller_has_a_field_of_its_own() {
        let entries = [
            entry("a b", 5, Some("l m")),
            entry("\u{e9}", 5, None),
            entry(&made('1'), 5, Some(" ")),
            entry(&made('2'), 5, None),
        ];
        let fields = fields_of_given(&entries.iter().collect::<Vec<_>>(), written());
        assert_eq!(fields[..2], [["a b", "7 5 2500000 l m"], ["\u{e9}", "7 5 2500000 "]]);
        assert!(kept(&fields).into_iter().map(|kept| kept.entries).eq(entries.map(|entry| vec![entry])));
        assert!(KeptIds::read("a", "1 2").is_err() && KeptIds::read("a", "7 5 1 \u{1}").is_err());
    }

    #[test]
    fn made_ids_of_a_block_stand_in_one_field_by_the_lowest() {
        let other = "0356BVs9rV4RTSxnkgXwY0";
        let entries = [
            entry(&made('C'), 6, Some("l")),
            entry(&made('2'), 5, None),
            entry(other, 5, None),
            entry(&made('A'), 6, None),
            entry(&made('3'), 5, None),
        ];
        let mut ascending: Vec<&Entry> = entries.iter().collect();
        ascending.sort_by(|one, other| one.id.cmp(&other.id));
        let fields = fields_of_made(&ascending, written());
        let value = "7 5 2500000 \u{1}3\u{1}A6 2500000 \u{1}C6 2500000 l";
        assert_eq!(fields, [[made('2').as_str(), value], [other, "7 5 2500000 "]]);
        let [first, second] = kept(&fields).try_into().unwrap();
        assert_eq!(first.entries, [1, 4, 3, 0].map(|place: usize| entries[place].clone()));
        assert_eq!(second.entries, [entries[2].clone()]);
    }

    #[test]
    fn a_field_without_one_of_its_ids_is_named_by_the_lowest_that_is_left() {
        let entries: Vec<_> = ['0', '1', '2'].map(|digit| entry(&made(digit), 5, None)).into();
        let all = kept(&fields_of_made(&entries.iter().collect::<Vec<_>>(), written())).remove(0);
        let id = |digit| OperationId::new(made(digit)).unwrap();
        for (gone, left) in [('0', "12"), ('1', "02"), ('2', "01")] {
            let named = all.clone().find(&id(gone)).unwrap();
            assert_eq!((&named.entry.id, named.written), (&Some(id(gone)), written()));
            let [field, value] = named.rest().write().unwrap();
            let rest = KeptIds::read(&field, &value).unwrap();
            assert!(rest.entries.iter().map(|entry| entry.id.clone()).eq(left.chars().map(|digit| Some(id(digit)))));
            assert_eq!(field, made(left.chars().next().unwrap()));
        }
        assert!(all.clone().find(&id('F')).is_none());
        let mut none = all;
        none.retain(|_| false);
        assert_eq!(none.write(), None);
    }
}
