//! What of a range is read from quarters and what from entries.

use crate::instant::Instant;
use crate::ledger::QUARTER_MILLIS;
use crate::window::Window;

/// A half-open span of milliseconds since 1970.
pub type Span = (i64, i64);

/// A range of instants, cut at the quarters of an hour: for stores that keep a sum for each.
///
/// ```
/// use quota_core::{Cut, Instant, QUARTER_MILLIS, Window};
///
/// let at = |millis| Instant::from_millis(millis);
/// let cut = Cut::new(Window::new(at(1)?, at(3 * QUARTER_MILLIS + 2)?)?, Instant::MIN);
/// assert_eq!(cut.quarters, (QUARTER_MILLIS, 3 * QUARTER_MILLIS));
/// assert_eq!(cut.edges, [(1, QUARTER_MILLIS), (3 * QUARTER_MILLIS, 3 * QUARTER_MILLIS + 2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first instants of the quarters that count whole.
    pub quarters: Span,
    /// What is left at either end, to be read entry by entry. Each lies within one quarter; it may be empty.
    pub edges: [Span; 2],
}

impl Cut {
    /// Cuts a range. Where it begins or ends inside a quarter whose entries are folded, the whole quarter
    /// counts: never too little.
    #[must_use]
    pub fn new(range: Window, folded_until: Instant) -> Self {
        let (mut from, mut to) = (range.start().millis(), range.end().millis());
        if range.is_empty() {
            return Self { quarters: (from, from), edges: [(from, from), (from, from)] };
        }
        let folded = folded_until.millis();
        if from < folded {
            from = Self::floor(from);
        }
        if to < folded {
            to = ceil(to);
        }
        let (first, last) = (ceil(from), Self::floor(to));
        if first > last {
            // Begins and ends inside the same quarter.
            return Self { quarters: (first, first), edges: [(from, to), (to, to)] };
        }
        Self { quarters: (first, last), edges: [(from, first), (last, to)] }
    }

    /// The first millisecond of the quarter that holds this one.
    #[must_use]
    pub const fn floor(millis: i64) -> i64 {
        millis - millis.rem_euclid(QUARTER_MILLIS)
    }
}

const fn ceil(millis: i64) -> i64 {
    Cut::floor(millis + QUARTER_MILLIS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: i64 = QUARTER_MILLIS;

    fn cut(from: i64, to: i64, folded: i64) -> (Span, [Span; 2]) {
        let at = |millis| Instant::from_millis(millis).unwrap();
        let Cut { quarters, edges } = Cut::new(Window::new(at(from), at(to)).unwrap(), at(folded));
        (quarters, edges)
    }

    #[test]
    fn edges_are_read_entry_by_entry() {
        assert_eq!(cut(Q, 3 * Q, 0), ((Q, 3 * Q), [(Q, Q), (3 * Q, 3 * Q)]));
        assert_eq!(cut(Q - 1, 3 * Q + 1, 0), ((Q, 3 * Q), [(Q - 1, Q), (3 * Q, 3 * Q + 1)]));
        assert_eq!(cut(Q + 1, Q + 2, 0), ((2 * Q, 2 * Q), [(Q + 1, Q + 2), (Q + 2, Q + 2)]));
        assert_eq!(cut(Q + 1, 2 * Q + 2, 0), ((2 * Q, 2 * Q), [(Q + 1, 2 * Q), (2 * Q, 2 * Q + 2)]));
        assert_eq!(cut(5, 5, 0), ((5, 5), [(5, 5), (5, 5)]));
    }

    #[test]
    fn folded_edges_count_their_whole_quarter() {
        assert_eq!(cut(Q + 1, Q + 2, 2 * Q), ((Q, 2 * Q), [(Q, Q), (2 * Q, 2 * Q)]));
        assert_eq!(cut(1, 3 * Q + 1, 2 * Q), ((0, 3 * Q), [(0, 0), (3 * Q, 3 * Q + 1)]));
    }

    #[test]
    fn every_millisecond_of_a_range_is_read_once() {
        for from in 0..40 {
            for to in from..40 {
                let (from, to) = (from * Q / 13, to * Q / 13);
                let (quarters, [head, tail]) = cut(from, to, 0);
                assert_eq!((head.1 - head.0) + (quarters.1 - quarters.0) + (tail.1 - tail.0), to - from);
                assert!(head.0 <= head.1 && quarters.0 <= quarters.1 && tail.0 <= tail.1);
            }
        }
    }
}
