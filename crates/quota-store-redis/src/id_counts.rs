//! How many ids were written in each hour.

use std::collections::BTreeMap;

use quota_service::StoreError;

use crate::entry_text::corrupt;

pub(crate) const HOURS: i64 = 24;

/// How many ids of a client were written in each hour, counted from 1970, and stand in the keys of their days: by UTC day
/// `19800 9:12 10:3,19801 0:4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdCounts(BTreeMap<i64, u64>);

impl IdCounts {
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let mut counts = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            counts.read_day(part).ok_or_else(|| corrupt("the count of a client's ids", text))?;
        }
        Ok(counts)
    }

    fn read_day(&mut self, part: &str) -> Option<()> {
        // `19800:12` counts a whole day, as all accounts did before hours were told apart: as if in its last hour.
        if let Some((day, count)) = part.split_once(':').filter(|(day, _)| !day.contains(' ')) {
            self.add(last_hour_of(day.parse().ok()?), count.parse().ok()?);
            return Some(());
        }
        let (day, hours) = part.split_once(' ')?;
        let midnight = day.parse::<i64>().ok()?.checked_mul(HOURS)?;
        for hour in hours.split(' ') {
            let (hour, count) = hour.split_once(':')?;
            let hour = hour.parse().ok().filter(|hour| (0..HOURS).contains(hour))?;
            self.add(midnight.checked_add(hour)?, count.parse().ok()?);
        }
        Some(())
    }

    pub(crate) fn write(&self) -> String {
        let mut days: BTreeMap<i64, String> = BTreeMap::new();
        for (hour, count) in &self.0 {
            let day = days.entry(day_of_hour(*hour)).or_default();
            day.push_str(&format!(" {}:{count}", hour.rem_euclid(HOURS)));
        }
        days.iter().map(|(day, hours)| format!("{day}{hours}")).collect::<Vec<_>>().join(",")
    }

    /// How many ids were written from an hour on.
    pub(crate) fn since(&self, hour: i64) -> u64 {
        self.0.range(hour..).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The days that hold ids, from `first` on, ascending.
    pub(crate) fn days_since(&self, first: i64) -> impl DoubleEndedIterator<Item = i64> + use<> {
        let mut days: Vec<i64> =
            self.0.range(first.saturating_mul(HOURS)..).map(|(hour, _)| day_of_hour(*hour)).collect();
        days.dedup();
        days.into_iter()
    }

    /// Whether a day holds any.
    pub(crate) fn holds(&self, day: i64) -> bool {
        let [from, to] = [day, day.saturating_add(1)].map(|day| day.saturating_mul(HOURS));
        self.0.range(from..to).next().is_some()
    }

    pub(crate) fn add(&mut self, hour: i64, ids: u64) {
        let count = self.0.entry(hour).or_default();
        *count = count.saturating_add(ids);
    }

    /// Takes ids out of the hour that they count in, and of no other: a day is not looked through any more when none are left of
    /// it, so rather too many are counted than too few.
    pub(crate) fn subtract(&mut self, hour: i64, ids: u64) {
        if let Some(count) = self.0.get_mut(&hour) {
            *count = count.saturating_sub(ids);
            if *count == 0 {
                self.0.remove(&hour);
            }
        }
    }

    /// Forgets a day; says how many ids it held.
    pub(crate) fn remove(&mut self, day: i64) -> u64 {
        let [from, to] = [day, day.saturating_add(1)].map(|day| self.since(day.saturating_mul(HOURS)));
        self.0.retain(|hour, _| day_of_hour(*hour) != day);
        from.saturating_sub(to)
    }

    /// Forgets the hours before `first`: those ids are remembered no longer. Their keys expire. Says whether there were any.
    pub(crate) fn forget_before(&mut self, first: i64) -> bool {
        let left = self.0.split_off(&first);
        !std::mem::replace(&mut self.0, left).is_empty()
    }
}

pub(crate) const fn last_hour_of(day: i64) -> i64 {
    day.saturating_mul(HOURS).saturating_add(HOURS - 1)
}

const fn day_of_hour(hour: i64) -> i64 {
    hour.div_euclid(HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 19_800;
    const MIDNIGHT: i64 = DAY * HOURS;

    #[test]
    fn ids_are_counted_by_hour_and_looked_for_by_day() {
        let mut counts = IdCounts::default();
        for (hour, ids) in [(9, 12), (23, 2), (24, 4), (23, 1), (50, 7)] {
            counts.add(MIDNIGHT + hour, ids);
        }
        assert_eq!(counts.write(), "19800 9:12 23:3,19801 0:4,19802 2:7");
        assert_eq!(IdCounts::read(&counts.write()).unwrap(), counts);
        assert_eq!([9, 10, 24, 51].map(|hour| counts.since(MIDNIGHT + hour)), [26, 14, 11, 0]);
        assert_eq!(counts.days_since(i64::MIN).collect::<Vec<_>>(), [DAY, DAY + 1, DAY + 2]);
        assert_eq!(counts.days_since(DAY + 1).next_back(), Some(DAY + 2));
        assert_eq!([-1, 0, 1, 2, 3].map(|day| counts.holds(DAY + day)), [false, true, true, true, false]);
        assert_eq!((counts.remove(DAY + 1), counts.remove(DAY + 1)), (4, 0));
        assert_eq!(counts.write(), "19800 9:12 23:3,19802 2:7");
        counts.forget_before(MIDNIGHT + 10);
        assert_eq!(counts.write(), "19800 23:3,19802 2:7");
        assert_eq!(IdCounts::read("").unwrap().write(), "");
        for text in ["1", "1 2", "1 2:x", "1 24:5", "1 -1:5", "1:5 6", "x:1", "1 ", "1 2:3 "] {
            assert!(IdCounts::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_of_which_only_the_day_is_known_count_to_its_end() {
        let counts = IdCounts::read("19800:12,19801:3").unwrap();
        assert_eq!([23, 24, 47, 48].map(|hour| counts.since(MIDNIGHT + hour)), [15, 3, 3, 0]);
        assert_eq!(counts.write(), "19800 23:12,19801 23:3");
    }

    #[test]
    fn an_id_is_taken_out_of_no_hour_but_its_own() {
        let mut counts = IdCounts::read("19800 9:2 12:1").unwrap();
        counts.subtract(MIDNIGHT + 8, 1);
        assert_eq!(counts.since(i64::MIN), 3);
        counts.subtract(MIDNIGHT + 9, 3);
        assert_eq!(counts.write(), "19800 12:1");
        counts.subtract(MIDNIGHT + 12, 1);
        assert_eq!(counts.days_since(i64::MIN).count(), 0);
    }
}
