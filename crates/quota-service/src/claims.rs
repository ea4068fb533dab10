//! Which holds are somebody's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quota_core::{ClientId, Instant, OperationId};

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
    /// Guards of holds of which nobody knows whether they were made.
    unsure: usize,
    tries: usize,
    /// What is to become of the hold when the last of them is gone.
    owed: Owed,
}

/// Whether a hold is to be released.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Owed {
    #[default]
    Nothing,
    /// If it was made at one of these instants, and no other process was told of it: nobody knows whether one that was asked for
    /// then is there, or another process's.
    IfMadeAt(Vec<Instant>),
    Release,
}

/// Of no more tries of one hold it is remembered when they were made.
const MOST_LOST: usize = 8;

/// How a guard went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Its hold is to be released.
    Owing,
    /// Its hold was ended, or is left to its ttl.
    Ended,
    /// Its hold is another guard's, and so is what is to become of it.
    Disowned,
    /// Nobody knows whether its hold was made, at this instant, or whether another process was told of it since.
    Lost(Instant),
}

impl Claims {
    /// A call begins that asks for a hold by an id that may have been asked for before.
    pub(crate) fn try_begins(&self, key: Key) {
        self.lock().entry(key).or_default().tries += 1;
    }

    /// It ended; what is owed now.
    #[must_use]
    pub(crate) fn try_ends(&self, key: &Key) -> Owed {
        self.leave(key, |claim| claim.tries = claim.tries.saturating_sub(1))
    }

    pub(crate) fn guard_made(&self, key: Key, is_sure: bool) {
        *self.lock().entry(key).or_default().guards(is_sure) += 1;
    }

    /// It dropped; what is owed now.
    #[must_use]
    pub(crate) fn guard_dropped(&self, key: &Key, is_sure: bool, parting: Parting) -> Owed {
        self.leave(key, |claim| {
            let guards = claim.guards(is_sure);
            *guards = guards.saturating_sub(1);
            match parting {
                Parting::Owing => claim.owed = Owed::Release,
                Parting::Ended => claim.owed = Owed::Nothing,
                Parting::Disowned => {}
                Parting::Lost(asked_at) => claim.lose(asked_at),
            }
        })
    }

    /// Nobody knows whether the hold was made that was asked for at this instant; what is owed now.
    #[must_use]
    pub(crate) fn lost(&self, key: &Key, asked_at: Instant) -> Owed {
        let mut claims = self.lock();
        claims.entry(key.clone()).or_default().lose(asked_at);
        left(&mut claims, key)
    }

    /// A release that could not be sent any more: a shutdown will do it.
    pub(crate) fn owe(&self, key: Key) {
        self.lock().entry(key).or_default().owed = Owed::Release;
    }

    /// All holds that are somebody's, and what is owed of them now; they are nobody's then.
    pub(crate) fn take(&self) -> Vec<(Key, Owed)> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter()
            .map(|(key, claim)| (key, if claim.guards > 0 { Owed::Release } else { claim.owed }))
            .filter(|(_, owed)| *owed != Owed::Nothing)
            .collect()
    }

    fn leave(&self, key: &Key, leave: impl FnOnce(&mut Claim)) -> Owed {
        let mut claims = self.lock();
        // None: a shutdown has released it.
        let Some(claim) = claims.get_mut(key) else { return Owed::Nothing };
        leave(claim);
        left(&mut claims, key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    const fn guards(&mut self, is_sure: bool) -> &mut usize {
        if is_sure { &mut self.guards } else { &mut self.unsure }
    }

    fn lose(&mut self, asked_at: Instant) {
        match &mut self.owed {
            Owed::Nothing => self.owed = Owed::IfMadeAt(vec![asked_at]),
            Owed::IfMadeAt(instants) if instants.len() < MOST_LOST => instants.push(asked_at),
            Owed::IfMadeAt(_) | Owed::Release => {}
        }
    }
}

/// What is owed of a hold that is nobody's any more.
fn left(claims: &mut HashMap<Key, Claim>, key: &Key) -> Owed {
    match claims.get(key) {
        Some(claim) if claim.guards == 0 && claim.unsure == 0 && claim.tries == 0 => {
            claims.remove(key).map(|claim| claim.owed).unwrap_or_default()
        }
        _ => Owed::Nothing,
    }
}
