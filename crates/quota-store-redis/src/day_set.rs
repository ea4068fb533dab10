//! Which days of a client have keys.

use quota_service::StoreError;

use crate::entry_text::corrupt;

/// UTC days, counted from 1970, as ranges: `19700-19731,19740`. Most clients have few ranges, however long they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DaySet(Vec<(i64, i64)>);

impl DaySet {
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some((first, last))
        };
        let ranges: Option<Vec<_>> = text.split(',').filter(|part| !part.is_empty()).map(range).collect();
        ranges.map(Self).ok_or_else(|| corrupt("the list of a client's days", text))
    }

    pub(crate) fn write(&self) -> String {
        let range = |(first, last): &(i64, i64)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        self.0.iter().map(range).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn contains(&self, day: i64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&day))
    }

    /// The days from `from` to `to`, both included, ascending.
    pub(crate) fn between(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = i64> + '_ {
        self.0.iter().flat_map(move |(first, last)| (*first).max(from)..=(*last).min(to))
    }

    /// Takes a day in; says whether it is new.
    pub(crate) fn insert(&mut self, day: i64) -> bool {
        if self.contains(day) {
            return false;
        }
        self.0.push((day, day));
        self.0.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0.drain(..) {
            match joined.last_mut() {
                Some(before) if before.1.saturating_add(1) == first => before.1 = last,
                _ => joined.push((first, last)),
            }
        }
        self.0 = joined;
        true
    }

    pub(crate) fn remove(&mut self, day: i64) {
        let parts = |(first, last): (i64, i64)| {
            let before = (first, last.min(day.saturating_sub(1)));
            let after = (first.max(day.saturating_add(1)), last);
            [before, after].into_iter().filter(|(first, last)| first <= last)
        };
        self.0 = self.0.drain(..).flat_map(parts).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_kept_as_ranges() {
        let mut days = DaySet::default();
        for day in [5, 3, 9, 4, 3] {
            days.insert(day);
        }
        assert_eq!(days.write(), "3-5,9");
        assert!(!days.insert(4) && days.insert(8));
        days.remove(4);
        assert_eq!(days.write(), "3,5,8-9");
        assert_eq!(DaySet::read("3,5,8-9").unwrap(), days);
        assert_eq!(days.between(4, 8).collect::<Vec<_>>(), [5, 8]);
        assert_eq!(days.between(i64::MIN, i64::MAX).next_back(), Some(9));
        assert_eq!(DaySet::read("").unwrap().write(), "");
        assert!(DaySet::read("5-3").is_err() && DaySet::read("x").is_err());
    }
}
