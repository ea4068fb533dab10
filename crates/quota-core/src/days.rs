//! Usage by local calendar day.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use crate::credits::Credits;
use crate::id::Label;
use crate::instant::Instant;
use crate::lattice::local;
use crate::ledger::QUARTER_MILLIS;
use crate::window::Window;

/// Whether usage is told apart by label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// One sum for each day.
    #[default]
    Day,
    /// One sum for each day and label.
    DayAndLabel,
}

/// What was used on one local calendar day (with one label, if asked for by label).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// The day in the reader's time zone.
    pub day: NaiveDate,
    /// The label; none for entries without one, and where all labels are summed.
    pub label: Option<Label>,
    /// The sum of the entries.
    pub credits: Credits,
    /// How many entries.
    pub entries: u64,
}

/// The entries of one UTC quarter of an hour (with one label).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarterSum {
    /// The quarter's first instant.
    pub start: Instant,
    /// What the entries were for.
    pub label: Option<Label>,
    /// Their sum.
    pub credits: Credits,
    /// How many.
    pub entries: u64,
}

/// Sorts entries and sums of quarters into local days.
///
/// Since 1980 every zone's offset is a multiple of 15 minutes, so a quarter lies within one local day. Where
/// that is not so, and where the range begins or ends inside a quarter, [`Days::cuts`] says that the
/// quarter's entries are to be added one by one instead of its sum.
#[derive(Debug)]
pub struct Days {
    range: Window,
    zone: Tz,
    by: GroupBy,
    sums: BTreeMap<(NaiveDate, Option<Label>), (Credits, u64)>,
    /// Where the last instant was: the next one is mostly of the same day.
    met: Option<Stretch>,
}

/// A local day in which the zone's clocks go on evenly, or one instant of another one; in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: i64,
    to: i64,
    day: NaiveDate,
}

const DAY_MILLIS: i64 = 86_400_000;

impl Stretch {
    /// The day is even where its first and its last millisecond are as far from `at` as on a clock: no zone changes its offset and
    /// takes that back within a day.
    fn of(at: Instant, zone: Tz) -> Self {
        let wall = local(at, zone);
        let midnight = wall.date().and_time(NaiveTime::MIN);
        let from = at.millis() - (wall - midnight).num_milliseconds();
        let is_even = |passed: i64| {
            let there = Instant::from_millis(from + passed).map(|at| local(at, zone));
            there.is_ok_and(|there| Some(there) == midnight.checked_add_signed(TimeDelta::milliseconds(passed)))
        };
        if is_even(0) && is_even(DAY_MILLIS - 1) {
            Self { from, to: from + DAY_MILLIS, day: wall.date() }
        } else {
            Self { from: at.millis(), to: at.millis() + 1, day: wall.date() }
        }
    }

    const fn holds(&self, at: Instant) -> bool {
        self.from <= at.millis() && at.millis() < self.to
    }
}

impl Days {
    /// Begins with no entries.
    #[must_use]
    pub fn new(range: Window, zone: Tz, by: GroupBy) -> Self {
        Self { range, zone, by, sums: BTreeMap::new(), met: None }
    }

    /// Whether the quarter that begins at `start` does not fall whole into the range and one local day.
    #[must_use]
    pub fn cuts(&mut self, start: Instant) -> bool {
        let Ok(last) = Instant::from_millis(start.millis().saturating_add(QUARTER_MILLIS - 1)) else { return true };
        let inside = self.range.start() <= start && (last < self.range.end() || self.range.end() == Instant::MAX);
        if !inside {
            return true;
        }
        if self.stretch(start).holds(last) {
            return false;
        }
        let (first_wall, last_wall) = (local(start, self.zone), local(last, self.zone));
        let elapsed = (last_wall - first_wall).num_milliseconds();
        first_wall.date() != last_wall.date() || elapsed != QUARTER_MILLIS - 1
    }

