//! Clients whose accounts others were seen to hold.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quota_core::ClientId;

/// For stores that several processes write to: the clients whose accounts others were seen to hold lately, of which such a store
/// tells in [`is_held`](crate::UsageStore::is_held). Each of them gets batches of its own, so that nobody else waits for its turn.
///
/// What is noted lasts a second, and a minute where the wait was a long one; at most 1,024 are remembered, then all are forgotten.
#[derive(Debug, Default)]
pub struct HeldClients(Mutex<HashMap<ClientId, Seen>>);

/// When an account was found held.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    /// When it was waited for in vain for long: others of a batch are not to wait for it once more.
    long: Option<Instant>,
}

const LASTS: Duration = Duration::from_secs(1);
const LASTS_LONG: Duration = Duration::from_secs(60);
const MAX: usize = 1_024;

impl HeldClients {
    /// Others held its account.
    pub fn note(&self, client: &ClientId) {
        self.put(client, None);
    }

    /// Others held its account for much longer than a charge takes: as somebody does who looks into the tables and forgets to end
    /// a transaction.
    pub fn note_long(&self, client: &ClientId) {
        self.put(client, Some(Instant::now()));
    }

    fn put(&self, client: &ClientId, long: Option<Instant>) {
        let mut seen = self.0.lock();
        if seen.len() >= MAX {
            seen.clear();
        }
        let now = Instant::now();
        let known = seen.entry(client.clone()).or_insert(Seen { at: now, long });
        known.at = now;
        known.long = long.or(known.long);
    }

    /// Whether others are thought to want its account.
    #[must_use]
    pub fn is_held(&self, client: &ClientId) -> bool {
        let mut all = self.0.lock();
        let Some(seen) = all.get(client) else { return false };
        let lasts = seen.lasts(Instant::now());
        if !lasts {
            all.remove(client);
        }
        lasts
    }
}

impl Seen {
    fn lasts(self, now: Instant) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        since(self.at) < LASTS || self.long.is_some_and(|at| since(at) < LASTS_LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_told_of_that_client_alone() {
        let (held, client) = (HeldClients::default(), ClientId::new("c").unwrap());
        assert!(!held.is_held(&client));
        held.note(&client);
        assert!(held.is_held(&client) && !held.is_held(&ClientId::new("d").unwrap()));
    }

    #[test]
    fn a_note_lasts_a_second_and_a_long_one_a_minute_whatever_is_noted_after_it() {
        let (held, client) = (HeldClients::default(), ClientId::new("c").unwrap());
        let began = Instant::now();
        let lasts = |after: Duration| held.0.lock()[&client].lasts(began + after);
        held.note(&client);
        assert!(lasts(LASTS) && !lasts(LASTS + Duration::from_secs(30)));
        held.note_long(&client);
        held.note(&client);
        assert!(lasts(LASTS_LONG) && !lasts(LASTS_LONG + Duration::from_secs(30)));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let held = HeldClients::default();
        for number in 0..=MAX {
            held.note(&ClientId::new(format!("c{number}")).unwrap());
        }
        assert_eq!(held.0.lock().len(), 1);
    }
}
