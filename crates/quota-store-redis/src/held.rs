//! Clients whose accounts were waited for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quota_core::ClientId;

/// Clients whose accounts this store has waited for lately, others being first. Each of them gets batches of its own, so that nobody
/// else waits for its turn.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<ClientId, Instant>>);

impl Held {
    /// For how long an account that was waited for is thought to be wanted by others.
    const LASTS: Duration = Duration::from_secs(1);
    /// So long is worth a batch of its own: turns that change are mostly quicker.
    const LONG: Duration = Duration::from_millis(5);
    /// The greatest number that is remembered; beyond it all are forgotten.
    const MAX: usize = 1_024;

    /// Its turn took so long to come.
    pub(crate) fn note_wait(&self, client: &ClientId, wait: Duration) {
        if wait < Self::LONG {
            return;
        }
        let mut held = self.0.lock();
        if held.len() >= Self::MAX {
            held.clear();
        }
        held.insert(client.clone(), Instant::now());
    }

    /// Whether it is thought to be wanted by others.
    pub(crate) fn is(&self, client: &ClientId) -> bool {
        let mut held = self.0.lock();
        let Some(at) = held.get(client) else { return false };
        let is_held = at.elapsed() < Self::LASTS;
        if !is_held {
            held.remove(client);
        }
        is_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_whose_turn_came_soon_is_not_held() {
        let (held, client) = (Held::default(), ClientId::new("c").unwrap());
        held.note_wait(&client, Held::LONG.saturating_sub(Duration::from_micros(1)));
        assert!(!held.is(&client));
        held.note_wait(&client, Held::LONG);
        assert!(held.is(&client) && !held.is(&ClientId::new("d").unwrap()));
    }
}
