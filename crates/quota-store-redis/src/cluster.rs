//! The connection to a cluster.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisError;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use tokio::time::Instant;

use crate::cluster_node::ClusterNode;
use crate::node::Timeouts;

/// The connection to a cluster: the driver's, which finds its way among the nodes by itself, and another one where it does
/// not.
///
/// The driver that has begun to ask the nodes it knows for the slots goes on until one of these answers. Where none ever
/// will, because all have moved, or because it has just forgotten those that were away, it asks for ever, and never again
/// the nodes that it was given. So where nothing was answered for a while, a new one is made from those.
pub(crate) struct Cluster {
    client: ClusterClient,
    patience: Duration,
    state: Mutex<State>,
    /// Locked while a new connection is made.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    connection: ClusterConnection<ClusterNode>,
    /// When a command failed for the first time after the last that was answered.
    silent_since: Option<Instant>,
}

/// How often a command is sent again that was redirected, or, if it is no commit, whose node was lost.
const RETRIES: u32 = 6;

/// How long nothing is answered until a new connection is made. A node that is replaced silences its own clients alone.
const RENEWED_AFTER: Duration = Duration::from_secs(3);

impl Cluster {
    /// Connects.
    pub(crate) async fn open(builder: ClusterClientBuilder, timeouts: Timeouts) -> Result<Self, RedisError> {
        let client = builder
            .use_protocol(redis::ProtocolVersion::RESP3)
            .connection_timeout(timeouts.connect)
            .response_timeout(timeouts.answer)
            .overall_response_timeout(Some(timeouts.answer))
            .retries(RETRIES)
            .min_retry_wait(20)
            .max_retry_wait(500)
            .build()?;
        let patience = timeouts.connect.saturating_mul(2);
        let state = State { connection: connect(&client, patience).await?, silent_since: None };
        Ok(Self { client, patience, state: Mutex::new(state), renewing: Arc::default() })
    }

    /// Runs a command on the connection, which it is given a clone of.
    pub(crate) async fn run<T>(
        self: &Arc<Self>,
        run: impl AsyncFnOnce(&mut ClusterConnection<ClusterNode>) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut connection = self.state.lock().connection.clone();
        let ran = run(&mut connection).await;
        // A refusal is an answer.
        let is_answered = ran.as_ref().err().is_none_or(|error| error.code().is_some());
        if self.is_silent_for_long(is_answered) {
            self.renew();
        }
        ran
    }

    fn is_silent_for_long(&self, is_answered: bool) -> bool {
        let mut state = self.state.lock();
        if is_answered {
            state.silent_since = None;
            return false;
        }
        state.silent_since.get_or_insert_with(Instant::now).elapsed() > RENEWED_AFTER
    }

    /// Makes a new connection, which nobody waits for.
    fn renew(self: &Arc<Self>) {
        let Ok(renewing) = Arc::clone(&self.renewing).try_lock_owned() else { return };
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            let connected = connect(&cluster.client, cluster.patience).await;
            let mut state = cluster.state.lock();
            // Either way it is given time.
            state.silent_since = None;
            match connected {
                Ok(connection) => {
                    tracing::warn!("nothing was answered on the connection to the Redis cluster: it was made anew");
                    state.connection = connection;
                }
                Err(error) => tracing::warn!(%error, "none of the Redis cluster's nodes that were given answers"),
            }
            drop(renewing);
        });
    }
}

async fn connect(client: &ClusterClient, patience: Duration) -> Result<ClusterConnection<ClusterNode>, RedisError> {
    let connected = tokio::time::timeout(patience, client.get_async_generic_connection()).await;
    connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}
