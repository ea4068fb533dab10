//! How many ids each day's key holds.

use std::collections::BTreeMap;

use quota_service::StoreError;

use crate::entry_text::corrupt;

/// How many ids of a client stand in the key of each day: `19800:12,19801:3`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdCounts(BTreeMap<i64, u64>);

impl IdCounts {
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let pair = |part: &str| {
            let (day, count) = part.split_once(':')?;
            Some((day.parse().ok()?, count.parse().ok()?))
        };
        let counts: Option<_> = text.split(',').filter(|part| !part.is_empty()).map(pair).collect();
        counts.map(Self).ok_or_else(|| corrupt("the count of a client's ids", text))
    }

    pub(crate) fn write(&self) -> String {
        self.0.iter().map(|(day, count)| format!("{day}:{count}")).collect::<Vec<_>>().join(",")
    }

    /// How many ids the days from `first` on hold.
    pub(crate) fn since(&self, first: i64) -> u64 {
        self.0.range(first..).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The days that hold ids, from `first` on, ascending.
    pub(crate) fn days_since(&self, first: i64) -> impl DoubleEndedIterator<Item = i64> + '_ {
        self.0.range(first..).map(|(day, _)| *day)
    }

    /// Says whether they are the day's first.
    pub(crate) fn add(&mut self, day: i64, ids: u64) -> bool {
        let count = self.0.entry(day).or_default();
        let first = *count == 0;
        *count = count.saturating_add(ids);
        first
    }

    pub(crate) fn subtract(&mut self, day: i64, ids: u64) {
        if let Some(count) = self.0.get_mut(&day) {
            *count = count.saturating_sub(ids);
            if *count == 0 {
                self.0.remove(&day);
            }
        }
    }

    /// Forgets a day; says how many ids it held.
    pub(crate) fn remove(&mut self, day: i64) -> u64 {
        self.0.remove(&day).unwrap_or_default()
    }

    /// Forgets the days before `first`; their keys expire.
    pub(crate) fn forget_before(&mut self, first: i64) {
        self.0 = self.0.split_off(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_by_day() {
        let mut counts = IdCounts::read("19800:12,19801:3").unwrap();
        assert!(!counts.add(19_801, 2) && counts.add(19_802, 1));
        assert_eq!((counts.since(19_801), counts.write().as_str()), (6, "19800:12,19801:5,19802:1"));
        counts.subtract(19_801, 5);
        counts.forget_before(19_801);
        assert_eq!(counts.write(), "19802:1");
        assert!(IdCounts::read("1").is_err());
    }
}
