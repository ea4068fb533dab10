//! Accounts that were seen lately.

use std::fmt;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use quota_core::{Account, ClientId, Instant};

/// More holds are not kept: they are the only part of an account that grows.
const MAX_HOLDS: usize = 64;

/// The accounts that this process saw last, with what a store keeps beside them: for stores that compare and set. Whether
/// one still stands is for the commit to say; here it only saves the reading.
pub struct KeptAccounts<T>(Mutex<LruCache<ClientId, Option<T>>>);

impl<T: AsRef<Account>> KeptAccounts<T> {
    /// Keeps so many, those used last.
    #[must_use]
    pub fn new(count: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(count)))
    }

    /// Takes it out: whoever commits puts it back, and where the fate of a commit is not known it stays out. Its place is kept.
    pub fn take(&self, client: &ClientId) -> Option<T> {
        self.0.lock().get_mut(client)?.take()
    }

    /// Keeps an account, unless it has many holds.
    pub fn put(&self, client: &ClientId, kept: T) {
        if kept.as_ref().active_holds(Instant::MIN).nth(MAX_HOLDS).is_none() {
            let mut all = self.0.lock();
            match all.get_mut(client) {
                Some(place) => *place = Some(kept),
                None => drop(all.put(client.clone(), Some(kept))),
            }
        }
    }
}

impl<T> fmt::Debug for KeptAccounts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.lock().iter().filter(|(_, kept)| kept.is_some()).count();
        f.debug_struct("KeptAccounts").field("count", &count).finish()
    }
}
