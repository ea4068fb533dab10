//! What an operation on an account answers.

use crate::credits::Credits;
use crate::instant::Instant;
use crate::quotas::{QuotaStatus, Quotas, scarcest};

/// Whether credits were taken. A denial is a value, never an error; a store failure is never an allowance.
///
/// ```
/// # use quota_core::{Decision};
/// fn may_run(decision: &Decision) -> bool {
///     match decision {
///         Decision::Allowed(_) => true,
///         Decision::Denied(denied) => {
///             // None: waiting never helps, the cost is above a limit.
///             let _ = denied.retry_at();
///             false
///         }
///         // Only where the application chose to fail open.
///         Decision::Unchecked => true,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a denied request must not run"]
pub enum Decision {
    /// Done.
    Allowed(Allowed),
    /// Not done: a quota has fewer credits left than asked for. Nothing changed.
    Denied(Denied),
    /// The store could not answer and the service fails open: nothing is known and nothing was taken for sure.
    Unchecked,
}

/// An operation that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub(crate) quotas: Quotas,
    pub(crate) at: Instant,
    pub(crate) counted_at: Instant,
    pub(crate) replayed: bool,
    pub(crate) plan_changed: bool,
}

/// An operation that was not done, since it would exceed a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub(crate) quotas: Quotas,
    pub(crate) at: Instant,
    pub(crate) required: Credits,
}

/// Where a client's quotas stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub(crate) quotas: Quotas,
    pub(crate) at: Instant,
}

impl Decision {
    /// The state of every quota after the decision; none if unchecked.
    #[must_use]
    pub fn quotas(&self) -> Option<&Quotas> {
        match self {
            Self::Allowed(allowed) => Some(&allowed.quotas),
            Self::Denied(denied) => Some(&denied.quotas),
            Self::Unchecked => None,
        }
    }

    /// Whether it was done.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Whether it was refused for want of credits.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

impl Allowed {
    /// An answer with these quotas to a caller who asked at `at`.
    #[must_use]
    pub const fn new(quotas: Quotas, at: Instant) -> Self {
        Self { quotas, at, counted_at: at, replayed: false, plan_changed: false }
    }

    /// The same with quotas that were read afterwards, under the client's plan.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, plan_changed: false, ..self }
    }

    /// Whether a hold was ended, or extended, though the caller knew another plan than the client's: then no quotas are told.
    #[must_use]
    pub const fn plan_changed(&self) -> bool {
        self.plan_changed
    }

    /// The state of every quota afterwards.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The caller's instant, from which durations count.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// The instant that it counts at: later than [`Allowed::at`] where the account's time was ahead of that; of a hold that was there
    /// before, the hold's own.
    #[must_use]
    pub const fn counted_at(&self) -> Instant {
        self.counted_at
    }

    /// Whether it had been done before under the same id, and nothing was taken this time.
    #[must_use]
    pub const fn replayed(&self) -> bool {
        self.replayed
    }
}

impl Denied {
    /// A denial of `required` credits, which at least one of `quotas` does not admit.
    #[must_use]
    pub const fn new(quotas: Quotas, at: Instant, required: Credits) -> Self {
        Self { quotas, at, required }
    }

    /// The state of every quota, unchanged.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The caller's instant, from which durations count.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// What was asked for.
    #[must_use]
    pub const fn required(&self) -> Credits {
        self.required
    }

    /// Every quota whose remaining is below the cost, short to long.
    pub fn violated(&self) -> impl Iterator<Item = &QuotaStatus> {
        self.quotas.violated_by(self.required)
    }

    /// The violated quota with the fewest remaining; of equals, the one that resets later; of equals still,
    /// the shorter period.
    #[must_use]
    pub fn binding(&self) -> Option<&QuotaStatus> {
        scarcest(self.violated())
    }

    /// When the same cost can be tried again: the latest reset among the violated. None where a violated
    /// quota's limit is itself below the cost, for then waiting never helps.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        let hopeless = |status: &QuotaStatus| status.limit().credits().is_some_and(|limit| limit < self.required);
        if self.violated().any(hopeless) {
            return None;
        }
        self.violated().map(QuotaStatus::resets_at).max()
    }
}

impl Status {
    /// The state of `quotas` for a caller who asked at `at`.
    #[must_use]
    pub const fn new(quotas: Quotas, at: Instant) -> Self {
        Self { quotas, at }
    }

    /// Every quota.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The finite quota with the fewest remaining.
    #[must_use]
    pub fn lowest(&self) -> Option<&QuotaStatus> {
        self.quotas.lowest()
    }

    /// The caller's instant, from which durations count.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }
}