    /// Adds the sum of a quarter to the day of its first instant.
    pub fn add_quarter(&mut self, quarter: QuarterSum) {
        self.add(quarter.start, quarter.label, quarter.credits, quarter.entries);
    }

    /// Adds one entry, if it lies in the range.
    pub fn add_entry(&mut self, at: Instant, credits: Credits, label: Option<Label>) {
        if self.range.contains(at) {
            self.add(at, label, credits, 1);
        }
    }

    fn add(&mut self, at: Instant, label: Option<Label>, credits: Credits, entries: u64) {
        let day = self.stretch(at).day;
        let label = if self.by == GroupBy::DayAndLabel { label } else { None };
        let sum = self.sums.entry((day, label)).or_default();
        // Cannot overflow: the lifetime sum bounds it.
        sum.0 = sum.0.saturating_add(credits);
        sum.1 = sum.1.saturating_add(entries);
    }

    fn stretch(&mut self, at: Instant) -> Stretch {
        let zone = self.zone;
        let known = self.met.filter(|met| met.holds(at)).unwrap_or_else(|| Stretch::of(at, zone));
        *self.met.insert(known)
    }

    /// The days with entries, ascending; within a day by label, entries without one first.
    #[must_use]
    pub fn finish(self) -> Vec<DayUsage> {
        let day = |((day, label), (credits, entries))| DayUsage { day, label, credits, entries };
        self.sums.into_iter().map(day).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::TZ_VARIANTS;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis).unwrap()
    }

    fn is_soak() -> bool {
        std::env::var_os("QUOTA_SOAK").is_some()
    }

    /// What [`Days::cuts`] says of a quarter in the range, without what it has met.
    fn cuts(start: Instant, zone: Tz) -> bool {
        let [first, last] = [0, QUARTER_MILLIS - 1].map(|passed| local(at(start.millis() + passed), zone));
        first.date() != last.date() || (last - first).num_milliseconds() != QUARTER_MILLIS - 1
    }

    #[test]
    fn what_was_met_says_what_the_zone_says() {
        // About changes of the clocks that last for a month.
        for zone in TZ_VARIANTS.into_iter().step_by(if is_soak() { 1 } else { 4 }) {
            let mut days = Days::new(Window::ALL, zone, GroupBy::Day);
            let offset = |millis: i64| (local(at(millis), zone) - at(millis).to_utc().naive_utc()).num_seconds();
            let mut month = 0;
            while month < 60 * 365 * 24 * HOUR {
                let next = month + 30 * 24 * HOUR;
                if offset(month) != offset(next) {
                    let (mut before, mut after) = (month, next);
                    while after - before > QUARTER_MILLIS {
                        let middle = (before + after) / 2 / QUARTER_MILLIS * QUARTER_MILLIS;
                        if offset(middle) == offset(before) { before = middle } else { after = middle }
                    }
                    for quarter in -100..100 {
                        let Ok(start) = Instant::from_millis(before + quarter * QUARTER_MILLIS) else { continue };
                        assert_eq!(days.cuts(start), cuts(start, zone), "{zone} {start}");
                        assert_eq!(days.stretch(start).day, local(start, zone).date(), "{zone} {start}");
                    }
                }
                month = next;
            }
        }
    }

    /// Each zone hour by hour in a soak, some of them otherwise.
    #[test]
    fn no_zone_changes_its_offset_and_takes_that_back_within_a_day() {
        for zone in TZ_VARIANTS.iter().step_by(if is_soak() { 1 } else { 40 }) {
            let mut changed = (0, 0);
            let mut last = 0;
            for hour in 0..70 * 365 * 24 {
                let utc = at(hour * HOUR);
                let offset = (local(utc, *zone) - utc.to_utc().naive_utc()).num_seconds();
                if hour > 0 && offset != last {
                    assert!(hour - changed.0 > 24 || offset != changed.1, "{zone} {utc}");
                    changed = (hour, last);
                }
                last = offset;
            }
        }
    }
}
