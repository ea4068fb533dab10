//! Which primaries of a cluster answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use redis::cluster_routing::Slot;
use tokio::time::Instant;

use crate::primaries::owners;

/// Which primaries of a cluster answer, as what they are asked shows.
///
/// Where one is silent, the clients of the others are not to wait for it: a batch gives it up sooner than a server of which
/// nothing else is known. That is once, for from then on until it answers again its clients get batches of their own, which
/// have all the time there is.
pub(crate) struct Answering {
    /// For how long one may be silent while others answer.
    patience: Duration,
    primaries: Mutex<Primaries>,
    /// Whether any is noted as silent: else nobody looks further.
    has_silent: AtomicBool,
}

#[derive(Debug, Default)]
struct Primaries {
    /// Whose each slot is, by their places.
    owners: HashMap<Slot, usize>,
    all: Vec<Primary>,
}

#[derive(Debug)]
struct Primary {
    name: String,
    /// One of its slots.
    slot: Slot,
    /// When it was heard last.
    heard: Option<Instant>,
    /// When it was last found silent, if it has not answered quickly since.
    silent: Option<Instant>,
}

/// So long a silence is remembered where nothing is asked of the primary: whoever asks next finds out anew.
const REMEMBERED: Duration = Duration::from_secs(30);

impl Answering {
    /// Nothing is known yet.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, primaries: Mutex::default(), has_silent: AtomicBool::new(false) }
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Takes in a node's answer to `CLUSTER SLOTS`.
    pub(crate) fn learn(&self, slots: &Value) {
        let Some(owners) = owners(slots) else { return };
        let mut primaries = self.primaries.lock();
        let known = std::mem::take(&mut *primaries);
        *primaries = known.with(owners);
        self.count(&primaries);
    }

    /// Whether any may be silent.
    pub(crate) fn has_silent(&self) -> bool {
        self.has_silent.load(Ordering::Relaxed)
    }

    /// Whether the slot's primary is known to be silent while another is not.
    pub(crate) fn is_silent(&self, slot: Slot) -> bool {
        self.has_silent() && self.primaries.lock().is_silent(slot)
    }

    /// The slot's primary has answered what it was asked then. Who is slow is still waited for by its own clients alone.
    pub(crate) fn answered(&self, slot: Slot, asked: Instant) {
        let mut primaries = self.primaries.lock();
        let Some(primary) = primaries.of(slot) else { return };
        primary.heard = Some(Instant::now());
        if primary.silent.is_some() && asked.elapsed() < self.patience / 2 {
            primary.silent = None;
            self.count(&primaries);
        }
    }

    /// Something is heard of the slot's primary beside what its clients ask.
    pub(crate) fn heard(&self, slot: Slot) {
        if let Some(primary) = self.primaries.lock().of(slot) {
            primary.heard = Some(Instant::now());
        }
    }

    /// The slot's primary has not answered.
    pub(crate) fn unanswered(&self, slot: Slot) {
        let mut primaries = self.primaries.lock();
        if let Some(primary) = primaries.of(slot) {
            primary.silent = Some(Instant::now());
            self.count(&primaries);
        }
    }

    /// Whether nobody should wait together with others for what the slot's primary was asked then: nothing was heard of it for
    /// long, and of another there was.
    pub(crate) fn is_given_up(&self, slot: Slot, asked: Instant) -> bool {
        let primaries = self.primaries.lock();
        let Some(place) = primaries.owners.get(&slot) else { return false };
        let is_unheard =
            |primary: &Primary| primary.heard.max(Some(asked)).is_some_and(|at| at.elapsed() >= self.patience);
        let is_heard = |primary: &Primary| primary.heard > Some(asked);
        let mut others = primaries.all.iter().enumerate().filter(|(other, _)| other != place);
        primaries.is_silent(slot)
            || (primaries.all.get(*place).is_some_and(is_unheard) && others.any(|(_, other)| is_heard(other)))
    }

    /// A slot of each primary that is not known to be silent, of the one that was heard last first.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let primaries = self.primaries.lock();
        let mut answering: Vec<&Primary> = primaries.all.iter().filter(|primary| !primary.is_silent()).collect();
        answering.sort_by_key(|primary| std::cmp::Reverse(primary.heard));
        answering.iter().map(|primary| primary.slot).collect()
    }

    fn count(&self, primaries: &Primaries) {
        self.has_silent.store(primaries.all.iter().any(|primary| primary.silent.is_some()), Ordering::Relaxed);
    }
}

impl Primaries {
    fn of(&mut self, slot: Slot) -> Option<&mut Primary> {
        self.all.get_mut(*self.owners.get(&slot)?)
    }

