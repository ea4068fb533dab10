//! Clients whose accounts other processes were seen to hold.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quota_core::ClientId;

/// Clients whose accounts other processes were seen to hold lately. Each of them gets a transaction of its own, so that
/// the others of its batch don't wait in its lock's queue, nor for others with locks of their own held.
#[derive(Debug, Default)]
pub(crate) struct Hot(Mutex<HashMap<ClientId, Instant>>);

impl Hot {
    /// For how long a client that was found locked is thought to be contended.
    const LASTS: Duration = Duration::from_secs(1);
    /// The greatest number that is remembered; beyond it all are forgotten.
    const MAX: usize = 1_024;

    pub(crate) fn note(&self, client: &ClientId) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= Self::MAX {
            seen.clear();
        }
        seen.insert(client.clone(), Instant::now());
    }

    pub(crate) fn is(&self, client: &ClientId) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = seen.get(client) else { return false };
        let lasts = at.elapsed() < Self::LASTS;
        if !lasts {
            seen.remove(client);
        }
        lasts
    }
}
