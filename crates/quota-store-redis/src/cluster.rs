//! The connection to a cluster.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr};
use redis::{RedisError, Value};
use tokio::time::Instant;

use crate::answering::Answering;
use crate::cluster_node::ClusterNode;
use crate::node::Timeouts;

/// The connection to a cluster: the driver's, which finds its way among the nodes by itself, and another one where it does
/// not.
///
/// The driver that has begun to ask the nodes it knows for the slots goes on until one of these answers. Where none ever
/// will, because all have moved, or because it has just forgotten those that were away, it asks for ever, and never again
/// the nodes that it was given. So where nothing was answered for a while, a new one is made from those. It goes on as well
/// to ask one that is silent, and was replaced, for as long as the connection to that one lasts: so it is looked for another.
pub(crate) struct Cluster {
    client: ClusterClient,
    patience: Duration,
    connection: Mutex<Connection>,
    silence: Mutex<Silence>,
    answering: Answering,
    /// Locked while a new connection is made.
    renewing: Arc<tokio::sync::Mutex<()>>,
    /// When it was last asked who has which slots. Locked while it is.
    looked: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

type Connection = ClusterConnection<ClusterNode>;

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Of its keys; none where it has none.
    pub(crate) slot: Option<Slot>,
    pub(crate) by: Asker,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody who waits for nothing else.
    One,
    /// Many, of whom each waits until all are answered.
    Many,
}

/// When a command failed for the first time after the last that was answered.
#[derive(Debug, Default)]
struct Silence(Option<Instant>);

/// How often a command is sent again that was redirected, or, if it is no commit, whose node was lost.
const RETRIES: u32 = 6;

/// How long nothing is answered until a new connection is made. A node that is replaced silences its own clients alone.
const RENEWED_AFTER: Duration = Duration::from_secs(3);

/// Who waits looks so often, in the time that a primary is given, whether it is still to be waited for.
const LOOKS: u32 = 8;

/// How often at most it is asked who has which slots.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a node may take to tell that, when there are others to ask.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

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
        let (silence, answering) = (Mutex::default(), Answering::new(timeouts.silence()));
        let (renewing, looked) = (Arc::default(), Arc::default());
        let cluster = Self { client, patience, connection, silence, answering, renewing, looked };
        cluster.learn().await;
        Ok(cluster)
    }

    /// Whether the primary of this slot is known to be silent while another is not.
    pub(crate) fn is_silent(&self, slot: impl FnOnce() -> Slot) -> bool {
        self.answering.has_silent() && self.answering.is_silent(slot())
    }

    /// Runs a command on the connection, which it is given a clone of.
    pub(crate) async fn run<T>(
        self: &Arc<Self>,
        asked: Asked,
        run: impl AsyncFnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut connection = self.connection.lock().clone();
        let Some(slot) = asked.slot else {
            let ran = run(&mut connection).await;
            self.heed(&ran);
            return ran;
        };
        let begun = Instant::now();
        let ran = self.unless_given_up(slot, asked.by, run(&mut connection)).await;
        self.heed(&ran);
        match &ran {
            Err(error) if is_silence(error) => {
                self.answering.unanswered(slot);
                self.look();
            }
            Err(error) if !is_refusal(error) => {}
            _ => self.answering.answered(slot, begun),
        }
        ran
    }

    fn heed<T>(self: &Arc<Self>, ran: &Result<T, RedisError>) {
        if self.silence.lock().is_long(ran.as_ref().err().is_none_or(is_refusal)) {
            self.renew("nothing was answered on the connection");
        }
    }

    /// What the slot's primary answers, if it is not silent for long while others answer: who waits with these for all to be
    /// answered is not to wait for it. Who asks one that is known to be silent waits with nobody.
    async fn unless_given_up<T>(
        self: &Arc<Self>,
        slot: Slot,
        by: Asker,
        running: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, RedisError> {
        let (asked, patience) = (Instant::now(), self.answering.patience());
        let looks_after = (patience / LOOKS).max(Duration::from_millis(1));
        let is_patient = by == Asker::One || self.answering.is_silent(slot);
        let mut running = std::pin::pin!(running);
        loop {
            if let Ok(ran) = tokio::time::timeout(looks_after, running.as_mut()).await {
                return ran;
            }
            if !is_patient && self.answering.is_given_up(slot, asked) {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
            // That also shows whether others answer, where nobody else asks them.
            if asked.elapsed() >= patience / 2 {
                self.look();
            }
        }
    }

    /// Asks a primary that answers who has which slots, which nobody waits for. Where one that is silent was replaced, the
    /// driver finds its place on a new connection.
    fn look(self: &Arc<Self>) {
        let Ok(mut looked) = Arc::clone(&self.looked).try_lock_owned() else { return };
        if looked.is_some_and(|looked| looked.elapsed() < LOOKED_AGAIN_AFTER) {
            return;
        }
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            if cluster.has_replaced().await {
                cluster.renew("a primary that is silent was replaced");
            }
            *looked = Some(Instant::now());
        });
    }

    /// Whether a primary that answers says that one that is silent was replaced: that is learnt when the driver knows it.
    async fn has_replaced(&self) -> bool {
        let slots = self.answering.slots();
        if slots.is_empty() {
            self.learn().await;
        }
        for slot in slots {
            let primary = SingleNodeRoutingInfo::SpecificNode(Route::with_slot(slot, SlotAddr::Master));
            let Ok(told) = self.ask_slots(primary).await else { continue };
            self.answering.heard(slot);
            let is_replaced = self.answering.is_replaced(&told);
            if !is_replaced {
                self.answering.learn(&told);
            }
            return is_replaced;
        }
        false
    }

    /// Learns who has which slots. Where nobody tells, that is asked again when somebody does not answer.
    async fn learn(&self) {
        if let Ok(told) = self.ask_slots(SingleNodeRoutingInfo::RandomPrimary).await {
            self.answering.learn(&told);
        }
    }

    async fn ask_slots(&self, node: SingleNodeRoutingInfo) -> Result<Value, RedisError> {
        let mut connection = self.connection.lock().clone();
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let asked = connection.route_command(slots, RoutingInfo::SingleNode(node));
        let told = tokio::time::timeout(TOLD_WITHIN, asked).await;
        told.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    }

    /// Makes a new connection, which nobody waits for.
    fn renew(self: &Arc<Self>, why: &'static str) {
        let Ok(renewing) = Arc::clone(&self.renewing).try_lock_owned() else { return };
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            let connected = connect(&cluster.client, cluster.patience).await;
            match connected {
                Ok(connection) => {
                    tracing::warn!("{why}: the connection to the Redis cluster was made anew");
                    *cluster.connection.lock() = connection;
                    cluster.learn().await;
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

/// Whether nothing was heard of the node that serves a command, as far as the driver found it.
fn is_silence(error: &RedisError) -> bool {
    matches!(error.code(), None | Some("ASK" | "MOVED"))
}

async fn connect(client: &ClusterClient, patience: Duration) -> Result<Connection, RedisError> {
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