    fn is_silent(&self, slot: Slot) -> bool {
        let primary = self.owners.get(&slot).and_then(|place| self.all.get(*place));
        // Where all are, there is nobody to be kept from waiting.
        primary.is_some_and(Primary::is_silent) && !self.all.iter().all(Primary::is_silent)
    }

    /// Those that have slots now, with what is known of them.
    fn with(self, names: HashMap<Slot, String>) -> Self {
        let mut known: HashMap<String, Primary> =
            self.all.into_iter().map(|primary| (primary.name.clone(), primary)).collect();
        let (mut places, mut now) = (HashMap::new(), Self::default());
        for (slot, name) in names {
            let place = *places.entry(name).or_insert_with_key(|name| {
                let primary = Primary { name: name.clone(), slot, heard: None, silent: None };
                let known = known.remove(name).map(|known| Primary { slot, ..known });
                now.all.push(known.unwrap_or(primary));
                now.all.len().saturating_sub(1)
            });
            now.owners.insert(slot, place);
        }
        now
    }
}

impl Primary {
    fn is_silent(&self) -> bool {
        self.silent.is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primaries::tests::range;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// Of three primaries, a slot each.
    const SLOTS: [Slot; 3] = [Slot::new(1).unwrap(), Slot::new(6_000).unwrap(), Slot::new(12_000).unwrap()];

    fn slots(ports: [i64; 3]) -> Value {
        let [first, second, third] = ports;
        Value::Array(vec![range(0, 5_460, first), range(5_461, 10_922, second), range(10_923, 16_383, third)])
    }

    fn answering() -> Answering {
        let answering = Answering::new(PATIENCE);
        answering.learn(&slots([1, 2, 3]));
        answering
    }

    fn silent(answering: &Answering) -> [bool; 3] {
        SLOTS.map(|slot| answering.is_silent(slot))
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_unheard_for_long_is_given_up_where_another_was_heard_since() {
        let (answering, asked) = (answering(), Instant::now());
        let [first, second, third] = SLOTS;
        tokio::time::advance(PATIENCE).await;
        assert!(!SLOTS.iter().any(|slot| answering.is_given_up(*slot, asked)), "none is heard");
        answering.answered(second, asked);
        assert!(answering.is_given_up(first, asked) && answering.is_given_up(third, asked));
        assert!(!answering.is_given_up(second, asked));
        assert!(!answering.is_given_up(first, Instant::now()), "it was asked just now");
        // It has much to do.
        answering.heard(first);
        assert!(!answering.is_given_up(first, asked));
        assert_eq!(silent(&answering), [false; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_known_to_be_silent_is_given_up_at_once_by_all_who_wait_with_others() {
        let (answering, asked) = (answering(), Instant::now());
        answering.unanswered(SLOTS[0]);
        assert!(answering.is_given_up(SLOTS[0], asked) && !answering.is_given_up(SLOTS[1], asked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_ends_with_a_quick_answer_and_is_forgotten_some_time_after_the_last_that_was_missed() {
        let answering = answering();
        answering.unanswered(SLOTS[1]);
        assert_eq!(silent(&answering), [false, true, false]);
        let asked = Instant::now();
        tokio::time::advance(PATIENCE).await;
        answering.answered(SLOTS[1], asked);
        answering.answered(SLOTS[0], Instant::now());
        assert!(silent(&answering)[1], "it is slow");
        answering.answered(SLOTS[1], Instant::now());
        assert_eq!(silent(&answering), [false; 3]);
        for _ in 0..2 {
            answering.unanswered(SLOTS[1]);
            tokio::time::advance(REMEMBERED / 2).await;
        }
        assert!(silent(&answering)[1]);
        tokio::time::advance(REMEMBERED / 2).await;
        assert_eq!(silent(&answering), [false; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_silent_none_is_told_from_the_others() {
        let (answering, asked) = (answering(), Instant::now());
        SLOTS.iter().for_each(|slot| answering.unanswered(*slot));
        assert_eq!(silent(&answering), [false; 3]);
        assert!(!answering.is_given_up(SLOTS[0], asked) && answering.slots().is_empty());
        answering.answered(SLOTS[2], asked);
        assert_eq!(silent(&answering), [true, true, false]);
        assert_eq!(answering.slots().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_is_the_primarys_and_not_its_slots() {
        let answering = answering();
        answering.unanswered(SLOTS[0]);
        // The others have changed places.
        answering.learn(&slots([1, 3, 2]));
        assert_eq!(silent(&answering), [true, false, false]);
        answering.learn(&slots([4, 3, 2]));
        assert_eq!(silent(&answering), [false; 3]);
        answering.learn(&Value::Nil);
        assert_eq!(answering.slots().len(), 3, "no answer");
        assert!(!Answering::new(PATIENCE).is_given_up(SLOTS[0], Instant::now()), "nothing is known");
    }
}
