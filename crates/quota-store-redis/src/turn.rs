//! Whose turn it is with a client that several processes charge.

use std::time::{Duration, Instant};

/// For so long a process goes on committing while others wait. What it keeps of the account stands meanwhile, so all its callers
/// together are as quick as if they were alone.
const TURN: Duration = Duration::from_millis(50);

/// Then it lets the others go first: longer than any of them waits before it tries again ([`quota_service::Patience`]).
const REST: Duration = Duration::from_millis(20);

/// Where commits are slow, a turn has so many, and a rest two: others ask no more often than that.
const COMMITS: u32 = 4;

/// Since when others wait for the account that this process commits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn(Option<Waited>);

#[derive(Clone, Copy, Debug)]
struct Waited {
    since: Instant,
    seen: Instant,
    /// How long the commit took that told so.
    pace: Duration,
}

impl Turn {
    /// Notes a commit that was asked then, and whether others came too late for it.
    pub(crate) fn committed(&mut self, asked: Instant, others_wait: bool) {
        if others_wait {
            let seen = Instant::now();
            self.others_wait(seen, seen.duration_since(asked));
        }
    }

    fn others_wait(&mut self, seen: Instant, pace: Duration) {
        let since = self.waited(seen).map_or(seen, |waited| waited.since);
        self.0 = Some(Waited { since, seen, pace });
    }

    /// Rests where others have waited for long enough.
    pub(crate) async fn make_room(&mut self) {
        if let Some(rest) = self.rest(Instant::now()) {
            self.0 = None;
            tokio::time::sleep(rest).await;
        }
    }

    /// How long to rest now, if at all.
    fn rest(self, now: Instant) -> Option<Duration> {
        let waited = self.waited(now).filter(|waited| now.duration_since(waited.since) >= waited.turn())?;
        Some(REST.max(waited.pace.saturating_mul(2)))
    }

    /// Others, if they still wait.
    fn waited(self, now: Instant) -> Option<Waited> {
        self.0.filter(|waited| now.duration_since(waited.seen) < waited.turn())
    }
}

impl Waited {
    /// So long is a turn, and so long it is remembered that others waited.
    fn turn(&self) -> Duration {
        TURN.max(self.pace.saturating_mul(COMMITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest after so many commits of so many milliseconds each, all of which others came too late for.
    fn rest(commits: u32, millis: u64) -> Option<Duration> {
        let (mut turn, pace, begun) = (Turn::default(), Duration::from_millis(millis), Instant::now());
        for number in 1..=commits {
            turn.others_wait(begun + pace * number, pace);
        }
        turn.rest(begun + pace * commits)
    }

    #[test]
    fn a_turn_ends_however_slow_commits_are() {
        assert_eq!(rest(50, 1), None);
        assert_eq!(rest(51, 1), Some(REST));
        for millis in [20, 49, 50, 200, 3_000] {
            assert_eq!(rest(3, millis), None, "{millis}");
            assert_eq!(rest(5, millis), Some(REST.max(Duration::from_millis(2 * millis))), "{millis}");
        }
    }

    #[test]
    fn who_waited_long_ago_is_forgotten() {
        let seen = Instant::now();
        let turn = Turn(Some(Waited { since: seen, seen, pace: Duration::ZERO }));
        assert!(turn.waited(seen + TURN / 2).is_some());
        assert!(turn.waited(seen + TURN).is_none() && turn.rest(seen + TURN).is_none());
    }
}
