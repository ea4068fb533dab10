//! What a batch is to write, gathered over its clients.

use std::collections::BTreeMap;

use quota_core::{ClientId, Cut, Entry, Labels, PlanWrite, Removal};

use crate::rows::{self, Broken, id_column};
use crate::standing::Standing;

/// About as many entries are folded or taken out in one transaction, so that charges wait for milliseconds and not for
/// all of them. Folding does not divide a quarter of one client, taking out not a millisecond.
pub(crate) const ENTRIES_AT_ONCE: i64 = 2_000;

/// What a batch is to write: one account for each client however many operations it had, and one sum for each
/// quarter and label.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) entries: Vec<NewEntry>,
    pub(crate) quarters: BTreeMap<QuarterKey, QuarterAdd>,
    pub(crate) accounts: Vec<NewAccount>,
    pub(crate) plans: Vec<(ClientId, PlanWrite)>,
}

/// A row of the entries.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) client: ClientId,
    pub(crate) at: i64,
    pub(crate) id: String,
    pub(crate) credits: i64,
    pub(crate) label: String,
}

/// The key of a row of the quarters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QuarterKey {
    pub(crate) client: ClientId,
    pub(crate) quarter: i64,
    pub(crate) label: String,
}

/// What is added to a row of the quarters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QuarterAdd {
    pub(crate) credits: i64,
    pub(crate) entries: i64,
}

/// A row of the accounts.
#[derive(Debug)]
pub(crate) struct NewAccount {
    pub(crate) client: ClientId,
    pub(crate) document: String,
    pub(crate) labels: String,
}

/// What is taken out of one client's ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removed<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) removal: &'a Removal,
    pub(crate) labels: &'a Labels,
    pub(crate) standing: Standing,
}

impl Removed<'_> {
    /// Rows of label, micros and entries as the sums count them: labels may be any number, but few are told apart there.
    pub(crate) fn as_counted(&self, rows: Vec<(String, i64, i64)>) -> Result<BTreeMap<String, (i64, i64)>, Broken> {
        let mut counted = BTreeMap::<String, (i64, i64)>::new();
        for (label, micros, entries) in rows {
            let label = rows::label(&label)?;
            let sum = counted.entry(self.labels.counted(label.as_ref()).to_owned()).or_default();
            // The lifetime sum bounds both.
            *sum = (sum.0.saturating_add(micros), sum.1.saturating_add(entries));
        }
        Ok(counted)
    }
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.quarters.is_empty() && self.accounts.is_empty() && self.plans.is_empty()
    }

    /// Adds an entry to the ledger and to its quarter.
    pub(crate) fn add_entry(&mut self, client: &ClientId, entry: &Entry, labels: &mut Labels) {
        let counted = labels.place(entry.label.as_ref()).to_owned();
        let (at, micros) = (entry.at.millis(), entry.credits.micros());
        let key = QuarterKey { client: client.clone(), quarter: Cut::floor(at), label: counted };
        let sum = self.quarters.entry(key).or_default();
        // The lifetime sum bounds it.
        sum.credits = sum.credits.saturating_add(micros);
        sum.entries = sum.entries.saturating_add(1);
        let label = entry.label.as_ref().map_or_else(String::new, |label| label.as_str().to_owned());
        let (client, id) = (client.clone(), id_column(entry.id.as_ref()));
        self.entries.push(NewEntry { client, at, id, credits: micros, label });
    }
}
