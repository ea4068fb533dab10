//! Why an operation was refused.

use std::time::Duration;

use thiserror::Error;

use crate::id::OperationId;
use crate::instant::Instant;
use crate::lattice::WindowOutOfRange;
use crate::period::Period;

/// An operation that was refused for what it asks, not for want of credits. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client has no plan.
    #[error("the client has no plan")]
    UnknownClient,
    /// The id is an entry's or an active hold's, with other credits or of another kind.
    #[error("the id {id} is taken by another operation of this client")]
    IdConflict {
        /// The id.
        id: OperationId,
        /// Whether it is an active hold's.
        is_held: bool,
    },
    /// No hold with this id is active: it expired, ended, or never was.
    #[error("no hold {id} is active")]
    HoldNotActive {
        /// The id.
        id: OperationId,
    },
    /// A hold needs an id.
    #[error("a hold needs an id")]
    IdRequired,
    /// The sum of the client's entries and active holds would exceed 2^63 - 1 millionths.
    #[error("the client's lifetime sum would exceed 9223372036854.775807 credits")]
    Overflow,
    /// The client has [`crate::Account::MAX_HOLDS`] active holds.
    #[error("the client has too many active holds")]
    TooManyHolds,
    /// The client has more recent ids than a store with quarters remembers.
    #[error("the client has too many recent ids")]
    TooManyIds,
    /// More entries than one backfill takes.
    #[error("a backfill takes at most {max} entries")]
    TooManyEntries {
        /// The greatest number.
        max: usize,
    },
    /// An entry of a backfill lies in the future.
    #[error("the entry {id} at {at} lies in the future")]
    EntryInFuture {
        /// The entry.
        id: OperationId,
        /// Its instant.
        at: Instant,
    },
    /// The ledger keeps sums for quarters of an hour there; the range cuts one.
    #[error("the ledger keeps quarters of an hour there: {at} is not at the full quarter")]
    RangeNotAligned {
        /// The bound at fault.
        at: Instant,
    },
    /// A page of entries was asked for with a cursor that was not given out for its range.
    #[error("the cursor was not given out for this range")]
    InvalidCursor,
    /// A window begins before 1970 or ends after 2099.
    #[error(transparent)]
    WindowOutOfRange(#[from] WindowOutOfRange),
    /// A hold would expire after 2099.
    #[error("a hold made at {now} would expire after 2099")]
    ExpiryOutOfRange {
        /// The account's present.
        now: Instant,
    },
    /// The plan has a window longer than the store keeps sums.
    #[error("the {period} quota's window is longer than the {retention:?} that the store keeps")]
    WindowExceedsRetention {
        /// Whose window.
        period: Period,
        /// How long sums are kept.
        retention: Duration,
    },
    /// The instant of the operation is too far after the server's time.
    #[error("the clock is ahead: {at} is more than {max_ahead:?} after {server}")]
    ClockAhead {
        /// The caller's instant.
        at: Instant,
        /// The server's time.
        server: Instant,
        /// How far ahead is tolerated.
        max_ahead: Duration,
    },
}

impl Refusal {
    /// The name of the refusal in JSON, logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown_client",
            Self::IdConflict { .. } => "id_conflict",
            Self::HoldNotActive { .. } => "hold_not_active",
            Self::IdRequired => "id_required",
            Self::Overflow => "overflow",
            Self::TooManyHolds => "too_many_holds",
            Self::TooManyIds => "too_many_ids",
            Self::TooManyEntries { .. } => "too_many_entries",
            Self::EntryInFuture { .. } => "entry_in_future",
            Self::RangeNotAligned { .. } => "range_not_aligned",
            Self::InvalidCursor => "invalid_cursor",
            Self::WindowOutOfRange(_) | Self::ExpiryOutOfRange { .. } => "instant_out_of_range",
            Self::WindowExceedsRetention { .. } => "window_exceeds_retention",
            Self::ClockAhead { .. } => "clock_ahead",
        }
    }
}
