//! How long a turn at an account goes on that several processes want.

use std::time::Duration;

use tokio::time::Instant;

/// For so long at most a store goes on committing while others wait. What it keeps of the account stands meanwhile: that is as quick
/// as if it were alone, and each change of turns is not.
const TURN: Duration = Duration::from_millis(50);

/// A turn goes on only for who is seen to have more to do: so many of its batches in a row came so soon after the commit before, and
/// so were already there or nearly; one is enough where it has requests of many callers, who will come again. (A hold and its
/// settlement are one such batch, and nothing comes after it.) Whoever has nothing more to do and is first all the same is waited
/// for in vain.
const EAGER: u32 = 2;
const SOON: Duration = Duration::from_micros(500);
const MANY: usize = 4;

/// Whose commits follow each other so closely need not be waited for long.
const QUICK: Duration = Duration::from_millis(1);

/// For so long it is remembered that others were first.
const REMEMBERED: Duration = Duration::from_millis(100);

/// This store's turn at an account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// How many batches in a row came soon after the commit before.
    eager: u32,
    /// When the last commit was done.
    committed: Option<Instant>,
    /// It came soon after the one before it.
    is_quick: bool,
    /// Since when others wait while it goes on.
    since: Option<Instant>,
    /// It has ended, and others were first.
    has_ended: bool,
    /// How often it came for what is to be done now, and nothing came of it: that takes longer than others wait.
    pub(crate) passed: u8,
}

/// What becomes of a turn after a commit, where others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// It ends.
    Ends,
    /// It goes on.
    On,
    /// It goes on with commits that follow each other closely: who is next need not wait for long.
    OnAtOnce,
}

impl Turn {
    /// Another batch of so many requests; whether it is to wait for a turn first.
    pub(crate) fn next_batch(&mut self, requests: usize) -> bool {
        let within = |limit: Duration| self.committed.is_some_and(|committed| committed.elapsed() < limit);
        let more = if requests >= MANY { EAGER } else { 1 };
        self.eager = if within(SOON) { self.eager.saturating_add(more) } else { 0 };
        self.has_ended && within(REMEMBERED)
    }

    /// Whether it goes on after the next commit, should others wait.
    pub(crate) fn going(&self) -> Going {
        let goes_on = self.eager >= EAGER && self.since.is_none_or(|since| since.elapsed() < TURN);
        match (goes_on, self.is_quick) {
            (false, _) => Going::Ends,
            (true, false) => Going::On,
            (true, true) => Going::OnAtOnce,
        }
    }

    /// A commit was done, or the account confirmed; whether others wait, and whether the turn was to go on then.
    pub(crate) fn committed(&mut self, others_wait: bool, going: Going) {
        let (now, goes_on) = (Instant::now(), going != Going::Ends);
        self.is_quick = self.committed.is_some_and(|before| now.duration_since(before) < QUICK);
        self.committed = Some(now);
        self.has_ended = others_wait && !goes_on;
        self.since = if others_wait && goes_on { self.since.or(Some(now)) } else { None };
    }

    /// It begins anew: the account was read in turn, or after others were quicker.
    pub(crate) fn begun(self) -> Self {
        Self { since: None, has_ended: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_micros(250);

    async fn commit(turn: &mut Turn, others_wait: bool) -> bool {
        let waits = turn.next_batch(1);
        let going = turn.going();
        tokio::time::advance(PACE).await;
        turn.committed(others_wait, going);
        waits
    }

    /// One whose batches come without a pause.
    async fn eager() -> Turn {
        let mut turn = Turn::default();
        for _ in 0..EAGER {
            commit(&mut turn, false).await;
            assert_eq!(turn.going(), Going::Ends, "too little is known of it");
        }
        commit(&mut turn, false).await;
        assert_eq!(turn.going(), Going::OnAtOnce);
        turn
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_goes_on_for_who_has_more_to_do_but_not_for_long() {
        let mut turn = eager().await;
        let begun = Instant::now();
        while turn.going() != Going::Ends {
            assert!(!commit(&mut turn, true).await);
        }
        assert_eq!(begun.elapsed(), PACE + TURN);
        // With one commit more it makes room, and then it waits for its turn.
        assert!(!commit(&mut turn, true).await);
        assert!(turn.next_batch(1));
        tokio::time::advance(REMEMBERED).await;
        assert!(!turn.next_batch(1), "that is long ago");
        // The next is as long.
        turn = eager().await.begun();
        assert_ne!(turn.going(), Going::Ends);
        assert!(!commit(&mut turn, true).await);
        assert_ne!(turn.going(), Going::Ends);
    }

    #[tokio::test(start_paused = true)]
    async fn one_batch_of_many_callers_is_enough() {
        let mut turn = Turn::default();
        turn.next_batch(MANY);
        assert_eq!(turn.going(), Going::Ends, "the first");
        turn.committed(true, Going::Ends);
        assert!(turn.next_batch(MANY));
        assert_eq!(turn.going(), Going::On);
        turn.next_batch(MANY - 1);
        tokio::time::advance(SOON).await;
        turn.next_batch(MANY);
        assert_eq!(turn.going(), Going::Ends);
    }

    #[tokio::test(start_paused = true)]
    async fn who_pauses_makes_room_at_once() {
        let mut turn = eager().await;
        tokio::time::advance(SOON).await;
        assert!(!turn.next_batch(1));
        assert_eq!(turn.going(), Going::Ends);
        turn.committed(true, Going::Ends);
        assert!(turn.next_batch(1), "others are first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_measured_from_when_others_wait() {
        let mut turn = eager().await;
        for others_wait in [true, false, true] {
            for _ in 0..TURN.as_micros() / PACE.as_micros() - 1 {
                assert!(!commit(&mut turn, others_wait).await);
                assert_ne!(turn.going(), Going::Ends);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_is_waited_for_as_long_as_ever() {
        let mut turn = eager().await;
        let going = turn.going();
        tokio::time::advance(QUICK).await;
        turn.committed(true, going);
        assert!(!turn.next_batch(1));
        assert_eq!(turn.going(), Going::On);
    }
}
