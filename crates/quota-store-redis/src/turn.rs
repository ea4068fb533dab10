//! Whose turn it is with a client that several processes charge.

use std::time::{Duration, Instant};

/// For so long a process goes on committing while others wait. What it keeps of the account stands meanwhile, so all its callers
/// together are as quick as if they were alone.
const TURN: Duration = Duration::from_millis(50);

/// Then it lets the others go first: longer than any of them waits before it tries again ([`quota_service::Patience`]).
const REST: Duration = Duration::from_millis(20);

/// Since when others wait for the account that this process commits, and when that was seen last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn(Option<(Instant, Instant)>);

impl Turn {
    /// Notes a commit, and whether others came too late for it.
    pub(crate) fn committed(&mut self, others_wait: bool) {
        if others_wait {
            let now = Instant::now();
            let since = self.begun(now).unwrap_or(now);
            self.0 = Some((since, now));
        }
    }

    /// Rests where others have waited for long enough.
    pub(crate) async fn make_room(&mut self) {
        let now = Instant::now();
        if self.begun(now).is_some_and(|since| now.duration_since(since) >= TURN) {
            self.0 = None;
            tokio::time::sleep(REST).await;
        }
    }

    /// When others began to wait, if they still do.
    fn begun(self, now: Instant) -> Option<Instant> {
        self.0.filter(|(_, seen)| now.duration_since(*seen) < TURN).map(|(since, _)| since)
    }
}
