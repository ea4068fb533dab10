//! The entries that stand beside the account and not yet in their keys.

use std::fmt::Write;

use quota_core::{Entry, Instant, OperationId, Span};
use quota_service::{StoreError, block_of_made};

use crate::entry_text::corrupt;
use crate::kept_ids::KeptIds;
use crate::keys::{Key, day_of};
use crate::settings::Settings;

/// More bytes than these are not kept beside the account, which every commit writes.
const MAX_BYTES: usize = 1_536;

/// Ends the name of a field: no id holds it, and no value.
const IS: char = '\u{2}';

/// Separates fields.
const END: char = '\u{3}';

/// A field of a key of ids, and its value, as [`KeptIds`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdField {
    pub(crate) key: Key,
    pub(crate) field: String,
    pub(crate) value: String,
}

impl IdField {
    /// When it was written.
    pub(crate) fn written(&self) -> Option<Instant> {
        let (written, _) = self.value.split_once(' ')?;
        Instant::from_millis(written.parse().ok()?).ok()
    }
}

/// What was added last and does not stand in its keys yet: ids, and with entries they themselves. A commit writes the account
/// anyway, so that most need write no other key, and several go to theirs at once.
///
/// Whoever looks for an id looks here first: what is here was written after all that stands in keys. Whoever takes something out puts
/// it in its place before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenEntries {
    /// Each field: a letter for its key, its name, [`IS`], and its value; but when it was written is told as so many milliseconds
    /// after the one before, and the instant is left out where it is the same.
    text: String,
    /// When the last was written.
    written: i64,
    /// Where ids begin of which a batch's receipt is to say whether somebody may ask for them, and when the one before was written.
    /// They were made, all to the end.
    made: Option<(usize, i64)>,
}

