//! What a ledger and an account are made of.

use std::num::NonZeroU64;
use std::time::Duration;

use thiserror::Error;

use crate::credits::Credits;
use crate::id::{Label, OperationId};
use crate::instant::Instant;

/// One fact of a client's ledger: so many credits were used at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id it can be found by, if it has one.
    pub id: Option<OperationId>,
    /// When.
    pub at: Instant,
    /// How much.
    pub credits: Credits,
    /// What for.
    pub label: Option<Label>,
}

/// Credits set aside before their cost is known. Active while `now < expires`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id, which becomes the entry's when it is settled.
    pub id: OperationId,
    /// When it was made: where its entry will stand.
    pub at: Instant,
    /// How much is set aside.
    pub credits: Credits,
    /// The first instant at which it is gone.
    pub expires: Instant,
    /// What for.
    pub label: Option<Label>,
    /// Who alone was told of it; none once others were too, or where nobody said.
    pub asker: Option<Asker>,
}

impl Hold {
    /// Whether it was made at this instant, where one is named, and for this asker alone, where one is.
    pub(crate) fn is_meant(&self, at: Option<Instant>, asker: Option<Asker>) -> bool {
        at.is_none_or(|at| self.at == at) && asker.is_none_or(|asker| self.asker == Some(asker))
    }
}

/// Who asks for holds, such as one service of one process: a number of its own, drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker(NonZeroU64);

impl Asker {
    /// The one of this number.
    #[must_use]
    pub const fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> NonZeroU64 {
        self.0
    }
}

/// Usage of the past, to be added by a backfill. Its id makes that safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEntry {
    /// Unique for the client over entries and active holds.
    pub id: OperationId,
    /// When it happened.
    pub at: Instant,
    /// How much.
    pub credits: Credits,
    /// What for.
    pub label: Option<Label>,
}

/// How long a hold lasts unless it is extended: 1 ms to 366 days, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(Duration);

/// A hold's time to live is not between 1 ms and 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a hold lasts between 1 ms and 366 days, not {0:?}")]
pub struct TtlError(Duration);

impl Ttl {
    /// 1 ms.
    pub const MIN: Self = Self(Duration::from_millis(1));
    /// 366 days.
    pub const MAX: Self = Self(Duration::from_secs(366 * 86_400));
    /// 5 minutes.
    pub const DEFAULT: Self = Self(Duration::from_secs(300));

    /// So long, rounded down to whole milliseconds.
    ///
    /// # Errors
    /// [`TtlError`] below 1 ms and above 366 days.
    pub fn new(duration: Duration) -> Result<Self, TtlError> {
        let whole = u64::try_from(duration.as_millis()).map(Duration::from_millis).map_err(|_| TtlError(duration))?;
        if whole < Self::MIN.0 || whole > Self::MAX.0 { Err(TtlError(duration)) } else { Ok(Self(whole)) }
    }

    /// The time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<PastEntry> for Entry {
    fn from(past: PastEntry) -> Self {
        Self { id: Some(past.id), at: past.at, credits: past.credits, label: past.label }
    }
}
