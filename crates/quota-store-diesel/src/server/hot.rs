//! Clients whose accounts others were seen to hold.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quota_core::ClientId;

/// Clients whose accounts others were seen to hold lately. Each of them gets a batch of its own, and in a batch of several a
/// transaction of its own, so that others don't wait in its lock's queue, nor for others with locks of their own held.
#[derive(Debug, Default)]
pub(crate) struct Hot(Mutex<HashMap<ClientId, Seen>>);

/// When an account was found held.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    /// When it was waited for in vain for long: others of a batch are not to wait for it once more.
    long: Option<Instant>,
}

impl Hot {
    /// For how long a client that was found locked is thought to be contended.
    const LASTS: Duration = Duration::from_secs(1);
    /// And one that was waited for long: as by somebody who looks into the tables and forgets to end a transaction.
    const LASTS_LONG: Duration = Duration::from_secs(60);
    /// So long is long: processes that share a client wait for each other's commits, which are quicker.
    const LONG: Duration = Duration::from_millis(500);
    /// The greatest number that is remembered; beyond it all are forgotten.
    const MAX: usize = 1_024;

    /// Others held it.
    pub(crate) fn note(&self, client: &ClientId) {
        self.put(client, None);
    }

    /// Its lock took so long.
    pub(crate) fn note_wait(&self, client: &ClientId, wait: Duration) {
        if wait >= Self::LONG {
            self.put(client, Some(Instant::now()));
        }
    }

    fn put(&self, client: &ClientId, long: Option<Instant>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= Self::MAX {
            seen.clear();
        }
        let now = Instant::now();
        let known = seen.entry(client.clone()).or_insert(Seen { at: now, long });
        known.at = now;
        known.long = long.or(known.long);
    }

    /// Whether it is thought to be contended.
    pub(crate) fn is(&self, client: &ClientId) -> bool {
        self.find(client).is_some_and(|seen| seen.at.elapsed() < Self::LASTS || seen.is_long())
    }

    fn find(&self, client: &ClientId) -> Option<Seen> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *all.get(client)?;
        if seen.at.elapsed() >= Self::LASTS && !seen.is_long() {
            all.remove(client);
        }
        Some(seen)
    }
}

impl Seen {
    fn is_long(self) -> bool {
        self.long.is_some_and(|at| at.elapsed() < Hot::LASTS_LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_whose_lock_was_quick_is_not_contended() {
        let (hot, client) = (Hot::default(), ClientId::new("c").unwrap());
        let is_long = || hot.find(&client).is_some_and(Seen::is_long);
        hot.note_wait(&client, Hot::LONG.saturating_sub(Duration::from_millis(1)));
        assert_eq!((hot.is(&client), is_long()), (false, false));
        hot.note(&client);
        assert_eq!((hot.is(&client), is_long()), (true, false));
        hot.note_wait(&client, Hot::LONG);
        hot.note(&client);
        assert_eq!((hot.is(&client), is_long()), (true, true));
    }
}
