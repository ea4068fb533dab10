//! One client's account and what stands beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quota_core::{Account, Cut, Detail, DocumentError, Entry, Instant, Labels, Removal, Span, Writes};
use quota_service::{Receipt, StoreError, UsedIds};

use crate::account_list::AccountList;
use crate::day_set::DaySet;
use crate::entry_text::corrupt;
use crate::id_counts::IdCounts;
use crate::keys::{Key, day_of};
use crate::open_entries::OpenEntries;
use crate::open_sums::OpenSums;
use crate::settings::Settings;
use crate::state::State;
use crate::sum_text::{QuarterKey, Sum};
use crate::turn::Turn;

/// One client's account at a version.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) state: State,
    pub(crate) account: Account,
    pub(crate) memory: Memory,
    /// The account is what the server keeps. (A status or a denial may know more than was written.)
    pub(crate) is_written: bool,
    /// This store's turn at it.
    pub(crate) turn: Turn,
    /// Of the batch that was written last.
    pub(crate) receipt: Option<Receipt>,
    pub(crate) used: UsedIds,
}

impl AsRef<Account> for Box<Stored> {
    fn as_ref(&self) -> &Account {
        &self.account
    }
}

/// What the store must know of a client's ledger without looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The labels that sums tell apart.
    pub(crate) labels: Labels,
    /// The days that have sums.
    pub(crate) days: DaySet,
    /// Entries before this are only in the sums.
    pub(crate) folded_until: Instant,
    /// With quarters: how many ids were written when.
    pub(crate) ids: IdCounts,
    /// With entries: the days that have entries and their ids.
    pub(crate) entries: DaySet,
    /// Sums that do not stand in their day's key yet.
    pub(crate) open_sums: OpenSums,
    /// The milliseconds from where to where the entries that still stand, and their ids, are gone: deleted or folded. They are
    /// taken out in steps; nothing is added there before they are out.
    pub(crate) dead: Option<Span>,
    /// Entries that do not stand in their keys yet.
    pub(crate) open_entries: OpenEntries,
    /// The plan's version, a blank and the plan; empty where there is none.
    pub(crate) plan: String,
}

impl Default for Memory {
    fn default() -> Self {
        let (labels, days, entries) = (Labels::default(), DaySet::default(), DaySet::default());
        let (ids, open_sums, open_entries) = (IdCounts::default(), OpenSums::default(), OpenEntries::default());
        Self {
            labels,
            days,
            folded_until: Instant::MIN,
            ids,
            entries,
            open_sums,
            dead: None,
            open_entries,
            plan: String::new(),
        }
    }
}

impl Stored {
    /// Reads the list that the account is kept in.
    pub(crate) fn read(texts: &[String], settings: &Settings) -> Result<Self, StoreError> {
        let list = AccountList::read(texts)?;
        let (account, memory) = (list.account()?, list.memory(settings)?);
        let (state, turn, used) = (State::of(texts), Turn::default(), UsedIds::default());
        Ok(Self { state, account, memory, is_written: true, turn, receipt: None, used })
    }

    /// What is not remembered for those who asked last: they have their answers, as the receipt says.
    pub(crate) fn settle(&mut self) {
        let are_received = self.receipt.take().is_some_and(|receipt| receipt.is_confirmed());
        self.memory.open_entries.settle_made(are_received);
    }
}

impl Memory {
    /// How many texts it is written as.
    pub(crate) const TEXTS: usize = 9;

    /// Reads what [`Memory::write`] wrote.
    pub(crate) fn read(
        [labels, days, folded_until, ids, entries, open_sums, dead, open_entries, plan]: [&str; Self::TEXTS],
    ) -> Result<Self, StoreError> {
        let folded_until = match folded_until {
            "" => Instant::MIN,
            millis => {
                let read = millis.parse().ok().and_then(|millis| Instant::from_millis(millis).ok());
                read.ok_or_else(|| corrupt("up to where entries are folded", millis))?
            }
        };
        Ok(Self {
            labels: Labels::from_document(labels).map_err(|error: DocumentError| StoreError::from(error))?,
            days: DaySet::read(days)?,
            folded_until,
            ids: IdCounts::read(ids)?,
            entries: DaySet::read(entries)?,
            open_sums: OpenSums::read(open_sums)?,
            dead: read_dead(dead)?,
            open_entries: OpenEntries::read(open_entries)?,
            plan: plan.to_owned(),
        })
    }

    /// Each text empty where there is nothing to tell. None holds a control character above 3.
    pub(crate) fn write(&self) -> [Cow<'_, str>; Self::TEXTS] {
        let is_folded = self.folded_until != Instant::MIN;
        [
            self.labels.to_document().into(),
            self.days.write().into(),
            if is_folded { self.folded_until.millis().to_string().into() } else { "".into() },
            self.ids.write().into(),
            self.entries.write().into(),
            self.open_sums.write().into(),
            self.dead.map(|(from, to)| format!("{from} {to}")).unwrap_or_default().into(),
            self.open_entries.as_str().into(),
            self.plan.as_str().into(),
        ]
    }

