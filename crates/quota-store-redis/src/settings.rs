//! What was chosen for a store.

use std::time::Duration;

use quota_core::{Detail, Instant, Terms};

use crate::keys::{DAY_MILLIS, KeyPrefix, day_of};
use crate::stored::Memory;

/// What was chosen for a store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: KeyPrefix,
    pub(crate) detail: Detail,
    pub(crate) retention: Option<Duration>,
    pub(crate) ids_for: Duration,
    /// How many replicas a commit waits for, and how long.
    pub(crate) wait: Option<(usize, Duration)>,
    /// How long a commit is tried again while others change the account.
    pub(crate) patience: Duration,
}

/// How many ids of callers a ledger with quarters remembers for a client.
const MAX_IDS: u64 = 100_000;

/// Milliseconds for which ids of one key are gathered that were made for callers who gave none. They are there for the
/// retry of an operation whose fate is not known, for one to two such spans.
const RETRIES_MILLIS: i64 = 600_000;

/// Keys outlive what they are needed for by so much: the server's clock decides about them, and no other.
const MARGIN: Duration = Duration::from_secs(86_400);

impl Settings {
    /// With quarters: from which day of writing on ids are remembered.
    pub(crate) fn first_day_of_ids(&self, now: Instant) -> i64 {
        day_of(now.saturating_sub(self.ids_for).millis())
    }

    /// Which ten minutes.
    pub(crate) const fn retries_of(now: Instant) -> i64 {
        now.millis().div_euclid(RETRIES_MILLIS)
    }

    pub(crate) fn is_forgotten(&self, written: Instant, now: Instant) -> bool {
        self.detail == Detail::Quarters && now.since(written) >= self.ids_for
    }

    pub(crate) fn terms(&self, memory: &Memory, now: Instant) -> Terms {
        let room = match self.detail {
            Detail::Entries => usize::MAX,
            Detail::Quarters => {
                let ids = memory.ids.since(self.first_day_of_ids(now));
                usize::try_from(MAX_IDS.saturating_sub(ids)).unwrap_or_default()
            }
        };
        let Self { detail, retention, .. } = *self;
        Terms { detail, folded_until: memory.folded_until, room_for_ids: room, retention }
    }

    /// In how many milliseconds the sums and entries of a day may go; none where they are kept for ever. Counted from now
    /// and not to an instant, for the account's time need not be the server's.
    pub(crate) fn expiry_of_day(&self, day: i64, now: Instant) -> Option<String> {
        let retention = self.retention?.saturating_add(MARGIN);
        let left = day.saturating_add(1).saturating_mul(DAY_MILLIS).saturating_sub(now.millis());
        Some(left.max(0).saturating_add(millis(retention)).to_string())
    }

    /// The first millisecond of the first day whose keys are still there; none where they are kept for ever.
    pub(crate) fn horizon(&self, now: Instant) -> Option<i64> {
        let retention = self.retention?.saturating_add(MARGIN);
        Some(day_of(now.saturating_sub(retention).millis()).saturating_mul(DAY_MILLIS))
    }

    /// In how many milliseconds a day's ids may go, from when its first is written.
    pub(crate) fn expiry_of_ids(&self) -> String {
        millis(self.ids_for.saturating_add(MARGIN)).saturating_add(DAY_MILLIS).to_string()
    }

    pub(crate) fn expiry_of_retries() -> String {
        (3 * RETRIES_MILLIS).to_string()
    }
}

fn millis(duration: Duration) -> i64 {
    // PEXPIRE takes no more than what still gives an instant: 10,000 years are for ever.
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(10_000 * 366 * DAY_MILLIS)
}
