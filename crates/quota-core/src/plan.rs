//! Quotas and the plans they make up.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::credits::Credits;
use crate::lattice::{Anchor, Lattice};
use crate::period::Period;

/// How many credits a window admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// So many.
    Finite(Credits),
    /// Any number; they are counted all the same.
    Unlimited,
}

/// A period, a limit and an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    lattice: Lattice,
    limit: Limit,
}

/// A client's quotas, short to long. A plan without quotas admits everything and still records it.
///
/// ```
/// use quota_core::{Anchor, Credits, Limit, Period, Plan, Quota};
///
/// let anchor = Anchor::new("2024-01-01T00:00:00Z".parse()?, chrono_tz::UTC);
/// let month = Quota::new(Period::MONTH, Limit::Finite(Credits::new(10_000)?), anchor);
/// let day = Quota::new(Period::DAY, Limit::Finite(Credits::new(500)?), anchor);
/// let plan = Plan::new([month, day])?;
/// assert_eq!(plan.quotas()[0].period(), Period::DAY);
/// assert!(Plan::new([day, day]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    quotas: Box<[Quota]>,
    /// No other plan in this process has it, but its clones: an account tells by it that its slots are in place.
    identity: NonZeroU64,
}

/// Names one state of a client's plan in a store that keeps plans: a random number, new with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanVersion(NonZeroU64);

/// Why quotas make no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two quotas with the same unit and count.
    #[error("two quotas have the period {period}")]
    DuplicatePeriod {
        /// The period that occurs twice.
        period: Period,
    },
    /// More than [`Plan::MAX_QUOTAS`].
    #[error("{count} quotas are more than {}", Plan::MAX_QUOTAS)]
    TooManyQuotas {
        /// How many were given.
        count: usize,
    },
}

impl Limit {
    /// The credits of a finite limit.
    #[must_use]
    pub const fn credits(self) -> Option<Credits> {
        match self {
            Self::Finite(credits) => Some(credits),
            Self::Unlimited => None,
        }
    }
}

impl Limit {
    /// Whether a window in which `sum` is taken stays within it.
    #[must_use]
    pub fn admits(self, sum: Credits) -> bool {
        match self {
            Self::Finite(limit) => sum <= limit,
            Self::Unlimited => true,
        }
    }
}

impl Quota {
    /// A limit for each window of `period`, aligned to `anchor`.
    #[must_use]
    pub const fn new(period: Period, limit: Limit, anchor: Anchor) -> Self {
        Self { lattice: Lattice::new(period, anchor), limit }
    }

    /// How long a window lasts.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.lattice.period()
    }

    /// What a window admits.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// What aligns the windows.
    #[must_use]
    pub const fn anchor(&self) -> Anchor {
        self.lattice.anchor()
    }

    /// The windows.
    #[must_use]
    pub const fn lattice(&self) -> Lattice {
        self.lattice
    }
}

impl Plan {
    /// The greatest number of quotas.
    pub const MAX_QUOTAS: usize = 64;

    /// Puts quotas in order, short to long (unit, then count).
    ///
    /// # Errors
    /// [`PlanError`] for two quotas of one period, or more than [`Plan::MAX_QUOTAS`].
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Result<Self, PlanError> {
        let mut quotas: Vec<Quota> = quotas.into_iter().take(Self::MAX_QUOTAS + 1).collect();
        if quotas.len() > Self::MAX_QUOTAS {
            return Err(PlanError::TooManyQuotas { count: quotas.len() });
        }
        quotas.sort_by_key(Quota::period);
        for (one, next) in quotas.iter().zip(quotas.iter().skip(1)) {
            if one.period() == next.period() {
                return Err(PlanError::DuplicatePeriod { period: one.period() });
            }
        }
        Ok(Self::of(quotas.into()))
    }

    fn of(quotas: Box<[Quota]>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(1);
        let identity = NonZeroU64::new(MADE.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU64::MAX);
        Self { quotas, identity }
    }

    pub(crate) const fn identity(&self) -> NonZeroU64 {
        self.identity
    }

    /// The quotas, short to long.
    #[must_use]
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::of(Box::default())
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.quotas == other.quotas
    }
}

impl Eq for Plan {}

impl Hash for Plan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.quotas.hash(state);
    }
}

impl PlanVersion {
    /// The version of this number.
    #[must_use]
    pub const fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(credits) => credits.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for PlanVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
