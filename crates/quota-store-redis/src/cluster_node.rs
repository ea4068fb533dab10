//! A connection to one node of a cluster.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::Connect;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, Value};

use crate::call_error::TORN;
use crate::sent_commit::SentCommit;

/// A connection to one node, as a cluster's driver makes and shares it.
///
/// The driver sends a command again that was redirected, which was not done, and also one that was not answered, or whose
/// answer it has not looked at when it fails to learn the cluster's slots: those may have been done. A commit that was done
/// and is sent again finds its own traces where another process has committed in between. So none goes to a node again
/// unless the node that it went to has refused it.
#[derive(Clone)]
pub(crate) struct ClusterNode {
    connection: MultiplexedConnection,
    /// It has ended, and the driver makes another one when it is told so.
    has_ended: Arc<AtomicBool>,
}

impl Connect for ClusterNode {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        let connecting = MultiplexedConnection::connect_with_config(info, config);
        Box::pin(async move { Ok(Self { connection: connecting.await?, has_ended: Arc::default() }) })
    }
}

impl ClusterNode {
    /// Lets a commit pass, or nothing.
    fn pass(&self, commit: Option<SentCommit>) -> Result<(), RedisError> {
        match commit {
            // Before it is sent: the driver tries it again on another connection.
            Some(_) if self.has_ended.load(Ordering::Relaxed) => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            Some(commit) if !commit.is_sent_now() => Err(unanswered(&"it was sent before")),
            _ => Ok(()),
        }
    }

    /// What the driver is told of an answer, which may say that a commit was refused.
    fn told<T>(
        &self,
        commit: Option<SentCommit>,
        answered: Result<T, RedisError>,
        refuses: impl FnOnce(&T) -> bool,
    ) -> Result<T, RedisError> {
        match (answered, commit) {
            (Ok(answer), Some(commit)) => {
                if refuses(&answer) {
                    commit.refused();
                }
                Ok(answer)
            }
            (Ok(answer), None) => Ok(answer),
            (Err(error), commit) => {
                if error.is_connection_dropped() || error.is_unrecoverable_error() {
                    self.has_ended.store(true, Ordering::Relaxed);
                }
                Err(if commit.is_some() { unanswered(&error) } else { error })
            }
        }
    }
}

impl ConnectionLike for ClusterNode {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let commit = SentCommit::of(command);
            self.pass(commit)?;
            let answered = self.connection.req_packed_command(command).await;
            self.told(commit, answered, is_refusal)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            // A commit is the first of what it is sent with, and in no transaction.
            debug_assert!(pipeline.cmd_iter().skip(1).all(|command| SentCommit::of(command).is_none()));
            let commit = pipeline.cmd_iter().next().and_then(SentCommit::of);
            debug_assert!(commit.is_none() || offset == 0);
            self.pass(commit)?;
            let answered = self.connection.req_packed_commands(pipeline, offset, count).await;
            self.told(commit, answered, |answers| answers.first().is_some_and(is_refusal))
        })
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// Whether nothing was done.
fn is_refusal(answer: &Value) -> bool {
    match answer {
        Value::ServerError(error) => error.code() != TORN,
        Value::Attribute { data, .. } => is_refusal(data),
        _ => false,
    }
}

/// An error that the driver takes for final.
fn unanswered(why: &impl ToString) -> RedisError {
    RedisError::from((ErrorKind::Client, "the node did not answer", why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_done_unless_it_was_stopped_in_its_midst() {
        let answer = |text: &str| redis::parse_redis_value(text.as_bytes()).unwrap();
        assert!(is_refusal(&answer("-NOPERM the user may not ZADD any more\r\n")));
        assert!(is_refusal(&answer("-OOM command not allowed\r\n")));
        assert!(!is_refusal(&answer("-TORN ZADD: the user may not\r\n")));
        assert!(!is_refusal(&answer(":1\r\n")));
    }
}
