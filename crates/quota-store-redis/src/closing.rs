//! Entries that are put into their keys.

use std::collections::BTreeMap;

use quota_core::{Detail, Entry, Instant};
use quota_service::StoreError;

use crate::entry_text::member;
use crate::kept_ids::KeptIds;
use crate::keys::{Key, day_of};
use crate::open_entries::{IdField, OpenEntries};
use crate::script::Call;
use crate::settings::Settings;

/// Fields of keys of ids, and with entries members of days, that one commit puts into their keys.
pub(crate) struct Closing<'a> {
    settings: &'a Settings,
    /// The account's present.
    now: Instant,
    words: BTreeMap<Key, Vec<String>>,
}

/// Words of so many fields that a key which is given as many more times is searched for long, as a server keeps it by default.
const MANY: usize = 2 * 8;

/// Values of up to so many bytes are kept, with their fields, in one text that is searched from its beginning, until there are 512 of them.
const SHORT: usize = 64;

/// Makes a value so long that the server keeps its hash as a table from then on: a field is added without a search. The number that it begins
/// with stays the same.
fn lengthen(value: &mut String) {
    if value.starts_with(|first: char| first.is_ascii_digit()) {
        let missing = (SHORT + 1).saturating_sub(value.len());
        value.insert_str(0, &"0".repeat(missing));
    }
}

impl<'a> Closing<'a> {
    pub(crate) const fn new(settings: &'a Settings, now: Instant) -> Self {
        Self { settings, now, words: BTreeMap::new() }
    }

    /// What stands beside the account.
    pub(crate) fn take(&mut self, open: &mut OpenEntries) -> Result<(), StoreError> {
        for field in open.take() {
            if self.settings.detail == Detail::Entries {
                KeptIds::read(&field.field, &field.value)?.entries().iter().for_each(|entry| self.entry(entry));
            }
            self.id(field);
        }
        Ok(())
    }

    pub(crate) fn id(&mut self, IdField { key, field, value }: IdField) {
        if !self.settings.is_past(key, self.now) {
            self.words.entry(key).or_default().extend([field, value]);
        }
    }

    /// With entries: a member of its day.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        let key = Key::Entries(day_of(entry.at.millis()));
        self.words.entry(key).or_default().extend(["0".to_owned(), member(entry)]);
    }

    pub(crate) fn write(self, call: &mut Call) {
        for (key, mut words) in self.words {
            if matches!(key, Key::Ids(_)) && words.len() >= MANY {
                words.get_mut(1).into_iter().for_each(lengthen);
            }
            let expiry = match (key, self.settings.detail) {
                (Key::Retries(_), _) => Some(Settings::expiry_of_retries()),
                (Key::Ids(_), Detail::Quarters) => Some(self.settings.expiry_of_ids()),
                (Key::Ids(day) | Key::Entries(day), _) => self.settings.expiry_of_day(day, self.now),
                (Key::Account | Key::Sums(_), _) => None,
            };
            match (key, expiry) {
                (Key::Entries(_), Some(expiry)) => call.add_for_a_while(key, &expiry, words),
                (Key::Entries(_), None) => call.command("ZADD", key, words),
                (_, Some(expiry)) => call.set_for_a_while(key, &expiry, words),
                (_, None) => call.command("HSET", key, words),
            }
        }
    }
}
