//! What an account asks of its ledger, and what is to be written there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::credits::Credits;
use crate::entry::Entry;
use crate::id::OperationId;
use crate::instant::Instant;
use crate::plan::{Plan, PlanVersion};
use crate::refusal::Refusal;
use crate::window::Window;

/// Milliseconds in a quarter of an hour, which is what sums are kept for.
pub const QUARTER_MILLIS: i64 = 900_000;

/// How much a ledger remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Every entry.
    Entries,
    /// Sums and counts for each UTC quarter of an hour (and label), and the ids of recent entries.
    Quarters,
}

/// What an operation needs to know of the ledger before it can answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The entry with this id, if there is one.
    Entry(OperationId),
    /// The sum of the entries in `window` that are not in `except`. Where the ledger keeps quarters, every
    /// quarter that overlaps `window` counts whole unless it lies in `except`: never too little.
    Sum {
        /// Which entries.
        window: Window,
        /// Which of them not: a range that is about to be deleted.
        except: Option<Window>,
    },
    /// Count and sum of the entries in a range.
    Count(Window),
}

/// What the ledger says to a [`Need`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// To [`Need::Entry`].
    Entry(Option<Entry>),
    /// To [`Need::Sum`].
    Sum(Credits),
    /// To [`Need::Count`].
    Count {
        /// How many entries.
        entries: u64,
        /// Their sum.
        credits: Credits,
    },
}

/// Why an operation did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It needs to know more of the ledger, as it stands without what this turn still has to write.
    Needs(Vec<Need>),
    /// What this turn has to write must be written before the operation can run.
    WriteFirst,
    /// The caller knows another version of the plan than the account; it fetches the plan and asks again.
    PlanChanged(Option<PlanVersion>),
    /// Refused; nothing changed.
    Refused(Refusal),
}

/// What a turn of operations changes in the store, to be written in one step with the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Whether the account differs from what was read in more than its caches.
    pub account: bool,
    /// Entries to add, in order.
    pub entries: Vec<Entry>,
    /// What to take out first; never together with entries.
    pub removal: Option<Removal>,
    /// The plan to keep or to forget.
    pub plan: Option<PlanWrite>,
}

/// What is taken out of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// One entry.
    Entry(Entry),
    /// Every entry in a range.
    Range(Window),
}

/// A change of the stored plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanWrite {
    /// Keep this plan.
    Set(Arc<Plan>, PlanVersion),
    /// Keep none.
    Remove,
}

impl Writes {
    /// A sum over the ledger as it will be with the entries to add.
    pub(crate) fn sum_with(&self, sum: Credits, window: Window, except: Option<Window>) -> Credits {
        let counts = |at| window.contains(at) && !except.is_some_and(|range| range.contains(at));
        let added = self.entries.iter().filter(|entry| counts(entry.at));
        // Cannot overflow: the lifetime sum bounds it.
        added.fold(sum, |sum, entry| sum.saturating_add(entry.credits))
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.account && self.entries.is_empty() && self.removal.is_none() && self.plan.is_none()
    }
}

/// What has been learnt of the ledger for the operations of one turn.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    entries: HashMap<OperationId, Option<Entry>>,
    sums: Vec<(Window, Option<Window>, Credits)>,
    counts: Vec<(Window, u64, Credits)>,
}

impl Facts {
    /// Takes the answer to a need; one that does not fit its need is dropped, and asked again.
    pub(crate) fn learn(&mut self, need: Need, fact: Fact) {
        match (need, fact) {
            (Need::Entry(id), Fact::Entry(entry)) => {
                // What this turn has written under it since is not in the ledger yet.
                self.entries.entry(id).or_insert(entry);
            }
            (Need::Sum { window, except }, Fact::Sum(credits)) => self.sums.push((window, except, credits)),
            (Need::Count(window), Fact::Count { entries, credits }) => self.counts.push((window, entries, credits)),
            _ => {}
        }
    }

    pub(crate) fn entry(&self, id: &OperationId) -> Result<Option<&Entry>, Need> {
        self.entries.get(id).map(Option::as_ref).ok_or_else(|| Need::Entry(id.clone()))
    }

    pub(crate) fn sum(&self, window: Window, except: Option<Window>) -> Result<Credits, Need> {
        self.sums
            .iter()
            .find(|(known, without, _)| *known == window && *without == except)
            .map(|(.., credits)| *credits)
            .ok_or(Need::Sum { window, except })
    }

    pub(crate) fn count(&self, window: Window) -> Result<(u64, Credits), Need> {
        self.counts
            .iter()
            .find(|(known, ..)| *known == window)
            .map(|(_, entries, credits)| (*entries, *credits))
            .ok_or(Need::Count(window))
    }

    /// What the ledger will say once `entry` stands in it.
    pub(crate) fn added(&mut self, entry: &Entry) {
        if let Some(id) = &entry.id {
            self.entries.insert(id.clone(), Some(entry.clone()));
        }
        for (window, _, credits) in &mut self.sums {
            if window.contains(entry.at) {
                *credits = credits.saturating_add(entry.credits);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The first instant of the quarter of an hour that holds `at`.
#[must_use]
pub const fn quarter_of(at: Instant) -> Instant {
    match Instant::from_millis(at.millis() - at.millis().rem_euclid(QUARTER_MILLIS)) {
        Ok(start) => start,
        Err(_) => Instant::MIN,
    }
}

/// Whether `at` is the first instant of a quarter of an hour.
#[must_use]
pub const fn is_quarter(at: Instant) -> bool {
    at.millis().rem_euclid(QUARTER_MILLIS) == 0
}
