//! What a store's ledger can do.

use std::time::Duration;

use crate::instant::Instant;
use crate::ledger::{Detail, Stop, is_quarter};
use crate::plan::{Plan, Quota};
use crate::refusal::Refusal;
use crate::window::Window;

/// What a store's ledger can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How much it remembers.
    pub detail: Detail,
    /// Entries before this instant are only in their quarters' sums (pruned); [`Instant::MIN`] where none are.
    pub folded_until: Instant,
    /// How many more ids it can remember for this client; [`usize::MAX`] where ids are unbounded.
    pub room_for_ids: usize,
    /// How long it keeps sums; none is for ever. A plan with a window that may last longer
    /// ([`crate::Period::longest`]) is refused.
    pub retention: Option<Duration>,
}

impl Terms {
    /// Every entry is kept, for ever.
    pub const ENTRIES: Self =
        Self { detail: Detail::Entries, folded_until: Instant::MIN, room_for_ids: usize::MAX, retention: None };

    /// Whether a bound of a range can be told from the sums and entries that are kept.
    ///
    /// # Errors
    /// [`Refusal::RangeNotAligned`]
    pub fn check_range(&self, range: Window) -> Result<(), Refusal> {
        let folded = |at: Instant| self.detail == Detail::Quarters || at < self.folded_until;
        match [range.start(), range.end()].into_iter().find(|at| folded(*at) && !is_quarter(*at) && *at != Instant::MAX)
        {
            Some(at) => Err(Refusal::RangeNotAligned { at }),
            None => Ok(()),
        }
    }

    /// Whether sums are kept for as long as each of a plan's windows may last.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), Stop> {
        let Some(retention) = self.retention else { return Ok(()) };
        match plan.quotas().iter().map(Quota::period).find(|period| period.longest() > retention) {
            Some(period) => Err(Stop::Refused(Refusal::WindowExceedsRetention { period, retention })),
            None => Ok(()),
        }
    }

    pub(crate) const fn use_room(&mut self, count: usize) {
        self.room_for_ids = self.room_for_ids.saturating_sub(count);
    }

    pub(crate) fn check_room(&self, count: usize) -> Result<(), Stop> {
        if self.detail == Detail::Quarters && self.room_for_ids < count {
            return Err(Stop::Refused(Refusal::TooManyIds));
        }
        Ok(())
    }
}
