//! A connection to one node of a cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::Connect;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, Value};

use crate::sent_commit::SentCommit;

/// A connection to one node, as a cluster's driver makes and shares it.
///
/// The driver sends a command again that was redirected, which was not done, and also one that was not answered, or whose
/// answer it has not looked at when it fails to learn the cluster's slots: those may have been done. A commit that was done
/// and is sent again finds its own traces where another process has committed in between. So none goes to a node again
/// unless the node that it went to has refused it.
#[derive(Clone)]
pub(crate) struct ClusterNode(MultiplexedConnection);

impl Connect for ClusterNode {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        let connecting = MultiplexedConnection::connect_with_config(info, config);
        Box::pin(async move { Ok(Self(connecting.await?)) })
    }
}

impl ConnectionLike for ClusterNode {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let Some(commit) = SentCommit::of(command) else { return self.0.req_packed_command(command) };
        Box::pin(async move {
            if !commit.is_sent_now() {
                return Err(unanswered(&"it was sent before"));
            }
            let answer = self.0.req_packed_command(command).await.map_err(|error| unanswered(&error))?;
            if matches!(answer, Value::ServerError(_)) {
                commit.forget();
            }
            Ok(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        // A commit is the first of what it is sent with.
        let Some(commit) = pipeline.cmd_iter().next().and_then(SentCommit::of) else {
            return self.0.req_packed_commands(pipeline, offset, count);
        };
        Box::pin(async move {
            if !commit.is_sent_now() {
                return Err(unanswered(&"it was sent before"));
            }
            let answers =
                self.0.req_packed_commands(pipeline, offset, count).await.map_err(|error| unanswered(&error))?;
            if matches!(answers.first(), Some(Value::ServerError(_))) {
                commit.forget();
            }
            Ok(answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

/// An error that the driver takes for final.
fn unanswered(why: &impl ToString) -> RedisError {
    RedisError::from((ErrorKind::Client, "the node did not answer", why.to_string()))
}
