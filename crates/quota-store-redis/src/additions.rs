//! What a commit adds.

use std::collections::{BTreeMap, HashSet};

use quota_core::{Cut, Detail, Entry, Instant, OperationId};
use quota_service::may_be_made;

use crate::entry_text::member;
use crate::facts::KnownIds;
use crate::kept_ids::{fields_of_given, fields_of_made};
use crate::keys::{Key, day_of};
use crate::script::Call;
use crate::settings::Settings;
use crate::stored::Memory;
use crate::sum_text::{QuarterKey, Sum, fields_of};

/// The entries that a commit adds, and how they are written.
pub(crate) struct Additions<'a> {
    pub(crate) entries: &'a [Entry],
    /// Ids that look like those that were made for callers who gave none, and are kept as given ones are.
    pub(crate) lasting: &'a HashSet<OperationId>,
    pub(crate) known: &'a KnownIds,
    /// The account's present.
    pub(crate) written: Instant,
}

impl Additions<'_> {
    /// Adds them to sums, ids and entries, and to what the account remembers of these.
    pub(crate) fn write(&self, call: &mut Call, memory: &mut Memory, settings: &Settings) {
        let mut sums: BTreeMap<QuarterKey, Sum> = BTreeMap::new();
        let mut ids: BTreeMap<Key, Vec<&Entry>> = BTreeMap::new();
        let mut members: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for entry in self.entries {
            let (at, micros) = (entry.at.millis(), entry.credits.micros());
            let label = memory.labels.place(entry.label.as_ref()).to_owned();
            sums.entry((Cut::floor(at), label)).or_default().add(Sum { micros, entries: 1 });
            if settings.detail == Detail::Entries {
                members.entry(day_of(at)).or_default().extend(["0".to_owned(), member(entry)]);
            }
            if let Some(id) = &entry.id {
                let key = self.key_of_id(id, at, settings.detail);
                if let Some(written) = self.known.forgotten_in(key, id) {
                    // It is written in its place.
                    memory.ids.subtract(settings.hour_of_id(written), 1);
                }
                ids.entry(key).or_default().push(entry);
            }
        }
        if let Some(horizon) = settings.horizon(self.written) {
            memory.open.remove((i64::MIN, horizon));
        }
        let closed = memory.open.add(sums);
        self.write_sums(&closed, call, memory, settings);
        for (key, entries) in ids {
            self.write_ids(key, entries, call, memory, settings);
        }
        for (day, words) in members {
            memory.entries.insert(day);
            match settings.expiry_of_day(day, self.written) {
                Some(expiry) => call.add_for_a_while(Key::Entries(day), &expiry, &words),
                None => call.command("ZADD", Key::Entries(day), words),
            }
        }
    }

    fn key_of_id(&self, id: &OperationId, at: i64, detail: Detail) -> Key {
        match detail {
            Detail::Entries => Key::Ids(day_of(at)),
            Detail::Quarters if self.is_lasting(id) => Key::Ids(day_of(self.written.millis())),
            Detail::Quarters => Key::Retries(Settings::retries_of(self.written)),
        }
    }

    fn is_lasting(&self, id: &OperationId) -> bool {
        self.lasting.contains(id) || !may_be_made(id)
    }

    fn write_sums(&self, sums: &BTreeMap<QuarterKey, Sum>, call: &mut Call, memory: &mut Memory, settings: &Settings) {
        let mut days: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for ((quarter, label), sum) in sums {
            let [credits, count] = fields_of(*quarter, label);
            let words = [credits, sum.micros.to_string(), count, sum.entries.to_string()];
            days.entry(day_of(*quarter)).or_default().extend(words);
        }
        for (day, words) in days {
            call.increment(Key::Sums(day), words);
            memory.days.insert(day);
            // The day may have been written to long ago, and its key have expired since.
            if let Some(expiry) = settings.expiry_of_day(day, self.written) {
                call.command("PEXPIRE", Key::Sums(day), vec![expiry]);
            }
        }
    }

    fn write_ids(&self, key: Key, entries: Vec<&Entry>, call: &mut Call, memory: &mut Memory, settings: &Settings) {
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let words = match key {
            Key::Retries(_) => fields_of_made(entries, self.written),
            _ => fields_of_given(&entries, self.written),
        };
        let expiry = match (key, settings.detail) {
            (Key::Ids(_), Detail::Quarters) => {
                let hour = settings.first_hour_of_ids(self.written);
                // One more is kept for clocks that are behind: a backfill does not move the account's time.
                memory.ids.forget_before(hour.saturating_sub(1));
                memory.ids.add(settings.hour_of_id(self.written), count);
                Some(settings.expiry_of_ids())
            }
            (Key::Ids(day), Detail::Entries) => settings.expiry_of_day(day, self.written),
            _ => Some(Settings::expiry_of_retries()),
        };
        match expiry {
            Some(expiry) => call.set_for_a_while(key, &expiry, &words),
            None => call.command("HSET", key, words),
        }
    }
}
