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

/// What is known of the holds under one id: there is one at a time, but another's may be there once it has expired.
#[derive(Debug, Default)]
struct Claim {
    /// What a shutdown releases for each guard that lives.
    living: Vec<Option<Made>>,
    tries: usize,
    /// What is to be released when the last of them is gone.
    owed: Vec<Made>,
}

/// Which hold is meant, of all that were made under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// The one of this instant; any where there is none.
    pub(crate) at: Option<Instant>,
    /// Only if it was made for this service, and no other was told of it.
    pub(crate) only_here: bool,
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
    /// Nobody knows whether its hold was made, or whether another process was told of it since.
    Lost,
}

impl Claims {
    /// A call begins that asks for a hold by an id that may have been asked for before.
    pub(crate) fn try_begins(&self, key: Key) {
        self.lock().entry(key).or_default().tries += 1;
    }

    /// It ended; what is to be released now.
    #[must_use]
    pub(crate) fn try_ends(&self, key: &Key) -> Vec<Made> {
        self.leave(key, |claim| claim.tries = claim.tries.saturating_sub(1))
    }

    /// A guard lives, for which a shutdown releases this.
    pub(crate) fn guard_made(&self, key: Key, owes: Option<Made>) {
        self.lock().entry(key).or_default().living.push(owes);
    }

    /// A shutdown releases something else for a guard than before.
    pub(crate) fn guard_changed(&self, key: &Key, before: Option<Made>, owes: Option<Made>) {
        if let Some(claim) = self.lock().get_mut(key)
            && claim.forget(before)
        {
            claim.living.push(owes);
        }
    }

    /// A guard of the hold of this instant dropped; what is to be released now.
    #[must_use]
    pub(crate) fn guard_dropped(
        &self,
        key: &Key,
        owes: Option<Made>,
        (at, parting): (Option<Instant>, Parting),
    ) -> Vec<Made> {
        self.leave(key, |claim| {
            claim.forget(owes);
            match parting {
                Parting::Owing => claim.owe(Made { at, only_here: false }),
                Parting::Ended => claim.owed.retain(|made| made.at.is_some() && made.at != at),
                Parting::Disowned => {}
                Parting::Lost => claim.lose(at),
            }
        })
    }

    /// Nobody knows whether the hold was made that was asked for at this instant, or at any under an id that was made; what is
    /// to be released now.
    #[must_use]
    pub(crate) fn lost(&self, key: &Key, asked_at: Option<Instant>) -> Vec<Made> {
        let mut claims = self.lock();
        claims.entry(key.clone()).or_default().lose(asked_at);
        left(&mut claims, key)
    }

    /// Releases that could not be sent any more: a shutdown will do it.
    pub(crate) fn owe(&self, key: Key, owed: Vec<Made>) {
        self.lock().entry(key).or_default().owed.extend(owed);
    }

    /// What is to be released of all holds that are somebody's; they are nobody's then.
    pub(crate) fn take(&self) -> Vec<(Key, Vec<Made>)> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().map(|(key, claim)| (key, claim.all())).collect()
    }

    /// The same of one hold.
    pub(crate) fn take_one(&self) -> Option<(Key, Vec<Made>)> {
        let mut claims = self.lock();
        let key = claims.keys().next()?.clone();
        claims.remove_entry(&key).map(|(key, claim)| (key, claim.all()))
    }

    fn leave(&self, key: &Key, leave: impl FnOnce(&mut Claim)) -> Vec<Made> {
        let mut claims = self.lock();
        // None: a shutdown has released it.
        let Some(claim) = claims.get_mut(key) else { return Vec::new() };
        leave(claim);
        left(&mut claims, key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Takes out a guard that lives; whether there was one.
    fn forget(&mut self, owes: Option<Made>) -> bool {
        let place = self.living.iter().position(|living| *living == owes);
        place.map(|place| self.living.swap_remove(place)).is_some()
    }

    fn owe(&mut self, made: Made) {
        self.owed.retain(|owed| owed.at != made.at);
        self.owed.push(made);
    }

    fn lose(&mut self, at: Option<Instant>) {
        if self.owed.len() < MOST_LOST && !self.owed.iter().any(|owed| owed.at == at) {
            self.owed.push(Made { at, only_here: true });
        }
    }

    fn all(mut self) -> Vec<Made> {
        for made in std::mem::take(&mut self.living).into_iter().flatten() {
            self.owe(made);
        }
        self.owed
    }
}

/// What is owed of a hold that is nobody's any more.
fn left(claims: &mut HashMap<Key, Claim>, key: &Key) -> Vec<Made> {
    match claims.get(key) {
        Some(claim) if claim.living.is_empty() && claim.tries == 0 => {
            claims.remove(key).map(|claim| claim.owed).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
