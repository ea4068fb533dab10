//! What an operation is decided by.

use crate::decision::{Allowed, Decision};
use crate::instant::Instant;
use crate::plan::{Plan, PlanVersion};
use crate::quotas::Quotas;

/// Whose plan an operation is decided by, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client's plan, as far as the caller knows.
    pub plan: Option<&'a Plan>,
    /// Whether the account has to agree.
    pub check: PlanCheck,
    /// The caller's instant.
    pub at: Instant,
}

/// Whether a plan must be the one that the account names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanCheck {
    /// The plan comes from elsewhere.
    Any,
    /// The plan comes from the store and had this version; none if there was no plan.
    Version(Option<PlanVersion>),
}

impl Asked<'_> {
    /// What was done before, which counts at `at`, and where the quotas stand now.
    pub(crate) const fn replayed(self, quotas: Quotas, at: Instant) -> Decision {
        Decision::Allowed(Allowed { quotas, at: self.at, counted_at: at, replayed: true, plan_changed: false })
    }
}
