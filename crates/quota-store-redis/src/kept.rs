//! Accounts that were seen lately.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use quota_core::{ClientId, Instant};

use crate::stored::Stored;

/// More holds are not kept: they are the only part of an account that grows.
const MAX_HOLDS: usize = 64;

/// The accounts that this process saw last, at the versions that it saw. Whether one still stands is for the script to
/// say; here it only saves the reading.
pub(crate) struct KeptAccounts(Mutex<LruCache<ClientId, Box<Stored>>>);

impl KeptAccounts {
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(count)))
    }

    /// Takes it out: whoever commits puts it back, and where the fate of a commit is not known it stays out.
    pub(crate) fn take(&self, client: &ClientId) -> Option<Box<Stored>> {
        self.0.lock().pop(client)
    }

    pub(crate) fn put(&self, client: &ClientId, stored: Box<Stored>) {
        if stored.version.is_empty() || stored.account.active_holds(Instant::MIN).nth(MAX_HOLDS).is_some() {
            return;
        }
        self.0.lock().put(client.clone(), stored);
    }
}