    /// Counts entries into the sums beside the account; gives what is to be written to keys of days.
    pub(crate) fn count<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a Entry> + Clone,
        detail: Detail,
    ) -> BTreeMap<QuarterKey, Sum> {
        if detail == Detail::Entries {
            for entry in entries.clone() {
                self.entries.insert(day_of(entry.at.millis()));
            }
        }
        let mut all = entries.clone().into_iter();
        if all.all(|entry| self.open_sums.is_of(Cut::floor(entry.at.millis()))) {
            // As most are: nothing is made for it but labels that are new.
            for entry in entries {
                self.open_sums.add_to_newest(self.labels.place(entry.label.as_ref()), Sum::of(entry));
            }
            return self.open_sums.bounded();
        }
        let mut sums: BTreeMap<QuarterKey, Sum> = BTreeMap::new();
        for entry in entries {
            let label = self.labels.place(entry.label.as_ref()).to_owned();
            sums.entry((Cut::floor(entry.at.millis()), label)).or_default().add(Sum::of(entry));
        }
        self.open_sums.add(sums)
    }

    /// With quarters: ids of callers that were written then take room.
    pub(crate) fn count_ids(&mut self, key: Key, ids: usize, written: Instant, settings: &Settings) {
        if !(matches!(key, Key::Ids(_)) && settings.detail == Detail::Quarters) {
            return;
        }
        self.ids.add(settings.hour_of_id(written), u64::try_from(ids).unwrap_or(u64::MAX));
    }

    /// Forgets the hours whose ids are remembered no longer; says whether there were any. Other processes may remember for longer, so that is
    /// not done where what they have added is read.
    pub(crate) fn forget_ids(&mut self, now: Instant, settings: &Settings) -> bool {
        // One hour more is kept for clocks that are behind: a backfill does not move the account's time.
        settings.detail == Detail::Quarters && self.ids.forget_before(settings.first_hour_of_ids(now).saturating_sub(1))
    }

    /// Takes in what a commit has added that did nothing else, in the order in which it did. False where that is not so.
    pub(crate) fn add_open(&mut self, added: OpenEntries, settings: &Settings) -> bool {
        let mut added = added;
        let closed = self.count(&added.entries(), settings.detail);
        let fields = added.take();
        for field in &fields {
            if let Some(written) = field.written() {
                self.count_ids(field.key, 1, written, settings);
            }
        }
        closed.is_empty() && self.open_entries.extend(&fields)
    }

    /// Whether these would meet what is dead: by adding where it stands, or by another note of it.
    pub(crate) fn meets_dead(&self, writes: &Writes) -> bool {
        let is_range = matches!(writes.removal, Some(Removal::Range(_)));
        let is_there = |entry: &Entry| self.is_dead(entry.at.millis());
        self.dead.is_some() && (is_range || writes.entries.iter().any(is_there))
    }

    /// Whether an entry that stands at this millisecond is gone.
    pub(crate) fn is_dead(&self, millis: i64) -> bool {
        self.dead.is_some_and(|(from, to)| (from..to).contains(&millis))
    }
}

/// Where entries are gone that still stand; an empty text is nowhere.
fn read_dead(text: &str) -> Result<Option<Span>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    let span = text.split_once(' ').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    span.map(Some).ok_or_else(|| corrupt("where entries are gone", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_entries::IdField;

    #[test]
    fn what_stands_beside_an_account_is_read_as_it_was_written() {
        let mut memory = Memory::default();
        memory.days.insert(19_800);
        memory.ids.add(475_209, 3);
        memory.entries.insert(19_801);
        memory.folded_until = Instant::from_millis(900_000).unwrap();
        memory.labels.place(Some(&quota_core::Label::new("a,b").unwrap()));
        memory.open_sums.add([((900_000, "a,b".to_owned()), Sum { micros: 5, entries: 1 })].into());
        memory.dead = Some((-5, 900_000));
        let id = IdField { key: Key::Ids(0), field: "x".to_owned(), value: "7 5 2500000 l".to_owned() };
        assert!(memory.open_entries.add(&[id]));
        memory.plan = "7 []".to_owned();
        let texts = memory.write();
        assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
        assert_eq!(Memory::read(texts.each_ref().map(|text| &**text)).unwrap(), memory);
        assert!(Memory::default().write().iter().all(|text| text.is_empty()));
        assert_eq!(Memory::read([""; Memory::TEXTS]).unwrap(), Memory::default());
    }
}
