//! Why clients were refused last.

use std::collections::VecDeque;
use std::fmt;

use lru::LruCache;
use parking_lot::Mutex;
use quota_core::{ClientId, Decision, Denied};

/// The last denials of the clients that were denied last, as far as this process saw them.
pub(crate) struct Denials {
    clients: Mutex<LruCache<ClientId, VecDeque<Denied>>>,
    /// The greatest number of clients.
    size: usize,
}

impl Denials {
    /// As many denials of a client are remembered.
    const EACH: usize = 20;

    pub(crate) fn new(size: usize) -> Self {
        Self { clients: Mutex::new(LruCache::unbounded()), size }
    }

    /// Remembers a decision if it is a denial.
    pub(crate) fn note(&self, client: &ClientId, decision: &Decision) {
        let Decision::Denied(denied) = decision else { return };
        let mut clients = self.clients.lock();
        if clients.get(client).is_none() {
            clients.put(client.clone(), VecDeque::new());
            if clients.len() > self.size {
                clients.pop_lru();
            }
        }
        if let Some(last) = clients.get_mut(client) {
            last.truncate(Self::EACH.saturating_sub(1));
            last.push_front(denied.clone());
        }
    }

    /// A client's denials, the last one first.
    pub(crate) fn of(&self, client: &ClientId) -> Vec<Denied> {
        self.clients.lock().peek(client).into_iter().flatten().cloned().collect()
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denials").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use quota_core::{Credits, Instant, Quotas};

    use super::*;

    fn denied(credits: u64) -> Decision {
        let quotas = Quotas::from_iter([]);
        Decision::Denied(Denied::new(quotas, Instant::MIN, Credits::new(credits).unwrap()))
    }

    #[test]
    fn the_last_twenty_are_remembered_the_last_one_first() {
        let (denials, client) = (Denials::new(1), ClientId::new("a").unwrap());
        for credits in 1..=25 {
            denials.note(&client, &denied(credits));
        }
        denials.note(&client, &Decision::Unchecked);
        let of = denials.of(&client);
        assert_eq!(of.len(), 20);
        assert_eq!((of[0].required().to_string(), of[19].required().to_string()), ("25".to_owned(), "6".to_owned()));
    }

    #[test]
    fn the_client_denied_longest_ago_goes_first() {
        let denials = Denials::new(2);
        let client = |name: &str| ClientId::new(name).unwrap();
        for name in ["a", "b", "a", "c"] {
            denials.note(&client(name), &denied(1));
        }
        assert_eq!(["a", "b", "c"].map(|name| denials.of(&client(name)).len()), [2, 0, 1]);
    }
}
