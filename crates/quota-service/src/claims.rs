//! Which holds are somebody's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quota_core::{ClientId, OperationId};

/// A hold.
pub(crate) type Key = (ClientId, OperationId);

/// The guards that live and the calls that ask for a hold again. A hold is released when the last of them is gone:
/// a call that is tried again, since it is not known what became of the first try, must not lose its hold when the
/// first try's guard, delivered to nobody, drops.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<Key, Claim>>);

#[derive(Debug, Default)]
struct Claim {
    guards: usize,
    tries: usize,
    /// A guard went that would have released the hold, had it been the last.
    owed: bool,
}

/// How a guard went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Its hold is to be released.
    Owing,
    /// Its hold was ended, or is left to its ttl.
    Ended,
    /// Its hold is another guard's, and so is what is to become of it.
    Disowned,
}

impl Claims {
    /// A call begins that asks for a hold by an id that may have been asked for before.
    pub(crate) fn try_begins(&self, key: Key) {
        self.lock().entry(key).or_default().tries += 1;
    }

    /// It ended; true if the hold is to be released now.
    #[must_use]
    pub(crate) fn try_ends(&self, key: &Key) -> bool {
        self.leave(key, |claim| claim.tries = claim.tries.saturating_sub(1))
    }

    pub(crate) fn guard_made(&self, key: Key) {
        self.lock().entry(key).or_default().guards += 1;
    }

    /// It dropped; true if the hold is to be released now.
    #[must_use]
    pub(crate) fn guard_dropped(&self, key: &Key, parting: Parting) -> bool {
        self.leave(key, |claim| {
            claim.guards = claim.guards.saturating_sub(1);
            if parting != Parting::Disowned {
                claim.owed = parting == Parting::Owing;
            }
        })
    }

    /// A release that could not be sent any more: a shutdown will do it.
    pub(crate) fn owe(&self, key: Key) {
        self.lock().entry(key).or_default().owed = true;
    }

    /// All holds that are somebody's, to be released; they are nobody's then.
    pub(crate) fn take(&self) -> Vec<Key> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().filter(|(_, claim)| claim.guards > 0 || claim.owed).map(|(key, _)| key).collect()
    }

    fn leave(&self, key: &Key, leave: impl FnOnce(&mut Claim)) -> bool {
        let mut claims = self.lock();
        // None: a shutdown has released it.
        let Some(claim) = claims.get_mut(key) else { return false };
        leave(claim);
        if claim.guards > 0 || claim.tries > 0 {
            return false;
        }
        let owed = claim.owed;
        claims.remove(key);
        owed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
