//! The sums of a client's newest quarter.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};
use quota_core::Span;
use quota_service::StoreError;

use crate::fields::{documents, number, optional_document, text};
use crate::part::OfQuarter;

/// What the newest quarter of all that a client ever used comes to, by label, kept beside the account: a commit writes the
/// account anyway, so that most need not write the quarter as well. It is written whole, whenever somebody reads the ledger and when a
/// newer quarter begins. Since that is no addition but what the quarter comes to at a commit, it may be written in any order and
/// again: a quarter takes what is of a later commit than it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenSums {
    /// The quarter's first millisecond.
    quarter: i64,
    /// The last commit that changed them; 0 where the client never used anything.
    seq: i64,
    sums: BTreeMap<String, Sum>,
    /// This process knows that they stand in the ledger, or the account says so.
    stands: bool,
}

/// Credits in millionths, and entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    micros: i64,
    entries: i64,
}

impl Sum {
    fn add(&mut self, more: &OfQuarter) {
        // The lifetime sum bounds it.
        self.micros = self.micros.saturating_add(more.micros);
        self.entries = self.entries.saturating_add(more.entries);
    }
}

/// What is left to be written when a commit's sums were taken in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// What is added to quarters that are not open.
    pub(crate) added: Vec<OfQuarter>,
    /// What the quarter came to that was open until now.
    pub(crate) closed: Vec<OfQuarter>,
}

impl OpenSums {
    /// More labels than these are not kept beside the account, which every commit writes.
    pub(crate) const MAX_LABELS: usize = 8;

    /// Takes in what the commit with this number adds, or takes, of quarters.
    pub(crate) fn take_in(&mut self, seq: i64, changes: Vec<OfQuarter>) -> Left {
        let mut left = Left::default();
        let newest = changes.iter().map(|change| change.quarter).max();
        let (newer, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| self.is_unused() || change.quarter > self.quarter);
        for change in others {
            left.added.extend(self.add(seq, change));
        }
        if let Some(newest) = newest.filter(|_| !newer.is_empty()) {
            if !self.stands {
                left.closed = self.totals().collect();
            }
            *self = Self { quarter: newest, seq, ..Self::default() };
        }
        for change in newer {
            left.added.extend(self.add(seq, change));
        }
        left
    }

    /// Gives it back where it has no place here.
    fn add(&mut self, seq: i64, change: OfQuarter) -> Option<OfQuarter> {
        let has_room = self.sums.len() < Self::MAX_LABELS;
        if change.quarter != self.quarter || !(has_room || self.sums.contains_key(&change.label)) {
            return Some(change);
        }
        self.sums.entry(change.label.clone()).or_default().add(&change);
        (self.seq, self.stands) = (seq, false);
        None
    }

    /// The commit with this number takes the sums of these quarters out.
    pub(crate) fn remove(&mut self, seq: i64, (from, to): Span) {
        if !self.is_unused() && (from..to).contains(&self.quarter) {
            // Those that are not kept here are taken out as well: there is room for them.
            self.sums.clear();
            (self.seq, self.stands) = (seq, false);
        }
    }

    /// What the open quarter comes to, by label.
    pub(crate) fn totals(&self) -> impl Iterator<Item = OfQuarter> + '_ {
        self.sums.iter().map(|(label, sum)| OfQuarter {
            quarter: self.quarter,
            label: label.clone(),
            micros: sum.micros,
            entries: sum.entries,
        })
    }

    /// The quarter's first millisecond; none where the client never used anything.
    pub(crate) fn quarter(&self) -> Option<i64> {
        (!self.is_unused()).then_some(self.quarter)
    }

    /// The place of a label among [`OpenSums::totals`], if this is the quarter.
    pub(crate) fn place(&self, quarter: i64, label: &str) -> Option<usize> {
        self.sums.keys().position(|here| here == label).filter(|_| self.quarter() == Some(quarter))
    }

    /// The last commit that changed them.
    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }

    /// Whether the client never used anything.
    pub(crate) fn is_unused(&self) -> bool {
        self.seq == 0
    }

    /// Whether the ledger has them.
    pub(crate) fn stands(&self) -> bool {
        self.stands || self.sums.is_empty()
    }

    pub(crate) fn set_standing(&mut self) {
        self.stands = true;
    }

    /// As an account keeps them, when they have changed: nobody says then that they stand in the ledger.
    pub(crate) fn to_document(&self) -> Document {
        let sum = |(label, sum): (&String, &Sum)| doc! { "l": label, "m": sum.micros, "n": sum.entries };
        doc! { "q": self.quarter, "n": self.seq, "s": self.sums.iter().map(sum).collect::<Vec<_>>() }
    }

    /// Reads those of an account.
    pub(crate) fn read(account: &Document) -> Result<Self, StoreError> {
        let Some(document) = optional_document(account, "u")? else { return Ok(Self::default()) };
        let sum = |sum: &Document| {
            let amounts = Sum { micros: number(sum, "m")?, entries: number(sum, "n")? };
            Ok((text(sum, "l")?.to_owned(), amounts))
        };
        Ok(Self {
            quarter: number(document, "q")?,
            seq: number(document, "n")?,
            sums: documents(document, "s")?.iter().map(sum).collect::<Result<_, StoreError>>()?,
            stands: document.get("w") == Some(&Bson::Boolean(true)),
        })
    }
}

