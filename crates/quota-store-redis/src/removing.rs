//! What a commit takes out.

use std::collections::BTreeMap;

use quota_core::{Cut, Detail, Entry, Instant, Removal, Span, Window};
use quota_service::StoreError;

use crate::at_version::AtVersion;
use crate::dead_entries::{ENTRIES_AT_ONCE, parts_of};
use crate::entry_text::{bound, member, read_member};
use crate::kept_ids::{KeptIds, Named};
use crate::keys::{DAY_MILLIS, Key, day_of};
use crate::reading::{Pages, command, count_in, cut, members_in, newest_in};
use crate::script::Call;
use crate::settings::Settings;
use crate::stored::Memory;
use crate::sum_text::{QuarterKey, Sum, fields_of, read_day};
use crate::values::{count, fields, texts};

/// Where one client's entries are taken out.
pub(crate) struct Removing<'a> {
    /// What has to be read for it; the commit on that version makes it true.
    pub(crate) at: &'a AtVersion<'a>,
    pub(crate) settings: &'a Settings,
    /// The account's present.
    pub(crate) now: Instant,
}

impl Removing<'_> {
    /// `found` is where the one entry's id stands, and what is kept with it.
    pub(crate) async fn write(
        &self,
        removal: &Removal,
        found: Option<&(Key, Named)>,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        match removal {
            Removal::Entry(entry) => self.one(entry, found, call, memory).await,
            Removal::Range(range) => self.range(*range, call, memory).await,
        }
    }

    async fn one(
        &self,
        entry: &Entry,
        found: Option<&(Key, Named)>,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        let mut sums = BTreeMap::new();
        tally(&mut sums, [entry], memory);
        self.take_from_sums(sums, call, memory).await?;
        if self.settings.detail == Detail::Entries {
            call.command("ZREM", Key::Entries(day_of(entry.at.millis())), vec![member(entry)]);
        }
        if let (Some(id), Some((key, named))) = (&entry.id, found) {
            // With others of its block it stands in the field of the lowest.
            let lowest = named.others.first().and_then(|other| other.id.as_ref()).map_or(id, |other| other.min(id));
            let mut fields = Fields::default();
            fields.replace(lowest.as_str(), named.rest().write());
            fields.write(*key, call);
            self.uncount(*key, named.written, memory);
        }
        Ok(())
    }

    async fn range(&self, range: Window, call: &mut Call, memory: &mut Memory) -> Result<(), StoreError> {
        let (quarters, edges) = cut(range, self.settings.detail, memory.folded_until);
        let whole = (quarters.0.saturating_add(DAY_MILLIS - 1).div_euclid(DAY_MILLIS), day_of(quarters.1));
        let days: Vec<i64> = memory.days.between(day_of(quarters.0), day_of(quarters.1)).collect();
        memory.open_sums.remove(quarters);
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
            return self.entries_of_days(range, &edges, call, memory).await;
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
        let all = fields(self.at.read(command("HGETALL", self.at.keys, Key::Sums(day))).await?)?;
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

    /// Takes out the entries of the range that are still there, in days that do not go whole, with their ids: at once where
    /// they are few; else it is noted that they are dead. Those beside the whole quarters are taken from the sums.
    async fn entries_of_days(
        &self,
        range: Window,
        edges: &[Span],
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        for edge in edges {
            let (mut pages, mut sums) = (Pages::new(self.at, *edge), BTreeMap::new());
            while let Some(entries) = pages.next().await? {
                tally(&mut sums, &entries, memory);
            }
            self.take_from_sums(sums, call, memory).await?;
        }
        let span = (range.start().millis(), range.end().millis());
        let parts = parts_of(span, memory);
        let commands: Vec<_> = parts.iter().map(|part| count_in(self.at.keys, *part)).collect();
        let counts = self.at.read_all(&commands).await?;
        if counts.iter().map(count).fold(0, u64::saturating_add) > ENTRIES_AT_ONCE {
            memory.dead = Some((span.0, self.after_newest(&parts).await?));
            return Ok(());
        }
        for part in parts {
            let (day, entries) = (day_of(part.0), self.entries_in(part).await?);
            let ids: Vec<String> =
                entries.iter().filter_map(|entry| entry.id.as_ref()).map(|id| id.as_str().to_owned()).collect();
            if !ids.is_empty() {
                call.command("HDEL", Key::Ids(day), ids);
            }
            if !entries.is_empty() {
                let bounds = vec![format!("[{}", bound(day, part.0)), format!("({}", bound(day, part.1))];
                call.command("ZREMRANGEBYLEX", Key::Entries(day), bounds);
            }
        }
        Ok(())
    }

    /// The few entries of a span within one day.
    async fn entries_in(&self, span: Span) -> Result<Vec<Entry>, StoreError> {
        let members = self.at.read(members_in(self.at.keys, span)).await?;
        texts(members)?.iter().map(|member| Ok(read_member(day_of(span.0), member)?.1)).collect()
    }

    /// The millisecond after the newest entry of these parts of days. Those that come later are none of it, wherever the range
    /// ends.
    async fn after_newest(&self, parts: &[Span]) -> Result<i64, StoreError> {
        for part in parts.iter().rev() {
            if let Some(member) = texts(self.at.read(newest_in(self.at.keys, *part)).await?)?.first() {
                return Ok(read_member(day_of(part.0), member)?.1.at.millis().saturating_add(1));
            }
        }
        Ok(i64::MIN)
    }

    /// Frees the ids of entries in a range: with quarters they stand where they were written.
    async fn ids_in(&self, range: Window, call: &mut Call, memory: &mut Memory) -> Result<(), StoreError> {
        let retries = Settings::retries_of(self.now);
        let days = memory.ids.days_since(i64::MIN).map(Key::Ids);
        let keys: Vec<Key> = days.chain([retries, retries.saturating_sub(1)].map(Key::Retries)).collect();
        for key in keys {
            let mut changed = Fields::default();
            for (field, value) in fields(self.at.read(command("HGETALL", self.at.keys, key)).await?)? {
                let mut kept = KeptIds::read(&field, &value)?;
                let before = kept.entries().len();
                kept.retain(|entry| !range.contains(entry.at));
                if kept.entries().len() < before {
                    changed.replace(&field, kept.write());
                    self.uncount(key, kept.written, memory);
                }
            }
            changed.write(key, call);
        }
        Ok(())
    }

    /// With quarters: one id less takes room.
    fn uncount(&self, key: Key, written: Instant, memory: &mut Memory) {
        if let Key::Ids(_) = key {
            memory.ids.subtract(self.settings.hour_of_id(written), 1);
        }
    }

    /// Takes entries out of their quarters' sums, where these are kept.
    async fn take_from_sums(
        &self,
        sums: BTreeMap<QuarterKey, Sum>,
        call: &mut Call,
        memory: &mut Memory,
    ) -> Result<(), StoreError> {
        for (key, sum) in sums {
            let Some(change) = memory.open_sums.subtract(&key, sum) else { continue };
            let (quarter, label) = key;
            let day = day_of(quarter);
            if self.has_sums(day, memory).await? {
                let [credits, count] = fields_of(quarter, &label);
                let words = vec![credits, change.micros.to_string(), count, change.entries.to_string()];
                call.increment(Key::Sums(day), words);
            }
        }
        Ok(())
    }

    /// Whether a day's sums are there: pruned or expired they went with all that was in them, while an id is remembered by
    /// when it was written.
    async fn has_sums(&self, day: i64, memory: &Memory) -> Result<bool, StoreError> {
        let is_noted = memory.days.contains(day);
        let may_have_expired = self.settings.horizon(self.now).is_some_and(|horizon| day < day_of(horizon));
        if !is_noted || !may_have_expired {
            return Ok(is_noted);
        }
        Ok(count(&self.at.read(command("EXISTS", self.at.keys, Key::Sums(day))).await?) > 0)
    }
}

/// Fields of a key of ids that go, and those that come in the place of some.
#[derive(Default)]
struct Fields {
    gone: Vec<String>,
    come: Vec<String>,
}

impl Fields {
    /// What is left of a field has a name of its own.
    fn replace(&mut self, field: &str, left: Option<[String; 2]>) {
        if left.as_ref().is_none_or(|[own, _]| own != field) {
            self.gone.push(field.to_owned());
        }
        self.come.extend(left.into_iter().flatten());
    }

    fn write(self, key: Key, call: &mut Call) {
        // First, so that the key is not empty meanwhile. Only made ids leave others behind.
        if !self.come.is_empty() {
            call.set_for_a_while(key, &Settings::expiry_of_retries(), self.come);
        }
        if !self.gone.is_empty() {
            call.command("HDEL", key, self.gone);
        }
    }
}

/// Adds entries to the sums of their quarters.
fn tally<'a>(sums: &mut BTreeMap<QuarterKey, Sum>, entries: impl IntoIterator<Item = &'a Entry>, memory: &Memory) {
    for entry in entries {
        let label = memory.labels.counted(entry.label.as_ref()).to_owned();
        sums.entry((Cut::floor(entry.at.millis()), label)).or_default().add(Sum::of(entry));
    }
}
