//! Usage by local calendar day.

use std::collections::BTreeMap;

use chrono::NaiveDate;
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
}

impl Days {
    /// Begins with no entries.
    #[must_use]
    pub fn new(range: Window, zone: Tz, by: GroupBy) -> Self {
        Self { range, zone, by, sums: BTreeMap::new() }
    }

    /// Whether the quarter that begins at `start` does not fall whole into the range and one local day.
    #[must_use]
    pub fn cuts(&self, start: Instant) -> bool {
        let Ok(last) = Instant::from_millis(start.millis().saturating_add(QUARTER_MILLIS - 1)) else { return true };
        let inside = self.range.start() <= start && (last < self.range.end() || self.range.end() == Instant::MAX);
        if !inside {
            return true;
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
        let day = local(at, self.zone).date();
        let label = if self.by == GroupBy::DayAndLabel { label } else { None };
        let sum = self.sums.entry((day, label)).or_default();
        // Cannot overflow: the lifetime sum bounds it.
        sum.0 = sum.0.saturating_add(credits);
        sum.1 = sum.1.saturating_add(entries);
    }

    /// The days with entries, ascending; within a day by label, entries without one first.
    #[must_use]
    pub fn finish(self) -> Vec<DayUsage> {
        let day = |((day, label), (credits, entries))| DayUsage { day, label, credits, entries };
        self.sums.into_iter().map(day).collect()
    }
}
