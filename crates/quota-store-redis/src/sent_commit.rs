//! Commits that nodes of clusters may have done.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use redis::{Arg, Cmd, RedisError};
use uuid::Uuid;

use crate::call_error::CallError;

/// Commits that are asked of clusters at this moment, by the versions that they make: whether a node may have done them. A
/// cluster's driver makes its connections by itself and they share nothing with a store, so there is one table in a process;
/// no two commits make the same version.
static ASKED: LazyLock<Mutex<HashMap<Uuid, bool>>> = LazyLock::new(Mutex::default);

/// A commit that is asked of a cluster, for as long as somebody waits for it. Before it was asked and afterwards no node is
/// sent it.
#[derive(Debug)]
pub(crate) struct AskedCommit(Uuid);

/// A commit on its way to a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentCommit(Uuid);

impl AskedCommit {
    /// Where the command is a commit.
    pub(crate) fn of(command: &Cmd) -> Option<Self> {
        let version = version_of(command)?;
        ASKED.lock().insert(version, false);
        Some(Self(version))
    }

    /// What became of it where the driver gives an error: that may be of another try than the one that was done, or of none.
    pub(crate) fn failed(self, error: RedisError) -> CallError {
        // Taken out with the look: a driver that is about to send it comes too late.
        let may_be_done = ASKED.lock().remove(&self.0).unwrap_or(true);
        match (may_be_done, error.code()) {
            (true, _) => CallError::Lost(error),
            (false, Some(_)) => CallError::Refused(error),
            (false, None) => CallError::NotSent(error),
        }
    }
}

impl Drop for AskedCommit {
    fn drop(&mut self) {
        ASKED.lock().remove(&self.0);
    }
}

impl SentCommit {
    /// Where the command is a commit.
    pub(crate) fn of(command: &Cmd) -> Option<Self> {
        version_of(command).map(Self)
    }

    /// Notes that it is sent now. False where it must not be: it may have been done, or nobody waits for it any more.
    pub(crate) fn is_sent_now(self) -> bool {
        ASKED.lock().get_mut(&self.0).is_some_and(|may_be_done| !std::mem::replace(may_be_done, true))
    }

    /// The node has refused it: another one may be sent it.
    pub(crate) fn refused(self) {
        if let Some(may_be_done) = ASKED.lock().get_mut(&self.0) {
            *may_be_done = false;
        }
    }
}

/// The version to be, where the command is a call of the script that writes.
fn version_of(command: &Cmd) -> Option<Uuid> {
    let mut words = command.args_iter().map(|word| if let Arg::Simple(word) = word { word } else { b"" });
    if !matches!(words.next(), Some(b"EVALSHA" | b"EVAL")) {
        return None;
    }
    // The script, how many keys, the keys, the version that is expected, the version to be.
    let keys = words.nth(1).and_then(|count| str::from_utf8(count).ok()?.parse::<usize>().ok())?;
    words.nth(keys.saturating_add(1)).and_then(|version| Uuid::try_parse_ascii(version).ok())
}

#[cfg(test)]
mod tests {
    use quota_core::Detail;

    use super::*;
    use crate::script::CommitScript;

    fn commit(new: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg("digest").arg(2).arg("{a}").arg("{a}:q").arg("expected").arg(new).arg("h").arg(0);
        command
    }

    fn both() -> (AskedCommit, SentCommit) {
        let command = commit(&CommitScript::new(Detail::Entries).new_version());
        (AskedCommit::of(&command).unwrap(), SentCommit::of(&command).unwrap())
    }

    fn timeout() -> RedisError {
        std::io::Error::from(std::io::ErrorKind::TimedOut).into()
    }

    fn refusal() -> RedisError {
        redis::make_extension_error("LOADING".to_owned(), None)
    }

    #[test]
    fn what_writes_is_a_commit() {
        let version = CommitScript::new(Detail::Entries).new_version();
        assert!(SentCommit::of(&commit(&version)).is_some());
        assert!(SentCommit::of(&commit("")).is_none(), "it only confirms");
        assert!(SentCommit::of(redis::cmd("ZADD").arg("key").arg(1).arg(&version)).is_none());
        assert!(SentCommit::of(redis::cmd("EVAL").arg("script")).is_none());
    }

    #[test]
    fn it_is_sent_again_only_where_it_was_refused() {
        let (asked, sent) = both();
        assert!(sent.is_sent_now());
        assert!(!sent.is_sent_now());
        sent.refused();
        assert!(sent.is_sent_now());
        // An answer to another question says nothing of what was sent.
        assert!(matches!(asked.failed(refusal()), CallError::Lost(_)));
        assert!(!sent.is_sent_now());
    }

    #[test]
    fn what_was_never_sent_is_not_done_and_never_will_be() {
        let (asked, sent) = both();
        assert!(matches!(asked.failed(timeout()), CallError::NotSent(_)));
        assert!(!sent.is_sent_now(), "a driver that was slow");
        let (asked, sent) = both();
        assert!(sent.is_sent_now());
        sent.refused();
        assert!(matches!(asked.failed(refusal()), CallError::Refused(_)));
        let (asked, sent) = both();
        drop(asked);
        assert!(!sent.is_sent_now(), "nobody waits");
        assert!(!ASKED.lock().contains_key(&sent.0));
    }
}
