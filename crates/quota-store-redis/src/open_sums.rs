//! The sums that stand beside the account and not yet in their day's key.

use std::collections::BTreeMap;

use quota_service::StoreError;

use crate::entry_text::corrupt;
use crate::sum_text::{QuarterKey, Sum};

/// More labels than these are not kept beside the account, which every commit writes.
const MAX_LABELS: usize = 4;

/// Separates sums: no label holds it.
const END: char = '\u{1}';

/// What was added in the newest quarter and does not stand in its day's key yet, by label: a commit writes the account
/// anyway, so that most need not write the key as well. What a quarter holds is what the key says and this together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenSums {
    /// The quarter's first millisecond.
    start: i64,
    /// None of them empty.
    sums: BTreeMap<String, Sum>,
}

impl OpenSums {
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let read = || {
            let mut parts = text.split(END);
            let start = parts.next()?.parse().ok()?;
            let sum = |part: &str| {
                let mut words = part.splitn(3, ' ');
                let sum = Sum { micros: words.next()?.parse().ok()?, entries: words.next()?.parse().ok()? };
                Some((words.next()?.to_owned(), sum))
            };
            Some(Self { start, sums: parts.map(sum).collect::<Option<_>>()? })
        };
        if text.is_empty() { Ok(Self::default()) } else { read().ok_or_else(|| corrupt("sums of a quarter", text)) }
    }

    /// Empty where there are none.
    pub(crate) fn write(&self) -> String {
        use std::fmt::Write;

        let mut text = String::new();
        for (label, Sum { micros, entries }) in &self.sums {
            if text.is_empty() {
                text.push_str(&self.start.to_string());
            }
            // Into memory: it cannot fail.
            let _ = write!(text, "{END}{micros} {entries} {label}");
        }
        text
    }

    /// Takes in what a commit adds; gives what is to be written to the keys of days: what is of another quarter, and what was
    /// open, where a newer quarter has begun or there are too many labels.
    pub(crate) fn add(&mut self, added: BTreeMap<QuarterKey, Sum>) -> BTreeMap<QuarterKey, Sum> {
        let newest = added.keys().map(|(quarter, _)| *quarter).max();
        let mut closed = BTreeMap::new();
        if let Some(newest) = newest.filter(|newest| *newest > self.start || self.sums.is_empty()) {
            closed = self.take();
            self.start = newest;
        }
        for ((quarter, label), sum) in added {
            if quarter == self.start {
                self.sums.entry(label).or_default().add(sum);
            } else {
                closed.entry((quarter, label)).or_default().add(sum);
            }
        }
        for (key, sum) in self.bounded() {
            closed.entry(key).or_default().add(sum);
        }
        closed
    }

    /// Whether there are sums of the quarter that begins then.
    pub(crate) fn is_of(&self, quarter: i64) -> bool {
        quarter == self.start && !self.sums.is_empty()
    }

    /// Takes in what a commit adds to the quarter that there are sums of.
    pub(crate) fn add_to_newest(&mut self, label: &str, sum: Sum) {
        match self.sums.get_mut(label) {
            Some(known) => known.add(sum),
            None => _ = self.sums.insert(label.to_owned(), sum),
        }
    }

    /// What is to be written to the keys of days, where there are too many labels.
    pub(crate) fn bounded(&mut self) -> BTreeMap<QuarterKey, Sum> {
        if self.sums.len() > MAX_LABELS { self.take() } else { BTreeMap::new() }
    }

    /// Takes from a sum; gives what is to be written to its day's key, if anything is. Neither part is ever less than nothing.
    pub(crate) fn subtract(&mut self, (quarter, label): &QuarterKey, less: Sum) -> Option<Sum> {
        let less = Sum { micros: less.micros.saturating_neg(), entries: less.entries.saturating_neg() };
        if *quarter != self.start {
            return Some(less);
        }
        let mut sum = self.sums.remove(label).unwrap_or_default();
        sum.add(less);
        let is_below = sum.micros < 0 || sum.entries < 0;
        if !is_below && sum != Sum::default() {
            self.sums.insert(label.clone(), sum);
        }
        if self.sums.is_empty() {
            *self = Self::default();
        }
        is_below.then_some(sum)
    }

    /// The sums, if their quarter begins in a span.
    pub(crate) fn within(&self, (from, to): (i64, i64)) -> impl Iterator<Item = (QuarterKey, Sum)> + '_ {
        let is_within = (from..to).contains(&self.start);
        self.sums.iter().filter(move |_| is_within).map(|(label, sum)| ((self.start, label.clone()), *sum))
    }

    /// Forgets them, if their quarter begins in a span; says whether there were any.
    pub(crate) fn remove(&mut self, (from, to): (i64, i64)) -> bool {
        let are_within = (from..to).contains(&self.start) && !self.sums.is_empty();
        if are_within {
            *self = Self::default();
        }
        are_within
    }

    fn take(&mut self) -> BTreeMap<QuarterKey, Sum> {
        let Self { start, sums } = std::mem::take(self);
        sums.into_iter().map(|(label, sum)| ((start, label), sum)).collect()
    }
}

