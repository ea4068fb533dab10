//! Commits that nodes of clusters may have done.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Arg, Cmd, RedisError};
use uuid::Uuid;

use crate::call_error::CallError;

/// A commit on its way to a cluster, by the version that it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentCommit(Uuid);

/// Those that were sent and neither refused nor done with. A cluster's driver makes its connections by itself and they
/// share nothing with a store, so there is one table in a process: no two commits make the same version.
static SENT: LazyLock<Mutex<Sent>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Sent {
    young: HashSet<Uuid>,
    old: HashSet<Uuid>,
    since: Option<Instant>,
}

/// Longer than a call may take. Commits whose callers are gone stay so long in the table, or twice as long.
const LASTS: Duration = Duration::from_secs(600);

impl SentCommit {
    /// A call of the script that writes: it names the version to be.
    pub(crate) fn of(command: &Cmd) -> Option<Self> {
        let mut words = command.args_iter().map(|word| if let Arg::Simple(word) = word { word } else { b"" });
        if !matches!(words.next(), Some(b"EVALSHA" | b"EVAL")) {
            return None;
        }
        // The script, how many keys, the keys, the version that is expected, the version to be.
        let keys = words.nth(1).and_then(|count| str::from_utf8(count).ok()?.parse::<usize>().ok())?;
        let version = words.nth(keys.saturating_add(1)).filter(|version| !version.is_empty())?;
        Uuid::try_parse_ascii(version).ok().map(Self)
    }

    /// Notes that it is sent; false where it was, and may have been done.
    pub(crate) fn is_sent_now(self) -> bool {
        let mut sent = SENT.lock();
        let now = Instant::now();
        if sent.since.is_none_or(|since| now.duration_since(since) >= LASTS) {
            sent.old = std::mem::take(&mut sent.young);
            sent.since = Some(now);
        }
        !sent.old.contains(&self.0) && sent.young.insert(self.0)
    }

    /// It was refused, or nobody asks for it any more.
    pub(crate) fn forget(self) {
        let mut sent = SENT.lock();
        sent.young.remove(&self.0);
        sent.old.remove(&self.0);
    }

    /// What became of it where the driver gives an error: that may be of another try, or of none.
    pub(crate) fn failed(self, error: RedisError) -> CallError {
        // From here on nothing sends it: a driver that was not quick enough may still be about to.
        let was_sent = !self.is_sent_now();
        if !error.is_timeout() {
            self.forget();
        }
        match (was_sent, error.code()) {
            (true, _) => CallError::Lost(error),
            (false, Some(_)) => CallError::Refused(error),
            (false, None) => CallError::NotSent(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    fn commit(new: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg("digest").arg(2).arg("{a}").arg("{a}:q").arg("expected").arg(new).arg("h").arg(0);
        command
    }

    fn timeout() -> RedisError {
        std::io::Error::from(std::io::ErrorKind::TimedOut).into()
    }

    #[test]
    fn what_writes_is_a_commit() {
        let version = crate::attempt::new_version();
        assert!(SentCommit::of(&commit(&version)).is_some());
        assert!(SentCommit::of(&commit("")).is_none(), "it only confirms");
        assert!(SentCommit::of(redis::cmd("ZADD").arg("key").arg(1).arg(&version)).is_none());
        assert!(SentCommit::of(redis::cmd("EVAL").arg("script")).is_none());
    }

    #[test]
    fn it_is_sent_again_only_where_it_was_refused() {
        let commit = SentCommit(Uuid::new_v4());
        assert!(commit.is_sent_now());
        assert!(!commit.is_sent_now());
        commit.forget();
        assert!(commit.is_sent_now());
        assert!(matches!(commit.failed(timeout()), CallError::Lost(_)));
        assert!(!commit.is_sent_now());
    }

    #[test]
    fn what_was_never_sent_is_not_done_and_never_will_be() {
        let commit = SentCommit(Uuid::new_v4());
        assert!(matches!(commit.failed(timeout()), CallError::NotSent(_)));
        assert!(!commit.is_sent_now(), "a driver that was slow");
        let commit = SentCommit(Uuid::new_v4());
        let refused = redis::make_extension_error("LOADING".to_owned(), None);
        assert!(matches!(commit.failed(refused), CallError::Refused(_)));
        // An answer to another question says nothing of what was sent.
        assert!(commit.is_sent_now());
        let refused = redis::make_extension_error("LOADING".to_owned(), None);
        assert!(matches!(commit.failed(refused), CallError::Lost(_)));
        let lost = RedisError::from((ErrorKind::Client, "the node did not answer"));
        assert!(matches!(commit.failed(lost), CallError::NotSent(_)), "it was forgotten with its answer");
    }
}
