//! Usage by day, from sums of quarters.

use quota_core::{Credits, Cut, DayUsage, Days, Instant, Label, Labels, QUARTER_MILLIS, QuarterSum, Span, Window};

use crate::store::DailyQuery;

/// Sorts what a store keeps of one client into days: the sums of quarters, and the entries where a range or a day begins
/// inside a quarter whose entries are kept.
#[derive(Debug)]
pub struct DaysReading {
    days: Days,
    range: Window,
    folded_until: Instant,
    labels: Labels,
    cuts: Vec<Span>,
}

impl DaysReading {
    /// Begins with nothing; `labels` are those that the client's sums tell apart. Where no entries are kept,
    /// `folded_until` is [`Instant::MAX`].
    #[must_use]
    pub fn new(query: &DailyQuery, folded_until: Instant, labels: Labels) -> Self {
        let days = Days::new(query.range, query.zone, query.by);
        Self { days, range: query.range, folded_until, labels, cuts: Vec::new() }
    }

    /// The first instants of the quarters that a range touches.
    #[must_use]
    pub fn quarters(range: Window) -> Span {
        (Cut::floor(range.start().millis()), range.end().millis())
    }

    /// Adds the sum of a quarter, or notes that its entries are to be added instead.
    pub fn add_quarter(&mut self, quarter: QuarterSum) {
        if quarter.start < self.folded_until || !self.days.cuts(quarter.start) {
            return self.days.add_quarter(quarter);
        }
        let start = quarter.start.millis();
        let from = start.max(self.range.start().millis());
        let to = start.saturating_add(QUARTER_MILLIS).min(self.range.end().millis());
        // There is a sum for each label.
        if !self.cuts.contains(&(from, to)) {
            self.cuts.push((from, to));
        }
    }

    /// The spans whose entries are to be added ([`DaysReading::add_entry`]), now that every quarter is.
    #[must_use]
    pub fn cuts(&self) -> &[Span] {
        &self.cuts
    }

    /// Adds an entry, under the label that the sums know it by.
    pub fn add_entry(&mut self, at: Instant, credits: Credits, label: Option<&Label>) {
        let counted = label.filter(|label| self.labels.counted(Some(label)) == label.as_str());
        self.days.add_entry(at, credits, counted.cloned());
    }

    /// The days with entries, ascending.
    #[must_use]
    pub fn finish(self) -> Vec<DayUsage> {
        self.days.finish()
    }
}
