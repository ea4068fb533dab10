//! Usage by day, from the rows of quarters.

use quota_core::{DayUsage, Days, Instant, QUARTER_MILLIS, QuarterSum, Window};
use quota_service::DailyQuery;

use crate::cut::{Span, floor};
use crate::labels::Labels;
use crate::rows::{self, Broken, EntryRow, QuarterRow};

/// Sorts one client's rows into days.
#[derive(Debug)]
pub(crate) struct DaysReading {
    days: Days,
    range: Window,
    folded_until: Instant,
    labels: Labels,
}

impl DaysReading {
    pub(crate) fn new(query: &DailyQuery, folded_until: Instant, labels: Labels) -> Self {
        Self { days: Days::new(query.range, query.zone, query.by), range: query.range, folded_until, labels }
    }

    /// The first instants of the quarters that the range touches.
    pub(crate) fn quarters(range: Window) -> Span {
        (floor(range.start().millis()), range.end().millis())
    }

    /// Adds the quarters that fall whole into a day; answers the spans to be read entry by entry instead.
    pub(crate) fn add_quarters(&mut self, quarters: Vec<QuarterRow>) -> Result<Vec<Span>, Broken> {
        let mut cuts: Vec<Span> = Vec::new();
        for (quarter, label, micros, entries) in quarters {
            let start = rows::instant(quarter)?;
            if start >= self.folded_until && self.days.cuts(start) {
                let from = quarter.max(self.range.start().millis());
                let to = quarter.saturating_add(QUARTER_MILLIS).min(self.range.end().millis());
                // There is a row for each label, in order.
                if cuts.last() != Some(&(from, to)) {
                    cuts.push((from, to));
                }
                continue;
            }
            let (credits, entries) = (rows::credits(micros)?, rows::count(entries)?);
            self.days.add_quarter(QuarterSum { start, label: rows::label(&label)?, credits, entries });
        }
        Ok(cuts)
    }

    /// Adds entries one by one, under the label that the sums know them by.
    pub(crate) fn add_entries(&mut self, entries: Vec<EntryRow>) -> Result<(), Broken> {
        for row in entries {
            let entry = rows::entry(None, &row)?;
            let counted = rows::label(self.labels.counted(entry.label.as_ref()))?;
            self.days.add_entry(entry.at, entry.credits, counted);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<DayUsage> {
        self.days.finish()
    }
}

/// The first text in byte order that comes after every text with this prefix; none where none does.
pub(crate) fn first_after_all(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // The order of UTF-8 is the order of code points; surrogates are none.
        if let Some(next) = (last..=char::MAX).nth(1) {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_a_prefix_is_the_next_code_point() {
        for (prefix, after) in [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("a\u{7f}", Some("a\u{80}")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(first_after_all(prefix).as_deref(), after, "{prefix:?}");
        }
    }
}
