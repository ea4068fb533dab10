//! What a commit adds.

use std::collections::{BTreeMap, HashSet};

use quota_core::{Detail, Entry, Instant, OperationId};
use quota_service::{StoreError, may_be_made};

use crate::closing::Closing;
use crate::facts::KnownIds;
use crate::kept_ids::{fields_of_given, fields_of_made};
use crate::keys::{Key, day_of};
use crate::open_entries::{IdField, OpenEntries};
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
    /// They may stand beside the account for a while.
    pub(crate) may_be_open: bool,
}

impl Additions<'_> {
    /// Adds them to sums, ids and entries, and to what the account remembers of these. Where they stand beside the account and nothing else is
    /// done to what stands there, gives them as they do.
    pub(crate) fn write(
        &self,
        call: &mut Call,
        memory: &mut Memory,
        settings: &Settings,
    ) -> Result<Option<OpenEntries>, StoreError> {
        // What has no id is told of by no field.
        let mut is_plain = self.entries.iter().all(|entry| entry.id.is_some());
        let adds_ids = self.entries.iter().filter_map(|entry| entry.id.as_ref()).any(|id| self.is_lasting(id));
        is_plain &= !(adds_ids && memory.forget_ids(self.written, settings));
        let mut ids: BTreeMap<Key, Vec<&Entry>> = BTreeMap::new();
        for (entry, id) in self.entries.iter().filter_map(|entry| Some((entry, entry.id.as_ref()?))) {
            let key = self.key_of_id(id, entry.at.millis(), settings.detail);
            if let Some(written) = self.known.forgotten_in(key, id) {
                // It is written in its place.
                memory.ids.subtract(settings.hour_of_id(written), 1);
                memory.open_entries.forget(key, id.as_str());
                is_plain = false;
            }
            ids.entry(key).or_default().push(entry);
        }
        for (_, entries) in ids.iter_mut().filter(|(key, _)| matches!(key, Key::Retries(_))) {
            // They mostly are in order, which this sort makes use of.
            entries.sort_by(|one, other| one.id.cmp(&other.id));
        }
        if let Some(horizon) = settings.horizon(self.written) {
            is_plain &= !memory.open_sums.remove((i64::MIN, horizon));
        }
        // In the order in which they are read again.
        let with_ids = ids.values().flatten().copied();
        let closed =
            memory.count(with_ids.chain(self.entries.iter().filter(|entry| entry.id.is_none())), settings.detail);
        is_plain &= closed.is_empty();
        self.write_sums(&closed, call, memory, settings);
        let open = self.write_entries(&ids, call, memory, settings)?;
        Ok(open.filter(|_| is_plain))
    }

    fn key_of_id(&self, id: &OperationId, at: i64, detail: Detail) -> Key {
        match detail {
            Detail::Quarters if !self.is_lasting(id) => Key::Retries(Settings::retries_of(self.written)),
            detail => key_of_given(at, self.written, detail),
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

    /// Beside the account, where they have room there and each has an id; else in their keys, with what was beside the account.
    fn write_entries(
        &self,
        ids: &BTreeMap<Key, Vec<&Entry>>,
        call: &mut Call,
        memory: &mut Memory,
        settings: &Settings,
    ) -> Result<Option<OpenEntries>, StoreError> {
        let mut fields = Vec::new();
        for (key, entries) in ids {
            memory.count_ids(*key, entries.len(), self.written, settings);
            let words = match key {
                Key::Retries(_) => fields_of_made(entries, self.written),
                _ => fields_of_given(entries, self.written),
            };
            fields.extend(words.into_iter().map(|[field, value]| IdField { key: *key, field, value }));
        }
        let are_told = settings.detail == Detail::Quarters || self.entries.iter().all(|entry| entry.id.is_some());
        let mut open = OpenEntries::default();
        if self.may_be_open && are_told && memory.open_entries.add(&fields) && open.extend(&fields) {
            return Ok(Some(open));
        }
        let mut closing = Closing::new(settings, self.written);
        closing.take(&mut memory.open_entries)?;
        fields.into_iter().for_each(|field| closing.id(field));
        if settings.detail == Detail::Entries {
            self.entries.iter().for_each(|entry| closing.entry(entry));
        }
        closing.write(call);
        Ok(None)
    }
}

/// The key that a caller's own id stands in.
pub(crate) const fn key_of_given(at: i64, written: Instant, detail: Detail) -> Key {
    match detail {
        Detail::Entries => Key::Ids(day_of(at)),
        Detail::Quarters => Key::Ids(day_of(written.millis())),
    }
}
