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
    connection: Mutex<ClusterConnection<ClusterNode>>,
    silence: Mutex<Silence>,
    /// Locked while a new connection is made.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

/// When a command failed for the first time after the last that was answered.
#[derive(Debug, Default)]
struct Silence(Option<Instant>);

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
        let connection = Mutex::new(connect(&client, patience).await?);
        Ok(Self { client, patience, connection, silence: Mutex::default(), renewing: Arc::default() })
    }

    /// Runs a command on the connection, which it is given a clone of.
    pub(crate) async fn run<T>(
        self: &Arc<Self>,
        run: impl AsyncFnOnce(&mut ClusterConnection<ClusterNode>) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut connection = self.connection.lock().clone();
        let ran = run(&mut connection).await;
        if self.silence.lock().is_long(ran.as_ref().err().is_none_or(is_refusal)) {
            self.renew();
        }
        ran
    }

    /// Makes a new connection, which nobody waits for.
    fn renew(self: &Arc<Self>) {
        let Ok(renewing) = Arc::clone(&self.renewing).try_lock_owned() else { return };
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            let connected = connect(&cluster.client, cluster.patience).await;
            match connected {
                Ok(connection) => {
                    tracing::warn!("nothing was answered on the connection to the Redis cluster: it was made anew");
                    *cluster.connection.lock() = connection;
                }
                Err(error) => tracing::warn!(%error, "none of the Redis cluster's nodes that were given answers"),
            }
            // Either way it is given time.
            *cluster.silence.lock() = Silence::default();
            drop(renewing);
        });
    }
}

impl Silence {
    /// Takes in whether a command was answered, and says whether none was for long.
    fn is_long(&mut self, is_answered: bool) -> bool {
        if is_answered {
            self.0 = None;
            return false;
        }
        self.0.get_or_insert_with(Instant::now).elapsed() > RENEWED_AFTER
    }
}

/// Whether a command came to a node that serves it, and was refused there. What is told of slots and of rights may as well be
/// the driver's, of its own attempts to learn the slots.
fn is_refusal(error: &RedisError) -> bool {
    !matches!(error.code(), None | Some("ASK" | "CLUSTERDOWN" | "ERR" | "MOVED" | "NOAUTH" | "WRONGPASS"))
}

async fn connect(client: &ClusterClient, patience: Duration) -> Result<ClusterConnection<ClusterNode>, RedisError> {
    let connected = tokio::time::timeout(patience, client.get_async_generic_connection()).await;
    connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silence_is_long_where_nothing_was_answered_since_it_began() {
        let mut silence = Silence::default();
        let later = || tokio::time::advance(RENEWED_AFTER / 2);
        assert!(!silence.is_long(false), "it begins");
        later().await;
        assert!(!silence.is_long(false));
        assert!(!silence.is_long(true), "some node answers");
        later().await;
        assert!(!silence.is_long(false), "it begins anew");
        later().await;
        assert!(!silence.is_long(false));
        later().await;
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(silence.is_long(false));
        assert!(!silence.is_long(true));
    }

    #[test]
    fn what_a_node_refuses_is_an_answer_and_what_the_driver_says_is_none() {
        for code in ["OOM", "FOREIGN", "READONLY", "NOPERM", "MISCONF"] {
            assert!(is_refusal(&redis::make_extension_error(code.to_owned(), None)), "{code}");
        }
        for code in ["CLUSTERDOWN", "NOAUTH", "ERR"] {
            assert!(!is_refusal(&redis::make_extension_error(code.to_owned(), None)), "{code}");
        }
        assert!(!is_refusal(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
    }
}
