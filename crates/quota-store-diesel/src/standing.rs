//! Which of a client's rows count.

use quota_core::{Cut, Entry, Instant, QUARTER_MILLIS, Refusal, Span, Terms, Window};

use crate::rows::{AccountRow, Broken, instant};

/// Which of a client's rows count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Entries before this are only in the sums.
    pub(crate) folded_until: Instant,
    /// Where a large deletion has left rows to be taken out step by step.
    pub(crate) left: Option<Left>,
}

/// Where a large deletion, or a folding, has left rows to be taken out step by step. Nobody may see them; so nothing may be added here
/// before they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// The entries here are in no sum any more. Never empty.
    pub(crate) span: Span,
    /// Whether sums are left as well: those of all quarters that lie whole in the span.
    pub(crate) sums: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self { folded_until: Instant::MIN, left: None }
    }
}

impl Standing {
    /// From the columns of the account; a span that is empty is none.
    pub(crate) fn read((_, folded_until, _, from, to, sums): &AccountRow) -> Result<Self, Broken> {
        Ok(Self { folded_until: instant(*folded_until)?, left: Left::of((*from, *to), *sums != 0) })
    }

    /// Whether what is kept of the client can tell this range.
    pub(crate) fn check_range(&self, range: Window) -> Result<(), Refusal> {
        Terms { folded_until: self.folded_until, ..Terms::ENTRIES }.check_range(range)
    }

    /// Whether an entry at this instant is deleted.
    pub(crate) fn is_deleted(&self, at: Instant) -> bool {
        self.left.is_some_and(|Left { span: (from, to), .. }| (from..to).contains(&at.millis()))
    }

    /// The first instant of these entries at which rows are deleted.
    pub(crate) fn first_deleted(&self, entries: &[Entry]) -> Option<i64> {
        entries.iter().map(|entry| entry.at).filter(|at| self.is_deleted(*at)).map(Instant::millis).min()
    }

    /// Whether entries of this span may be deleted ones.
    pub(crate) fn cuts(&self, span: Span) -> bool {
        self.left.is_some_and(|Left { span: left, .. }| left.0.max(span.0) < left.1.min(span.1))
    }

    /// Those of these quarters whose sums count: the ones before, and the ones behind those that are deleted.
    pub(crate) fn living(&self, (from, to): Span) -> [Span; 2] {
        match self.left.map(Left::quarters) {
            Some((dead, alive)) if dead < alive => [(from, to.min(dead).max(from)), (from.max(alive).min(to), to)],
            _ => [(from, to), (to, to)],
        }
    }

    /// Whether the sums of this quarter count.
    pub(crate) fn lives(&self, quarter: i64) -> bool {
        self.left.is_none_or(|left| {
            let (from, to) = left.quarters();
            !(from..to).contains(&quarter)
        })
    }
}

impl Left {
    /// None where the span is empty.
    pub(crate) fn of(span: Span, sums: bool) -> Option<Self> {
        (span.0 < span.1).then_some(Self { span, sums })
    }

    /// What a deletion leaves: entries, sums or both. All that lies between them is deleted as well.
    pub(crate) fn hull(entries: Option<Span>, sums: Option<Span>) -> Option<Self> {
        let span = match (entries, sums) {
            (Some(entries), Some(sums)) => (entries.0.min(sums.0), entries.1.max(sums.1)),
            (one, other) => one.or(other)?,
        };
        Self::of(span, sums.is_some())
    }

    /// The first instants of the quarters whose sums are deleted.
    pub(crate) fn quarters(self) -> Span {
        let (from, to) = self.span;
        let (first, end) = (ceil(from), Cut::floor(to));
        if self.sums && first < end { (first, end) } else { (first, first) }
    }

    /// What is left when all from this instant on is taken out, and the first of the quarters whose sums are taken out with it: no
    /// quarter that is cut lies whole in what is left.
    pub(crate) fn until(self, at: i64) -> (Option<Self>, i64) {
        let left = Self::of((self.span.0, self.span.1.min(at)), self.sums);
        (left, Cut::floor(at).max(self.quarters().0))
    }

