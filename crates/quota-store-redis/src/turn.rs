//! How long a turn at an account goes on that several processes want.

use std::time::Duration;

use tokio::time::Instant;

/// For so long at most a store goes on committing while others wait. What it keeps of the account stands meanwhile: that is as quick
/// as if it were alone, and each change of turns is not.
const TURN: Duration = Duration::from_millis(50);

/// A turn goes on only for who is seen to have more to do: whose batch came so soon after the commit before, and so was already
/// there or nearly. Whoever has nothing more to do and is first all the same is waited for in vain; and what comes in ones is
/// charged sooner where each who wants the account has it for one commit.
const SOON: Duration = Duration::from_micros(500);

/// For so long it is remembered that others were first.
const REMEMBERED: Duration = Duration::from_millis(100);

/// This store's turn at an account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// The batch came soon after the commit before.
    is_eager: bool,
    /// When the last commit was done.
    committed: Option<Instant>,
    /// Since when others wait while it goes on.
    since: Option<Instant>,
    /// It has ended, and others were first.
    has_ended: bool,
}

impl Turn {
    /// Another batch; whether it is to wait for a turn first.
    pub(crate) fn next_batch(&mut self) -> bool {
        let within = |limit: Duration| self.committed.is_some_and(|committed| committed.elapsed() < limit);
        self.is_eager = within(SOON);
        self.has_ended && within(REMEMBERED)
    }

    /// Whether it goes on after the next commit, should others wait.
    pub(crate) fn goes_on(&self) -> bool {
        self.is_eager && self.since.is_none_or(|since| since.elapsed() < TURN)
    }

    /// A commit was done; whether others wait, and whether the turn was to go on then.
    pub(crate) fn committed(&mut self, others_wait: bool, goes_on: bool) {
        let now = Instant::now();
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
        let waits = turn.next_batch();
        let goes_on = turn.goes_on();
        tokio::time::advance(PACE).await;
        turn.committed(others_wait, goes_on);
        waits
    }

    /// One whose batches come without a pause.
    async fn eager() -> Turn {
        let mut turn = Turn::default();
        commit(&mut turn, false).await;
        assert!(!turn.goes_on(), "nothing is known of it");
        commit(&mut turn, false).await;
        assert!(turn.goes_on());
        turn
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_goes_on_for_who_has_more_to_do_but_not_for_long() {
        let mut turn = eager().await;
        let begun = Instant::now();
        while turn.goes_on() {
            assert!(!commit(&mut turn, true).await);
        }
        assert_eq!(begun.elapsed(), PACE + TURN);
        // With one commit more it makes room, and then it waits for its turn.
        assert!(!commit(&mut turn, true).await);
        assert!(turn.next_batch());
        tokio::time::advance(REMEMBERED).await;
        assert!(!turn.next_batch(), "that is long ago");
        // The next is as long.
        turn = eager().await.begun();
        assert!(turn.goes_on() && !commit(&mut turn, true).await && turn.goes_on());
    }

    #[tokio::test(start_paused = true)]
    async fn who_pauses_makes_room_at_once() {
        let mut turn = eager().await;
        tokio::time::advance(SOON).await;
        assert!(!turn.next_batch() && !turn.goes_on());
        turn.committed(true, false);
        assert!(turn.next_batch(), "others are first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_measured_from_when_others_wait() {
        let mut turn = eager().await;
        for others_wait in [true, false, true] {
            for _ in 0..TURN.as_micros() / PACE.as_micros() - 1 {
                assert!(!commit(&mut turn, others_wait).await && turn.goes_on());
            }
        }
    }
}
