//! A service that does the same for every request.

use std::sync::Arc;

use quota_core::{Plan, Unit};
use quota_service::{ManualClock, PlanRegistry, QuotaService};
use quota_store_memory::MemoryStore;

use crate::words::{at, quota};

/// Two quotas for everybody that no run exhausts, and a clock that stands still: no window and no quarter of an hour ends
/// meanwhile. For tests that count what an adapter does for a request.
#[must_use]
pub fn steady_service() -> QuotaService<MemoryStore> {
    let plan = Plan::new([Unit::Day, Unit::Month].map(|unit| quota(unit, 1, "1000000"))).unwrap();
    let clock = Arc::new(ManualClock::new(at("2024-03-01T12:00:00Z")));
    QuotaService::builder(MemoryStore::new())
        .with_registry(PlanRegistry::new().with_default(plan))
        .with_clock(clock)
        .build()
}