impl OpenEntries {
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let mut open = Self { text: text.to_owned(), written: 0, made: None };
        let mut fields = open.fields();
        let are_read = fields.all(|field| field.is_some_and(|field| field.kept().is_some()));
        let written = fields.written;
        if !are_read {
            return Err(corrupt("the newest entries", text));
        }
        open.written = written;
        Ok(open)
    }

    /// Empty where there are none.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes all of them in, or none where there is no room: then they go to their keys, and with them what is here.
    pub(crate) fn add(&mut self, fields: &[IdField]) -> bool {
        let (before, made) = ((self.text.len(), self.written), self.made.take());
        let have_room = self.extend(fields) && self.text.len() <= MAX_BYTES;
        if !have_room {
            self.truncate(before);
            self.made = made;
        } else if fields.iter().all(|field| matches!(field.key, Key::Retries(_))) {
            self.made = made.or(Some(before));
        }
        have_room
    }

    /// Leaves out the made ids that were added since this was last called, if nobody can ask for them; else they stay.
    pub(crate) fn settle_made(&mut self, are_received: bool) {
        if let Some(before) = self.made.take().filter(|_| are_received) {
            self.truncate(before);
        }
    }

    fn truncate(&mut self, (length, written): (usize, i64)) {
        self.text.truncate(length);
        self.written = written;
    }

    /// Takes them in, up to one that belongs to none of the keys that it may belong to.
    pub(crate) fn extend(&mut self, fields: &[IdField]) -> bool {
        self.made = None;
        fields.iter().all(|field| self.push(field).is_some())
    }

    fn push(&mut self, IdField { key, field, value }: &IdField) -> Option<()> {
        let (written, rest) = value.split_once(' ')?;
        let (at, rest) = rest.split_once(' ')?;
        let millis = written.parse::<i64>().ok()?;
        let letter = letter_of(*key, millis, at.parse().ok()?)?;
        if !self.text.is_empty() {
            self.text.push(END);
        }
        let later = millis.checked_sub(self.written)?;
        let at = if at == written { "" } else { at };
        // Into memory: it cannot fail.
        let _ = write!(self.text, "{letter}{field}{IS}{later} {at} {rest}");
        self.written = millis;
        Some(())
    }

    /// The field that tells of an id, and the key that it belongs to.
    pub(crate) fn find(&self, id: &OperationId) -> Option<(Key, KeptIds)> {
        let block = block_of_made(id);
        let may_tell =
            |field: &Field<'_>| field.name == id.as_str() || block.is_some_and(|block| field.name.starts_with(block));
        let kept = self.fields().flatten().filter(may_tell).filter_map(|field| Some((field.key()?, field.kept()?)));
        // The newest: an id may be written anew when it is remembered no longer.
        kept.filter(|(_, kept)| kept.entries().iter().any(|entry| entry.id.as_ref() == Some(id))).last()
    }

    /// Forgets a field of this name: it is written anew.
    pub(crate) fn forget(&mut self, key: Key, name: &str) {
        let is_it = |field: &IdField| (field.key, field.field.as_str()) == (key, name);
        if self.fields().flatten().filter_map(Field::own).any(|field| is_it(&field)) {
            let rest: Vec<IdField> = self.take().into_iter().filter(|field| !is_it(field)).collect();
            self.extend(&rest);
        }
    }

    /// Whether any was written before an instant, or counts there.
    pub(crate) fn reach_before(&self, before: Instant) -> bool {
        let is_before = |kept: KeptIds| kept.written < before || kept.entries().iter().any(|entry| entry.at < before);
        self.fields().flatten().filter_map(|field| field.kept()).any(is_before)
    }

    /// The entries of a span.
    pub(crate) fn within(&self, (from, to): Span) -> impl Iterator<Item = Entry> + '_ {
        self.entries().into_iter().filter(move |entry| (from..to).contains(&entry.at.millis()))
    }

    /// The entries, as they were added.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let kept = self.fields().flatten().filter_map(|field| field.kept());
        kept.flat_map(|kept| kept.entries().to_vec()).collect()
    }

    /// Their ids, and the keys that these belong to.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (Key, OperationId)> + '_ {
        let kept = self.fields().flatten().filter_map(|field| Some((field.key()?, field.kept()?)));
        kept.flat_map(|(key, kept)| {
            let ids: Vec<_> = kept.entries().iter().filter_map(|entry| entry.id.clone()).collect();
            ids.into_iter().map(move |id| (key, id))
        })
    }

    /// All of them, the oldest first.
    pub(crate) fn take(&mut self) -> Vec<IdField> {
        let open = std::mem::take(self);
        open.fields().flatten().filter_map(Field::own).collect()
    }

    fn fields(&self) -> Fields<'_> {
        Fields { rest: (!self.text.is_empty()).then_some(&self.text), written: 0 }
    }
}

/// The fields of a text; none is what cannot be read.
struct Fields<'a> {
    rest: Option<&'a str>,
    written: i64,
}

/// A field as it stands in the text, and when it was written.
struct Field<'a> {
    letter: char,
    name: &'a str,
    written: i64,
    at: i64,
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let (part, rest) = rest.split_once(END).map_or((rest, None), |(part, rest)| (part, Some(rest)));
        self.rest = rest;
        let field = Field::read(part, self.written);
        self.written = field.as_ref().map_or(self.written, |field| field.written);
        Some(field)
    }
}

impl<'a> Field<'a> {
    fn read(part: &'a str, before: i64) -> Option<Self> {
        let (name, value) = part.split_once(IS)?;
        let mut letters = name.chars();
        let letter = letters.next()?;
        let (later, value) = value.split_once(' ')?;
        let (at, rest) = value.split_once(' ')?;
        let written = before.checked_add(later.parse().ok()?)?;
        let at = if at.is_empty() { written } else { at.parse().ok()? };
        Some(Self { letter, name: letters.as_str(), written, at, rest })
    }

    fn key(&self) -> Option<Key> {
        keys_of(self.written, self.at).into_iter().find(|(letter, _)| *letter == self.letter).map(|(_, key)| key)
    }

    fn value(&self) -> String {
        format!("{} {} {}", self.written, self.at, self.rest)
    }

    fn kept(&self) -> Option<KeptIds> {
        self.key()?;
        KeptIds::read(self.name, &self.value()).ok()
    }

    fn own(self) -> Option<IdField> {
        Some(IdField { key: self.key()?, field: self.name.to_owned(), value: self.value() })
    }
}

