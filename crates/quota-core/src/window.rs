//! Half-open intervals of time.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::instant::Instant;

/// A half-open interval `[start, end)`: a quota's window, or a range to read or delete. It may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    start: Instant,
    end: Instant,
}

/// `from` is later than `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range begins at {from}, after its end at {to}")]
pub struct InvalidRange {
    /// Where the range was to begin.
    pub from: Instant,
    /// Where it was to end.
    pub to: Instant,
}

impl Window {
    /// All instants but the very last millisecond of 2099.
    pub const ALL: Self = Self { start: Instant::MIN, end: Instant::MAX };

    /// The instants from `start` on and before `end`.
    ///
    /// # Errors
    /// [`InvalidRange`] where `start` is later than `end`; equal is empty.
    pub fn new(start: Instant, end: Instant) -> Result<Self, InvalidRange> {
        if start > end { Err(InvalidRange { from: start, to: end }) } else { Ok(Self { start, end }) }
    }

    /// The empty window at an instant.
    pub(crate) const fn empty_at(at: Instant) -> Self {
        Self { start: at, end: at }
    }

    /// The first instant.
    #[must_use]
    pub const fn start(self) -> Instant {
        self.start
    }

    /// The first instant after it: when a quota renews.
    #[must_use]
    pub const fn end(self) -> Instant {
        self.end
    }

    /// Whether there is no instant in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `start <= instant < end`.
    #[must_use]
    pub fn contains(self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }

    /// Whether an instant lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// What is left of it before and after a range that is taken out; the parts may be empty.
    pub fn without(self, range: Option<Self>) -> impl Iterator<Item = Self> {
        let parts = match range {
            None => [Some(self), None],
            Some(range) => [
                Self::new(self.start, self.end.min(range.start)).ok(),
                Self::new(self.start.max(range.end), self.end).ok(),
            ],
        };
        parts.into_iter().flatten()
    }

    /// How long it lasts.
    #[must_use]
    pub fn length(self) -> Duration {
        self.end.since(self.start)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window{self}")
    }
}
