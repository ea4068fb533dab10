//! Sums of quarters as fields of a day's hash.

use std::collections::BTreeMap;

use quota_core::{Cut, Entry, QUARTER_MILLIS};
use quota_service::StoreError;

use crate::entry_text::corrupt;
use crate::keys::{DAY_MILLIS, day_of};

/// Sum and count of a quarter's entries of one label, or of more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) micros: i64,
    pub(crate) entries: i64,
}

/// The quarter's first millisecond, and a label; empty for none.
pub(crate) type QuarterKey = (i64, String);

impl Sum {
    pub(crate) const fn of(entry: &Entry) -> Self {
        Self { micros: entry.credits.micros(), entries: 1 }
    }

    pub(crate) fn add(&mut self, other: Self) {
        // The lifetime sum bounds it.
        self.micros = self.micros.saturating_add(other.micros);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

/// The names of the two fields: of the credits and of the count.
pub(crate) fn fields_of(millis: i64, label: &str) -> [String; 2] {
    let start = day_of(millis).saturating_mul(DAY_MILLIS);
    let quarter = millis.saturating_sub(start).div_euclid(QUARTER_MILLIS);
    [format!("c{quarter}:{label}"), format!("n{quarter}:{label}")]
}

/// The quarters of a day's hash that begin in a span, those whose entries were all taken out too.
pub(crate) fn read_day(
    day: i64,
    fields: Vec<(String, String)>,
    (from, to): (i64, i64),
) -> Result<BTreeMap<QuarterKey, Sum>, StoreError> {
    let mut sums: BTreeMap<QuarterKey, Sum> = BTreeMap::new();
    for (field, value) in fields {
        let read = || {
            let (quarter, label) = field.get(1..)?.split_once(':')?;
            let quarter: i64 = quarter.parse().ok().filter(|quarter| (0..96).contains(quarter))?;
            let start = day.checked_mul(DAY_MILLIS)?.checked_add(quarter.checked_mul(QUARTER_MILLIS)?)?;
            Some((start, label.to_owned(), value.parse::<i64>().ok()?))
        };
        let (start, label, number) = read().ok_or_else(|| corrupt("the sum of a quarter", &field))?;
        if from <= start && start < to {
            let sum = sums.entry((start, label)).or_default();
            if field.starts_with('c') { sum.micros = number } else { sum.entries = number }
        }
    }
    Ok(sums)
}

/// The whole quarters that a span touches.
pub(crate) fn rounded((from, to): (i64, i64)) -> (i64, i64) {
    if from >= to { (from, from) } else { (Cut::floor(from), Cut::floor(to.saturating_add(QUARTER_MILLIS - 1))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_read_as_it_was_written_whatever_its_label() {
        let millis = 3 * DAY_MILLIS + 5 * QUARTER_MILLIS + 7;
        for label in ["", "a", "n5:x", "#n", ":"] {
            let [credits, count] = fields_of(millis, label);
            let fields = vec![(credits, "9007199254740993".to_owned()), (count, "2".to_owned())];
            let sums = read_day(3, fields.clone(), (0, i64::MAX)).unwrap();
            let start = 3 * DAY_MILLIS + 5 * QUARTER_MILLIS;
            let expected = Sum { micros: 9_007_199_254_740_993, entries: 2 };
            assert_eq!(sums.into_iter().collect::<Vec<_>>(), [((start, label.to_owned()), expected)]);
            assert!(read_day(3, fields, (start + 1, i64::MAX)).unwrap().is_empty());
        }
        assert!(read_day(3, vec![("x".to_owned(), "1".to_owned())], (0, 1)).is_err());
        assert!(read_day(3, vec![("c1:".to_owned(), "x".to_owned())], (0, 1)).is_err());
    }
}
