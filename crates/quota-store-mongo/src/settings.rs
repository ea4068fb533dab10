//! What was chosen for a store.

use std::time::Duration;

use quota_core::{Detail, Instant, Terms};

/// What was chosen for a store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the names of collections begin with.
    pub(crate) prefix: String,
    pub(crate) retention: Option<Duration>,
    /// How long one command may take.
    pub(crate) timeout: Duration,
    /// How long a commit is tried again while others change the account.
    pub(crate) patience: Duration,
}

impl Settings {
    pub(crate) const fn terms(&self, folded_until: Instant) -> Terms {
        Terms { detail: Detail::Entries, folded_until, room_for_ids: usize::MAX, retention: self.retention }
    }
}