/// The keys that a field may belong to: of the day or the ten minutes that it was written in, or of the day of its entry.
fn keys_of(written: i64, at: i64) -> [(char, Key); 3] {
    let retries = Settings::retries_of(Instant::from_millis(written).unwrap_or(Instant::MIN));
    [('i', Key::Ids(day_of(written))), ('r', Key::Retries(retries)), ('e', Key::Ids(day_of(at)))]
}

fn letter_of(key: Key, written: i64, at: i64) -> Option<char> {
    keys_of(written, at).into_iter().find(|(_, other)| *other == key).map(|(letter, _)| letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept_ids::{fields_of_given, fields_of_made};
    use crate::keys::DAY_MILLIS;

    const NOON: i64 = 1_710_504_000_000;

    fn entry(id: &str, at: i64) -> Entry {
        let (id, at) = (OperationId::new(id).unwrap(), Instant::from_millis(at).unwrap());
        let label = quota_core::Label::new("l m").unwrap();
        Entry { id: Some(id), at, credits: "2.5".parse().unwrap(), label: Some(label) }
    }

    fn fields(entries: &[Entry], written: i64, key: fn(i64, i64) -> Key) -> Vec<IdField> {
        let kept = fields_of_given(&entries.iter().collect::<Vec<_>>(), Instant::from_millis(written).unwrap());
        let fields = kept.into_iter().zip(entries);
        fields.map(|([field, value], entry)| IdField { key: key(written, entry.at.millis()), field, value }).collect()
    }

    fn by_entry(_: i64, at: i64) -> Key {
        Key::Ids(day_of(at))
    }

    fn by_day(written: i64, _: i64) -> Key {
        Key::Ids(day_of(written))
    }

    fn id(text: &str) -> OperationId {
        OperationId::new(text).unwrap()
    }

    #[test]
    fn fields_are_read_and_taken_as_they_were_added_in_whatever_order_of_time() {
        let mut open = OpenEntries::default();
        let mut all = Vec::new();
        for (written, at) in [(NOON, NOON), (NOON + 7, NOON - 3 * DAY_MILLIS), (NOON - 5, NOON), (NOON - 5, NOON - 5)] {
            for key in [by_day, by_entry] {
                let some = fields(&[entry(&format!("id {written} {at}"), at)], written, key);
                assert!(open.add(&some));
                all.extend(some);
                assert_eq!(OpenEntries::read(open.as_str()).unwrap(), open);
            }
        }
        assert_eq!((open.take(), open.is_empty()), (all, true));
        assert_eq!(OpenEntries::read("").unwrap(), OpenEntries::default());
        for text in
            ["x", "ia", "ia\u{2}", "ia\u{2}1  5", "xa\u{2}1  5 ", "ia\u{2}x  5 ", "ia\u{2}1  5 l\u{3}", "i\u{2}1  5 l"]
        {
            assert!(OpenEntries::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_added_no_part_of() {
        let mut open = OpenEntries::default();
        let some =
            |count: usize| -> Vec<Entry> { (0..count).map(|number| entry(&format!("id {number}"), NOON)).collect() };
        assert!(!open.add(&fields(&some(100), NOON, by_day)) && open.is_empty());
        assert!(open.add(&fields(&some(3), NOON, by_day)));
        let before = open.clone();
        assert!(!open.add(&fields(&some(90), NOON + 1, by_day)));
        assert_eq!(open, before);
        assert!(open.add(&fields(&[entry("x", NOON + 9)], NOON + 9, by_day)));
        assert_eq!(open.take().len(), 4);
        let foreign = fields(&[entry("x", NOON)], NOON, |_, _| Key::Ids(7));
        assert!(!open.add(&foreign) && open.is_empty());
    }

    #[test]
    fn an_id_is_found_where_it_was_written_last() {
        let mut open = OpenEntries::default();
        open.add(&fields(&[entry("a", NOON), entry("ab", NOON)], NOON, by_day));
        open.add(&fields(&[entry("a", NOON + DAY_MILLIS)], NOON + DAY_MILLIS, by_day));
        let written = |name: &str| open.find(&id(name)).map(|(key, kept)| (key, kept.written.millis()));
        assert_eq!(written("a"), Some((by_day(NOON + DAY_MILLIS, 0), NOON + DAY_MILLIS)));
        assert_eq!(written("ab"), Some((by_day(NOON, 0), NOON)));
        assert_eq!(written("b"), None);
        open.forget(by_day(NOON, 0), "a");
        assert_eq!(open.find(&id("a")).unwrap().1.written.millis(), NOON + DAY_MILLIS);
        open.forget(by_day(NOON + DAY_MILLIS, 0), "a");
        assert!(open.find(&id("a")).is_none() && open.find(&id("ab")).is_some());
    }

    #[test]
    fn a_made_id_is_found_in_the_field_of_its_block() {
        let made = |digit: char| format!("2w0EtBRXJNlgP5SXU7QNt{digit}");
        let entries = ['1', '4'].map(|digit| entry(&made(digit), NOON));
        let now = Instant::from_millis(NOON).unwrap();
        let retries = Key::Retries(Settings::retries_of(now));
        let kept = fields_of_made(&entries.iter().collect::<Vec<_>>(), now).into_iter();
        let mut open = OpenEntries::default();
        assert!(open.add(&kept.map(|[field, value]| IdField { key: retries, field, value }).collect::<Vec<_>>()));
        let found = |digit| open.find(&id(&made(digit))).map(|(key, kept)| (key, kept.entries().len()));
        assert_eq!(['0', '1', '2', '4', '5'].map(found), [None, Some((retries, 2)), None, Some((retries, 2)), None]);
        assert_eq!(open.within((NOON, NOON + 1)).collect::<Vec<_>>(), entries);
        assert_eq!((open.within((NOON + 1, i64::MAX)).count(), open.within((i64::MIN, NOON)).count()), (0, 0));
    }

    #[test]
    fn made_ids_are_left_out_where_nobody_can_ask_for_them() {
        let now = Instant::from_millis(NOON).unwrap();
        let made = |digit: char| {
            let entry = entry(&format!("2w0EtBRXJNlgP5SXU7QNt{digit}"), NOON);
            let field =
                |[field, value]: [String; 2]| IdField { key: Key::Retries(Settings::retries_of(now)), field, value };
            fields_of_made(&[&entry], now).into_iter().map(field).collect::<Vec<_>>()
        };
        let given = |name: &str| fields(&[entry(name, NOON)], NOON, by_day);
        let named =
            |open: &OpenEntries| -> Vec<String> { open.clone().take().into_iter().map(|field| field.field).collect() };
        let mut open = OpenEntries::default();
        assert!(open.add(&given("a")));
        let before = open.clone();
        assert!(open.add(&made('1')) && open.add(&made('2')));
        open.settle_made(true);
        assert_eq!(open, before);
        assert!(open.add(&made('3')));
        open.settle_made(false);
        assert!(open.add(&made('4')));
        open.settle_made(true);
        assert_eq!(named(&open).len(), 2, "the third stays");
        // Something else behind them keeps them.
        assert!(open.add(&made('5')) && open.add(&given("b")));
        open.settle_made(true);
        assert_eq!(named(&open).len(), 4);
        // What has no room changes nothing.
        assert!(open.add(&made('6')));
        let crowd: Vec<IdField> = (0..100).flat_map(|number| given(&format!("id {number}"))).collect();
        assert!(!open.add(&crowd));
        open.settle_made(true);
        assert_eq!(named(&open).len(), 4);
        open.settle_made(true);
        assert_eq!(OpenEntries::read(open.as_str()).unwrap(), open);
    }

    #[test]
    fn what_reaches_before_an_instant_was_written_or_counts_there() {
        let mut open = OpenEntries::default();
        open.add(&fields(&[entry("a", NOON - 5)], NOON, by_day));
        let reach = |millis: i64| open.reach_before(Instant::from_millis(millis).unwrap());
        assert!(!reach(NOON - 5) && reach(NOON - 4) && !OpenEntries::default().reach_before(Instant::MAX));
    }
}
