//! What a commit takes out.

use std::collections::BTreeMap;

use quota_core::{Cut, Detail, Entry, Instant, OperationId, Removal, Span, Window};
use quota_service::StoreError;

use crate::call_error::CallError;
use crate::entry_text::{bound, corrupt, member, read_id_value, read_member};
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::link::Wire;
use crate::reading::{command, cut, members_in};
use crate::script::Call;
use crate::settings::Settings;
use crate::stored::Memory;
use crate::sum_text::{QuarterKey, Sum, fields_of, read_day};
use crate::values::{fields, texts};

/// Where one client's entries are taken out.
///
/// What has to be read for it is read beside the account's version; the commit on that version makes it true.
pub(crate) struct Removing<'a> {
    pub(crate) wire: &'a Wire,
    pub(crate) keys: &'a ClientKeys,
    pub(crate) settings: &'a Settings,
    /// The account's present.
    pub(crate) now: Instant,
}

impl Removing<'_> {
    /// `key_of_id` is where the one entry's id was found.
    pub(crate) async fn write(
        &self,
        removal: &Removal,
        key_of_id: Option<Key>,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        match removal {
            Removal::Entry(entry) => {
                self.one(entry, key_of_id, call, memory);
                Ok(())
            }
            Removal::Range(range) => self.range(*range, call, memory).await,
        }
    }

    fn one(&self, entry: &Entry, key_of_id: Option<Key>, call: &mut Call, memory: &mut Memory) {
        take_from_sums([entry], call, memory);
        if self.settings.detail == Detail::Entries {
            call.command("ZREM", Key::Entries(day_of(entry.at.millis())), vec![member(entry)]);
        }
        if let (Some(id), Some(key)) = (&entry.id, key_of_id) {
            call.command("HDEL", key, vec![id.as_str().to_owned()]);
            if let Key::Ids(day) = key {
                memory.ids.subtract(day, 1);
            }
        }
    }

    async fn range(&self, range: Window, call: &mut Call, memory: &mut Memory) -> Result<(), StoreError> {
        let (quarters, _) = cut(range, self.settings.detail, memory.folded_until);
        let whole = (quarters.0.saturating_add(DAY_MILLIS - 1).div_euclid(DAY_MILLIS), day_of(quarters.1));
        let days: Vec<i64> = memory.days.between(day_of(quarters.0), day_of(quarters.1)).collect();
        memory.open.remove(quarters);
        let whole_days: Vec<i64> = memory.entries.between(whole.0, whole.1.saturating_sub(1)).collect();
        for day in whole_days {
            call.command("UNLINK", Key::Entries(day), Vec::new());
            call.command("UNLINK", Key::Ids(day), Vec::new());
            memory.entries.remove(day);
        }
        for day in days {
            if whole.0 <= day && day < whole.1 {
                call.command("UNLINK", Key::Sums(day), Vec::new());
                memory.days.remove(day);
            } else if quarters.0 < quarters.1 {
                self.quarters_of_day(day, quarters, call, memory).await?;
            }
        }
        if self.settings.detail == Detail::Entries {
            return self.entries_of_days(range, quarters, call, memory).await;
        }
        self.ids_in(range, call, memory).await
    }

    /// Drops the sums of the quarters of one day that lie in the span.
    async fn quarters_of_day(
        &self,
        day: i64,
        span: Span,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let value = self.wire.call(&command("HGETALL", self.keys, Key::Sums(day))).await;
        let all = fields(value.map_err(CallError::of_read)?)?;
        let gone = read_day(day, all.clone(), span)?;
        let words: Vec<String> = gone.keys().flat_map(|(quarter, label)| fields_of(*quarter, label)).collect();
        if words.len() == all.len() {
            memory.days.remove(day);
        }
        if !words.is_empty() {
            call.command("HDEL", Key::Sums(day), words);
        }
        Ok(())
    }

    /// Takes out the entries of the range that are still there, in days that do not go whole, with their ids; from the
    /// sums those beside the whole quarters.
    async fn entries_of_days(
        &self,
        range: Window,
        quarters: Span,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let (from, to) = (range.start().millis(), range.end().millis());
        let days: Vec<i64> = memory.entries.between(day_of(from), day_of(to)).collect();
        for day in days {
            let start = day.saturating_mul(DAY_MILLIS);
            let span = (from.max(start), to.min(start.saturating_add(DAY_MILLIS)));
            if span.0 >= span.1 {
                continue;
            }
            let value = self.wire.call(&members_in(self.keys, span)).await;
            let members = texts(value.map_err(CallError::of_read)?)?;
            let entries: Result<Vec<Entry>, StoreError> =
                members.iter().map(|member| Ok(read_member(day, member)?.1)).collect();
            let entries = entries?;
            if entries.is_empty() {
                continue;
            }
            let is_cut = |entry: &&Entry| !(quarters.0..quarters.1).contains(&entry.at.millis());
            take_from_sums(entries.iter().filter(is_cut), call, memory);
            let ids: Vec<String> =
                entries.iter().filter_map(|entry| entry.id.as_ref()).map(|id| id.as_str().to_owned()).collect();
            if !ids.is_empty() {
                call.command("HDEL", Key::Ids(day), ids);
            }
            let bounds = vec![format!("[{}", bound(day, span.0)), format!("({}", bound(day, span.1))];
            call.command("ZREMRANGEBYLEX", Key::Entries(day), bounds);
        }
        Ok(())
    }

    /// Frees the ids of entries in a range: with quarters they stand where they were written.
    async fn ids_in(&self, range: Window, call: &mut Call, memory: &mut Memory) -> Result<(), StoreError> {
        let retries = Settings::retries_of(self.now);
        let days = memory.ids.days_since(i64::MIN).map(Key::Ids);
        let keys: Vec<Key> = days.chain([retries, retries.saturating_sub(1)].map(Key::Retries)).collect();
        for key in keys {
            let value = self.wire.call(&command("HGETALL", self.keys, key)).await;
            let mut gone = Vec::new();
            for (id, value) in fields(value.map_err(CallError::of_read)?)? {
                let id = OperationId::new(&id).map_err(|_| corrupt("an id", &id))?;
                if range.contains(read_id_value(&id, &value)?.entry.at) {
                    gone.push(id.as_str().to_owned());
                }
            }
            if gone.is_empty() {
                continue;
            }
            if let Key::Ids(day) = key {
                memory.ids.subtract(day, u64::try_from(gone.len()).unwrap_or(u64::MAX));
            }
            call.command("HDEL", key, gone);
        }
        Ok(())
    }
}

/// Takes entries out of their quarters' sums.
fn take_from_sums<'a>(entries: impl IntoIterator<Item = &'a Entry>, call: &mut Call, memory: &mut Memory) {
    let mut sums: BTreeMap<QuarterKey, Sum> = BTreeMap::new();
    for entry in entries {
        let label = memory.labels.counted(entry.label.as_ref()).to_owned();
        let sum = Sum { micros: entry.credits.micros(), entries: 1 };
        sums.entry((Cut::floor(entry.at.millis()), label)).or_default().add(sum);
    }
    for (key, sum) in sums {
        if let Some(change) = memory.open.subtract(&key, sum) {
            let (quarter, label) = key;
            let [credits, count] = fields_of(quarter, &label);
            let words = vec![credits, change.micros.to_string(), count, change.entries.to_string()];
            call.increment(Key::Sums(day_of(quarter)), words);
        }
    }
}