#[cfg(test)]
mod tests {
    use quota_core::QUARTER_MILLIS;

    use super::*;

    fn of(quarter: i64, label: &str, micros: i64, entries: i64) -> OfQuarter {
        OfQuarter { quarter: quarter * QUARTER_MILLIS, label: label.to_owned(), micros, entries }
    }

    fn totals(open: &OpenSums) -> Vec<OfQuarter> {
        open.totals().collect()
    }

    #[test]
    fn sums_are_read_as_they_were_written() {
        let mut open = OpenSums::default();
        open.take_in(5, vec![of(1, "", i64::MAX, 1), of(1, "$l.", 7, 2)]);
        let mut account = doc! { "u": open.to_document() };
        assert_eq!(OpenSums::read(&account).unwrap(), open);
        assert!(!open.stands());
        account.get_document_mut("u").unwrap().insert("w", true);
        assert!(OpenSums::read(&account).unwrap().stands());
        assert_eq!(OpenSums::read(&doc! {}).unwrap(), OpenSums::default());
        assert!(OpenSums::default().stands(), "there are none");
        for damage in [doc! { "u": 1 }, doc! { "u": {} }, doc! { "u": { "q": 1_i64, "n": 1_i64, "s": [1] } }] {
            assert!(OpenSums::read(&damage).is_err(), "{damage}");
        }
    }

    #[test]
    fn a_newer_quarter_closes_the_one_before_with_all_that_is_told_of_it() {
        let mut open = OpenSums::default();
        assert_eq!(open.take_in(1, vec![of(5, "a", 3, 1)]), Left::default());
        assert_eq!(open.take_in(2, vec![of(5, "a", 4, 1), of(5, "b", 1, 1)]), Left::default());
        assert_eq!(open.seq(), 2);
        let left = open.take_in(3, vec![of(4, "a", 9, 1), of(5, "a", 1, 1), of(6, "a", 2, 1), of(7, "b", 8, 1)]);
        assert_eq!(left.added, [of(4, "a", 9, 1), of(6, "a", 2, 1)]);
        assert_eq!(left.closed, [of(5, "a", 8, 3), of(5, "b", 1, 1)]);
        assert_eq!((totals(&open), open.seq()), (vec![of(7, "b", 8, 1)], 3));
    }

    #[test]
    fn what_stands_in_the_ledger_is_not_written_again_when_it_closes() {
        let mut open = OpenSums::default();
        open.take_in(1, vec![of(5, "a", 3, 1)]);
        open.set_standing();
        assert_eq!(open.take_in(2, vec![of(6, "a", 2, 1)]), Left::default());
        open.set_standing();
        let left = open.take_in(3, vec![of(6, "a", 1, 1), of(7, "a", 2, 1)]);
        assert_eq!(left.closed, [of(6, "a", 3, 2)], "it was changed by the commit that closes it");
    }

    #[test]
    fn an_older_quarter_opens_nothing() {
        let mut open = OpenSums::default();
        open.take_in(1, vec![of(5, "a", 3, 1)]);
        assert_eq!(open.take_in(2, vec![of(4, "a", 2, 1)]).added, [of(4, "a", 2, 1)]);
        assert_eq!((totals(&open), open.seq()), (vec![of(5, "a", 3, 1)], 1), "they have not changed");
    }

    #[test]
    fn labels_without_room_are_added_to_the_ledger() {
        let mut open = OpenSums::default();
        let labels = |from: usize, to: usize| (from..to).map(|label| of(5, &format!("{label:02}"), 1, 1)).collect();
        let left = open.take_in(1, labels(0, OpenSums::MAX_LABELS + 2));
        assert_eq!(left.added, labels(OpenSums::MAX_LABELS, OpenSums::MAX_LABELS + 2));
        assert_eq!(
            open.take_in(2, labels(0, OpenSums::MAX_LABELS + 1)).added,
            labels(OpenSums::MAX_LABELS, OpenSums::MAX_LABELS + 1)
        );
        open.remove(3, (0, i64::MAX));
        assert_eq!(open.take_in(4, labels(OpenSums::MAX_LABELS, OpenSums::MAX_LABELS + 1)), Left::default());
    }

    #[test]
    fn what_is_taken_out_is_taken_from_them() {
        let mut open = OpenSums::default();
        open.take_in(1, vec![of(5, "a", 3, 1)]);
        assert_eq!(open.take_in(2, vec![of(5, "a", -3, -1)]), Left::default());
        assert_eq!(totals(&open), [of(5, "a", 0, 0)], "the ledger has to say so");
        open.remove(3, (0, 5 * QUARTER_MILLIS));
        assert_eq!(open.seq(), 2);
        open.remove(3, (5 * QUARTER_MILLIS, 6 * QUARTER_MILLIS));
        assert_eq!((totals(&open), open.seq()), (vec![], 3));
        assert_eq!(open.take_in(4, vec![of(4, "a", 1, 1)]).added.len(), 1, "the quarter is the newest still");
    }
}