    /// From where on all is taken out at once, if there is as much as that behind this entry and behind this quarter. From the newest
    /// on: there a hold is settled that was made before the deletion.
    pub(crate) fn tail(self, entry: Option<i64>, quarter: Option<i64>) -> i64 {
        let (from, to) = self.span;
        let behind_entry = entry.map_or(from, |entry| entry.saturating_add(1));
        let behind_quarter = quarter.map_or(from, |quarter| quarter.saturating_add(QUARTER_MILLIS));
        behind_entry.max(behind_quarter).min(to.saturating_sub(1))
    }

    /// Whether an entry is of the last instant.
    pub(crate) const fn ends_with(self, entry: i64) -> bool {
        entry.saturating_add(1) >= self.span.1
    }
}

const fn ceil(millis: i64) -> i64 {
    Cut::floor(millis.saturating_add(QUARTER_MILLIS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: i64 = QUARTER_MILLIS;

    fn standing(span: Span, sums: bool) -> Standing {
        Standing { left: Left::of(span, sums), ..Standing::default() }
    }

    #[test]
    fn sums_count_but_those_of_quarters_that_lie_whole_where_sums_are_left() {
        let whole = standing((Q, 4 * Q), true);
        assert_eq!(whole.living((0, 9 * Q)), [(0, Q), (4 * Q, 9 * Q)]);
        assert_eq!(whole.living((2 * Q, 3 * Q)), [(2 * Q, 2 * Q), (3 * Q, 3 * Q)]);
        assert_eq!(whole.living((0, Q)), [(0, Q), (Q, Q)]);
        assert_eq!(whole.living((5 * Q, 6 * Q)), [(5 * Q, 5 * Q), (5 * Q, 6 * Q)]);
        assert_eq!([0, Q, 3 * Q, 4 * Q].map(|quarter| whole.lives(quarter)), [true, false, false, true]);
        let cut = standing((Q + 1, 4 * Q - 1), true);
        assert_eq!(cut.living((0, 9 * Q)), [(0, 2 * Q), (3 * Q, 9 * Q)]);
        assert_eq!([Q, 2 * Q, 3 * Q].map(|quarter| cut.lives(quarter)), [true, false, true]);
        for none in [standing((Q, 4 * Q), false), standing((Q + 1, Q + 9), true), Standing::default()] {
            assert_eq!(none.living((0, 9 * Q)), [(0, 9 * Q), (9 * Q, 9 * Q)]);
            assert!([0, Q, 2 * Q].iter().all(|quarter| none.lives(*quarter)));
        }
    }

    #[test]
    fn what_is_taken_out_from_an_instant_on_takes_the_sums_of_its_quarter_with_it() {
        let left = Left::of((Q + 1, 4 * Q), true).unwrap();
        assert_eq!(left.until(3 * Q + 5), (Left::of((Q + 1, 3 * Q + 5), true), 3 * Q));
        assert_eq!(left.until(Q + 2), (Left::of((Q + 1, Q + 2), true), 2 * Q), "its quarter was cut before");
        assert_eq!(left.until(Q + 1), (None, 2 * Q));
    }

    #[test]
    fn what_is_left_is_taken_out_from_its_end() {
        let left = Left::of((Q + 1, 4 * Q), true).unwrap();
        assert_eq!(left.tail(None, None), Q + 1, "all of it");
        assert_eq!(left.tail(Some(3 * Q), None), 3 * Q + 1);
        assert_eq!(left.tail(Some(3 * Q), Some(2 * Q)), 3 * Q + 1);
        assert_eq!(left.tail(Some(2 * Q), Some(2 * Q)), 3 * Q);
        // A quarter is not divided.
        assert_eq!(left.until(left.tail(None, Some(3 * Q))), (Left::of((Q + 1, 4 * Q - 1), true), 3 * Q));
        assert!(left.ends_with(4 * Q - 1) && !left.ends_with(4 * Q - 2));
    }

    #[test]
    fn what_lies_between_entries_and_sums_that_are_left_is_left() {
        let hull = Left::hull(Some((Q + 3, 2 * Q)), Some((3 * Q, 5 * Q)));
        assert_eq!(hull, Some(Left { span: (Q + 3, 5 * Q), sums: true }));
        assert_eq!(Left::hull(Some((1, 2)), None), Some(Left { span: (1, 2), sums: false }));
        assert_eq!(Left::hull(None, Some((Q, 2 * Q))), Some(Left { span: (Q, 2 * Q), sums: true }));
        assert_eq!((Left::hull(None, None), Left::hull(Some((3, 3)), None)), (None, None));
    }
}
