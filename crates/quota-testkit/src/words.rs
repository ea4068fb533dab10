//! Short words for the values that tests write down.

use std::time::Duration;

use quota_core::{Anchor, Credits, Instant, Limit, OperationId, Period, Quota, Unit, Window};

/// An instant.
///
/// # Panics
/// Where the text is none.
#[must_use]
pub fn at(text: &str) -> Instant {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// An amount of credits.
///
/// # Panics
/// Where the text is none.
#[must_use]
pub fn credits(text: &str) -> Credits {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// An operation id.
///
/// # Panics
/// Where the text is none.
#[must_use]
pub fn operation_id(text: &str) -> OperationId {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// The instants from `from` on and before `to`.
///
/// # Panics
/// Where that is no range.
#[must_use]
pub fn range(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).unwrap_or_else(|error| panic!("{error}"))
}

/// So many credits for each UTC day.
#[must_use]
pub fn per_day(limit: &str) -> Quota {
    quota(Unit::Day, 1, limit)
}

/// So many credits for each hour.
#[must_use]
pub fn per_hour(limit: &str) -> Quota {
    quota(Unit::Hour, 1, limit)
}

/// A quota aligned to 2024-01-01 in UTC; the limit may be `unlimited`.
///
/// # Panics
/// Where limit or count are none.
#[must_use]
pub fn quota(unit: Unit, every: u32, limit: &str) -> Quota {
    quota_from(unit, every, limit, "2024-01-01T00:00:00Z", "UTC")
}

/// A quota with this anchor; the limit may be `unlimited`.
///
/// # Panics
/// Where limit, count, anchor or zone are none.
#[must_use]
pub fn quota_from(unit: Unit, every: u32, limit: &str, anchor: &str, zone: &str) -> Quota {
    let period = Period::new(unit, every).unwrap_or_else(|error| panic!("{error}"));
    let limit = if limit == "unlimited" { Limit::Unlimited } else { Limit::Finite(credits(limit)) };
    Quota::new(period, limit, Anchor::in_zone(at(anchor), zone).unwrap_or_else(|error| panic!("{error}")))
}

/// So many seconds.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
#[must_use]
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