#[cfg(test)]
mod tests {
    use quota_core::QUARTER_MILLIS;

    use super::*;

    const NOON: i64 = 1_710_504_000_000;

    fn one(quarter: i64, label: &str, micros: i64) -> BTreeMap<QuarterKey, Sum> {
        BTreeMap::from([((NOON + quarter * QUARTER_MILLIS, label.to_owned()), Sum { micros, entries: 1 })])
    }

    #[test]
    fn sums_are_read_as_they_were_written_whatever_their_labels() {
        let mut open = OpenSums::default();
        for label in ["", "a", "two words", "5 6 x"] {
            assert!(open.add(one(0, label, i64::MAX - 7)).is_empty());
        }
        assert_eq!(OpenSums::read(&open.write()).unwrap(), open);
        assert_eq!(OpenSums::read("").unwrap(), OpenSums::default());
        assert_eq!(OpenSums::default().write(), "");
        for text in ["x", "1\u{1}", "1\u{1}5", "1\u{1}5 x label", "1\u{1}5 1"] {
            assert!(OpenSums::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_newer_quarter_closes_the_one_before_and_an_older_one_does_not() {
        let mut open = OpenSums::default();
        assert!(open.add(one(1, "a", 5)).is_empty());
        assert!(open.add(one(1, "a", 6)).is_empty());
        assert_eq!(open.add(one(0, "a", 7)), one(0, "a", 7));
        let two = Sum { micros: 11, entries: 2 };
        assert_eq!(open.add(one(2, "b", 8)), BTreeMap::from([((NOON + QUARTER_MILLIS, "a".to_owned()), two)]));
        assert_eq!(open.within((0, i64::MAX)).collect::<BTreeMap<_, _>>(), one(2, "b", 8));
        assert_eq!(open.within((0, NOON)).count(), 0);
    }

    #[test]
    fn many_labels_are_not_kept_open() {
        let mut open = OpenSums::default();
        let closed: Vec<usize> = (0..6).map(|label| open.add(one(0, &label.to_string(), 1)).len()).collect();
        assert_eq!(closed, [0, 0, 0, 0, 5, 0]);
    }

    #[test]
    fn what_is_taken_out_leaves_nothing_empty_or_below_zero_behind() {
        let mut open = OpenSums::default();
        let of = |quarter: i64| (NOON + quarter * QUARTER_MILLIS, "a".to_owned());
        let sum = |micros, entries| Sum { micros, entries };
        open.add(one(0, "a", 5));
        assert_eq!(open.subtract(&of(1), sum(5, 1)), Some(sum(-5, -1)));
        // Of what stands in the key.
        assert_eq!(open.subtract(&of(0), sum(7, 1)), Some(sum(-2, 0)));
        assert_eq!(open, OpenSums::default());
        open.add(one(0, "a", 5));
        assert_eq!(open.subtract(&of(0), sum(5, 1)), None);
        assert_eq!(open, OpenSums::default());
        open.add(one(0, "a", 5));
        open.remove((NOON + 1, i64::MAX));
        assert_ne!(open, OpenSums::default());
        open.remove((NOON, NOON + 1));
        assert_eq!(open, OpenSums::default());
    }
}
