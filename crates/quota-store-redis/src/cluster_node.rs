//! A connection to one node of a cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::Connect;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, Value};

use crate::script;

/// A connection to one node, as a cluster's driver makes and shares it.
///
/// The driver sends a command again that was redirected, which was not done, and also one that was not answered, which may
/// have been. A commit that was done and is sent again finds its own traces where another process has committed in
/// between: so what becomes of one that was not answered is told in a way that the driver takes for final.
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
        let answer = self.0.req_packed_command(command);
        if !script::is_commit(command) {
            return answer;
        }
        Box::pin(async move { answer.await.map_err(never_again) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let answers = self.0.req_packed_commands(pipeline, offset, count);
        if !pipeline.cmd_iter().any(script::is_commit) {
            return answers;
        }
        Box::pin(async move { answers.await.map_err(never_again) })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

/// What the server has answered stays as it is.
fn never_again(error: RedisError) -> RedisError {
    match error.code() {
        Some(_) => error,
        None => RedisError::from((ErrorKind::Client, "the node did not answer", error.to_string())),
    }
}
