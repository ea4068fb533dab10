//! What a client's ledger says to the needs of its turn.

use std::collections::HashMap;

use quota_core::{Credits, Detail, Fact, Instant, Need, OperationId, Window};
use quota_service::{StoreError, UsedIds, may_be_made};

use crate::at_version::AtVersion;
use crate::entry_text::corrupt;
use crate::kept_ids::{KeptIds, Named};
use crate::keys::Key;
use crate::reading::Reading;
use crate::settings::Settings;
use crate::stored::Memory;
use crate::sum_text::Sum;

/// What is known of ids at one version of the account: nothing of a client changes without its version.
#[derive(Debug, Default)]
pub(crate) struct KnownIds {
    found: HashMap<OperationId, Option<(Key, Named)>>,
    /// Those that are remembered no longer and still stand: where, and when they were written.
    forgotten: HashMap<OperationId, (Key, Instant)>,
    pub(crate) used: UsedIds,
}

impl KnownIds {
    /// Takes what the script found, or found nowhere; says whether one is among it whose entry is gone and still stands: it is
    /// to be taken out before anything is decided.
    pub(crate) fn read(
        &mut self,
        found: Vec<(OperationId, Option<(Key, KeptIds)>)>,
        memory: &Memory,
        settings: &Settings,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let mut finds_dead = false;
        for (id, found) in found {
            let Some((key, kept)) = found else {
                self.found.insert(id, None);
                continue;
            };
            let named = kept.find(&id).ok_or_else(|| corrupt("an id's entry", id.as_str()))?;
            if settings.is_forgotten(named.written, now) || !memory.is_dead(named.entry.at.millis()) {
                self.note(id, (key, named), settings, now);
            } else {
                finds_dead = true;
            }
        }
        Ok(finds_dead)
    }

    /// Takes what stands somewhere, if it is still remembered.
    fn note(&mut self, id: OperationId, (key, named): (Key, Named), settings: &Settings, now: Instant) {
        let is_forgotten = settings.is_forgotten(named.written, now);
        if is_forgotten {
            self.forgotten.insert(id.clone(), (key, named.written));
        }
        self.found.insert(id, (!is_forgotten).then_some((key, named)));
    }

    /// Looks for an id beside the account, where the entries are of which nobody knows elsewhere. Nothing there is dead.
    pub(crate) fn look_beside(&mut self, id: &OperationId, memory: &Memory, settings: &Settings, now: Instant) {
        if self.found.contains_key(id) || memory.open_entries.is_empty() {
            return;
        }
        if let Some((key, kept)) = memory.open_entries.find(id)
            && let Some(named) = kept.find(id)
        {
            self.note(id.clone(), (key, named), settings, now);
        }
    }

    pub(crate) fn find(&self, id: &OperationId) -> Option<&Option<(Key, Named)>> {
        self.found.get(id)
    }

    pub(crate) fn are_nowhere(&mut self, ids: Vec<OperationId>) {
        self.found.extend(ids.into_iter().map(|id| (id, None)));
    }

    /// When an id was written that stands in this key and is remembered no longer.
    pub(crate) fn forgotten_in(&self, key: Key, id: &OperationId) -> Option<Instant> {
        self.forgotten.get(id).filter(|(other, _)| *other == key).map(|(_, written)| *written)
    }

    /// Forgets those that are remembered no longer: where they were found, at another version, is not everywhere that they may have been
    /// written anew.
    pub(crate) fn look_again_for_forgotten(&mut self) {
        for id in std::mem::take(&mut self.forgotten).into_keys() {
            self.found.remove(&id);
        }
    }

    /// The version is this store's own now.
    pub(crate) fn written(&mut self) {
        self.found.clear();
        self.forgotten.clear();
    }

    /// The version is another's now.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The keys that these ids may be in, which are asked for at presents from the first of `span` to the last, newest first.
pub(crate) fn keys_of_ids<'a>(
    mut ids: impl Iterator<Item = &'a OperationId>,
    memory: &Memory,
    settings: &Settings,
    span: (Instant, Instant),
) -> Vec<Key> {
    let mut keys = Vec::new();
    if settings.detail == Detail::Quarters {
        keys.extend(memory.ids.days_since(settings.first_day_of_ids(span.0)).rev().map(Key::Ids));
    }
    if settings.detail == Detail::Quarters && ids.any(may_be_made) {
        // Who wrote it may have had a clock that was somewhat ahead of who asks again.
        let (first, last) = (Settings::retries_of(span.0), Settings::retries_of(span.1).saturating_add(1));
        let (earliest, newest) = (first.saturating_sub(1), last.saturating_sub(MOST_RETRIES));
        keys.extend((earliest.max(newest)..=last).rev().map(Key::Retries));
        keys.extend([first, earliest].into_iter().filter(|retries| *retries < newest).map(Key::Retries));
    }
    keys.extend(memory.entries.between(i64::MIN, i64::MAX).rev().map(Key::Ids));
    keys
}

/// Ids that were made for who gave none are looked for in so many spans of ten minutes before the last, and in the first. Requests of
/// one batch are hardly ever hours apart.
const MOST_RETRIES: i64 = 16;

/// A client's ledger.
pub(crate) struct Ledger<'a> {
    pub(crate) at: &'a AtVersion<'a>,
    pub(crate) detail: Detail,
}

impl Ledger<'_> {
    /// What the ledger says to a need that is no id's.
    pub(crate) async fn fact(&self, need: &Need, memory: &Memory) -> Result<Fact, StoreError> {
        match need {
            Need::Sum { window, except } => {
                let mut sum = Sum::default();
                for part in window.without(*except).filter(|part| !part.is_empty()) {
                    sum.add(self.sum(part, memory).await?);
                }
                Ok(Fact::Sum(credits(sum.micros)?))
            }
            Need::Count(range) => {
                let sum = self.sum(*range, memory).await?;
                Ok(Fact::Count { entries: count(sum.entries)?, credits: credits(sum.micros)? })
            }
            // The script looks for ids in the step of the commit.
            Need::Entry(_) => Ok(Fact::Entry(None)),
        }
    }

    async fn sum(&self, range: Window, memory: &Memory) -> Result<Sum, StoreError> {
        if range.is_empty() {
            return Ok(Sum::default());
        }
        let reading = Reading::of(range, self.detail, memory);
        reading.sum(self.at, memory).await
    }
}

pub(crate) fn credits(micros: i64) -> Result<Credits, StoreError> {
    Credits::from_micros(micros).map_err(|_| corrupt("a sum", &micros.to_string()))
}

pub(crate) fn count(entries: i64) -> Result<u64, StoreError> {
    u64::try_from(entries).map_err(|_| corrupt("a count", &entries.to_string()))
}
