//! One client's account and what stands beside it.

use quota_core::{Account, DocumentError, Entry, Instant, Labels, Removal, Span, Writes};
use quota_service::StoreError;

use crate::day_set::DaySet;
use crate::entry_text::corrupt;
use crate::id_counts::IdCounts;
use crate::open_sums::OpenSums;
use crate::turn::Turn;

/// The fields of the account's hash, as the script answers them.
pub(crate) const FIELDS: [&str; 9] = ["v", "a", "l", "d", "f", "i", "e", "o", "x"];

/// One client's account at a version.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// A random token for each write: a counter would come round again after a flush or a failover. Empty where there is
    /// no account.
    pub(crate) version: String,
    pub(crate) account: Account,
    pub(crate) memory: Memory,
    /// This store's turn at it.
    pub(crate) turn: Turn,
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
    pub(crate) open: OpenSums,
    /// The milliseconds from where to where the entries that still stand, and their ids, are gone: deleted or folded. They are
    /// taken out in steps; nothing is added there before they are out.
    pub(crate) dead: Option<Span>,
}

impl Default for Memory {
    fn default() -> Self {
        let (labels, days, entries) = (Labels::default(), DaySet::default(), DaySet::default());
        let (ids, open) = (IdCounts::default(), OpenSums::default());
        Self { labels, days, folded_until: Instant::MIN, ids, entries, open, dead: None }
    }
}

impl Stored {
    /// Reads what the script answered.
    pub(crate) fn read([version, account, memory @ ..]: [Option<String>; FIELDS.len()]) -> Result<Self, StoreError> {
        let Some(version) = version else {
            return match account {
                None => Ok(Self {
                    version: String::new(),
                    account: Account::new(),
                    memory: Memory::default(),
                    turn: Turn::default(),
                }),
                Some(account) => Err(corrupt("an account without a version", &account)),
            };
        };
        let account = account.ok_or_else(|| corrupt("a version without an account", &version))?;
        Ok(Self {
            version,
            account: Account::from_document(&account)?,
            memory: Memory::read(memory)?,
            turn: Turn::default(),
        })
    }
}

impl Memory {
    /// Reads the fields `l`, `d`, `f`, `i`, `e`, `o` and `x`.
    pub(crate) fn read(
        [labels, days, folded_until, ids, entries, open, dead]: [Option<String>; 7],
    ) -> Result<Self, StoreError> {
        let folded_until = match folded_until {
            None => Instant::MIN,
            Some(millis) => {
                let read = millis.parse().ok().and_then(|millis| Instant::from_millis(millis).ok());
                read.ok_or_else(|| corrupt("up to where entries are folded", &millis))?
            }
        };
        Ok(Self {
            labels: Labels::from_document(&labels.unwrap_or_default())
                .map_err(|error: DocumentError| StoreError::from(error))?,
            days: DaySet::read(&days.unwrap_or_default())?,
            folded_until,
            ids: IdCounts::read(&ids.unwrap_or_default())?,
            entries: DaySet::read(&entries.unwrap_or_default())?,
            open: OpenSums::read(&open.unwrap_or_default())?,
            dead: read_dead(&dead.unwrap_or_default())?,
        })
    }

    /// The fields that differ from those before.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if self.labels != before.labels {
            fields.push(("l", self.labels.to_document()));
        }
        if self.days != before.days {
            fields.push(("d", self.days.write()));
        }
        if self.folded_until != before.folded_until {
            fields.push(("f", self.folded_until.millis().to_string()));
        }
        if self.ids != before.ids {
            fields.push(("i", self.ids.write()));
        }
        if self.entries != before.entries {
            fields.push(("e", self.entries.write()));
        }
        if self.open != before.open {
            fields.push(("o", self.open.write()));
        }
        if self.dead != before.dead {
            fields.push(("x", self.dead.map(|(from, to)| format!("{from} {to}")).unwrap_or_default()));
        }
        fields
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
pub(crate) fn read_dead(text: &str) -> Result<Option<Span>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    let span = text.split_once(' ').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    span.map(Some).ok_or_else(|| corrupt("where entries are gone", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sum_text::Sum;

    #[test]
    fn what_stands_beside_an_account_is_read_as_it_was_written() {
        let mut memory = Memory::default();
        memory.days.insert(19_800);
        memory.ids.add(475_209, 3);
        memory.entries.insert(19_801);
        memory.folded_until = Instant::from_millis(900_000).unwrap();
        memory.labels.place(Some(&quota_core::Label::new("a,b").unwrap()));
        memory.open.add([((900_000, "a,b".to_owned()), Sum { micros: 5, entries: 1 })].into());
        memory.dead = Some((-5, 900_000));
        let changed = memory.changed_since(&Memory::default());
        assert_eq!(changed.iter().map(|(field, _)| *field).collect::<String>(), "ldfieox");
        let fields: Vec<_> = changed.into_iter().map(|(_, value)| Some(value)).collect();
        assert_eq!(Memory::read(fields.try_into().unwrap()).unwrap(), memory);
        assert!(memory.changed_since(&memory).is_empty());
    }

    #[test]
    fn half_an_account_is_corrupt() {
        let some = || Some("x".to_owned());
        for half in [0, 1] {
            let fields = std::array::from_fn(|field| (field == half).then(some).flatten());
            assert!(matches!(Stored::read(fields), Err(StoreError::Corrupt { .. })));
        }
        let absent = Stored::read(std::array::from_fn(|_| None)).unwrap();
        assert!(absent.version.is_empty() && absent.account.is_blank());
    }
}
