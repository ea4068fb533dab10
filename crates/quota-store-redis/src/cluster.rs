//! The connections to a cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::cluster_routing::Slot;
use redis::{Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::answering::Answering;
use crate::call_error::CallError;
use crate::elsewhere::Elsewhere;
use crate::node::{Node, Source, Timeouts};
use crate::slot_map::{Place, SlotMap};
use crate::trust::Trusted;

/// The connections to a cluster: one to each primary, of which none waits for another.
///
/// The driver's own is not used. While it learns the slots, or connects to a node, nobody's command goes on, whichever node it
/// concerns: a machine that is lost stops all for as long as the timeouts are, again and again. It sends commands again that may have
/// been done, and where many are redirected at once it waits for itself for ever (its lock is taken by futures that it does not poll
/// meanwhile).
pub(crate) struct Cluster {
    /// The nodes that were given.
    seeds: Vec<ConnectionInfo>,
    trusted: Trusted,
    timeouts: Timeouts,
    map: Mutex<Arc<SlotMap>>,
    nodes: Mutex<HashMap<Place, Arc<Node>>>,
    answering: Answering,
    looked: Mutex<Looked>,
}

/// When it was asked who has which slots.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    begun: Option<Instant>,
    ended: Option<Instant>,
}

/// Somebody who asks that: it ends with its runtime, too.
struct Looking(Arc<Cluster>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.looked.lock().ended = Some(Instant::now());
    }
}

impl Looked {
    /// Whether it is to be asked now. Who has begun to ask is waited for, but not for ever: its runtime may be one that nobody drives.
    fn is_due(&self) -> bool {
        let pause = if self.ended >= self.begun { LOOKED_AGAIN_AFTER } else { LOOKING };
        self.ended.max(self.begun).is_none_or(|last| last.elapsed() >= pause)
    }
}

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

/// Commands that go in one message, and which of their answers are asked for: so many, behind the first `skipped`.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) commands: &'a Pipeline,
    pub(crate) skipped: usize,
    pub(crate) count: usize,
}

type Answers = Vec<Result<Value, CallError>>;

/// How often a command is sent again that was refused for its place, or was never sent.
const RETRIES: u32 = 6;

/// How long nobody asks again after such a refusal; each time twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Who waits looks so often, in the time that a primary is given, whether it is still to be waited for.
const LOOKS: u32 = 8;

/// How often at most it is asked who has which slots.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// And how long after somebody has begun to ask and has not ended.
const LOOKING: Duration = Duration::from_secs(10);

/// How long a node may take to tell that, when there are others to ask.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

impl Cluster {
    /// Finds out who has which slots.
    ///
    /// # Errors
    /// One of those that the given nodes gave, of whom none has told it.
    pub(crate) async fn open(
        seeds: &[ConnectionInfo],
        trusted: Trusted,
        timeouts: Timeouts,
    ) -> Result<Self, RedisError> {
        let cluster = Self {
            seeds: seeds.to_vec(),
            trusted,
            timeouts,
            map: Mutex::default(),
            nodes: Mutex::default(),
            answering: Answering::new(timeouts.silence()),
            looked: Mutex::default(),
        };
        cluster.learn_of_any(cluster.seeds().collect(), timeouts.connect.saturating_mul(2)).await?;
        Ok(cluster)
    }

    /// Whether the primary of this slot is known to be silent while another is not.
    pub(crate) fn is_silent(&self, slot: impl FnOnce() -> Slot) -> bool {
        self.answering.has_silent() && self.answering.is_silent(slot())
    }

    /// Sends commands on one slot, or on none, and gives their answers.
    pub(crate) async fn send(self: &Arc<Self>, asked: Asked, message: Message<'_>) -> Answers {
        let (begun, is_sent) = (Instant::now(), AtomicBool::new(false));
        let Some(slot) = asked.slot else {
            let sending = self.send_anywhere(message);
            let answered = tokio::time::timeout(self.timeouts.answer, sending).await;
            return answered.unwrap_or_else(|_| vec![Err(CallError::Lost(timed_out())); message.count]);
        };
        let sending = self.send_to_owner(slot, message, &is_sent);
        let answers = self.unless_given_up(slot, asked.by, sending).await.unwrap_or_else(|| {
            let error = if is_sent.load(Ordering::Relaxed) { CallError::Lost } else { CallError::NotSent };
            vec![Err(error(timed_out())); message.count]
        });
        match answers.first() {
            Some(Err(CallError::NotSent(_) | CallError::Lost(_))) => {
                self.answering.unanswered(slot);
                self.look();
            }
            // It is the slots', or a node's that is not ready.
            _ if Elsewhere::of(&answers, None).is_some() => self.look(),
            _ => self.answering.answered(slot, begun),
        }
        answers
    }

    /// Sends a command to every primary; the answers in any order.
    pub(crate) async fn send_to_every_primary(self: &Arc<Self>, command: &Cmd) -> Answers {
        let map = self.map();
        let answers =
            join_all(map.primaries().iter().map(async |place| {
                self.node(place)?.run(async |connection| command.query_async(connection).await).await
            }));
        let answers = tokio::time::timeout(self.timeouts.answer, answers).await;
        let answers = answers.unwrap_or_else(|_| vec![Err(CallError::Lost(timed_out()))]);
        if answers.iter().any(Result::is_err) {
            self.look();
        }
        answers
    }

    /// Sends to the first node that can be reached.
    async fn send_anywhere(self: &Arc<Self>, message: Message<'_>) -> Answers {
        let mut last = vec![Err(CallError::NotSent(unserved())); message.count];
        for place in self.answering_first() {
            last = match self.node(&place) {
                Ok(node) => node.run_each(message.commands, message.skipped, message.count).await,
                Err(error) => vec![Err(error); message.count],
            };
            if !matches!(last.first(), Some(Err(CallError::NotSent(_)))) {
                return last;
            }
            self.look();
        }
        last
    }

    /// Sends to the slot's primary, wherever it is found. What may have been done is not sent again. `is_sent` tells whether
    /// it may have been.
    async fn send_to_owner(self: &Arc<Self>, slot: Slot, message: Message<'_>, is_sent: &AtomicBool) -> Answers {
        let (mut to, mut is_asked) = (self.map().owner(slot).cloned(), false);
        let mut tries = 0;
        loop {
            let answers = match &to {
                Some(place) if is_asked => {
                    let (commands, skipped) = (asking(message.commands), message.skipped.saturating_add(1));
                    self.send_to(place, Message { commands: &commands, skipped, ..message }, is_sent).await
                }
                Some(place) => self.send_to(place, message, is_sent).await,
                None => vec![Err(CallError::NotSent(unserved())); message.count],
            };
            let elsewhere = Elsewhere::of(&answers, to.as_ref());
            let Some(elsewhere) = elsewhere.filter(|_| tries < RETRIES) else { return answers };
            is_asked = matches!(elsewhere, Elsewhere::Asked(_));
            if !is_asked {
                self.look();
            }
            to = match elsewhere {
                Elsewhere::Moved(place) | Elsewhere::Asked(place) => Some(place),
                Elsewhere::Later => {
                    tokio::time::sleep(FIRST_PAUSE.saturating_mul(1 << tries).min(LONGEST_PAUSE)).await;
                    self.map().owner(slot).cloned()
                }
            };
            tries += 1;
        }
    }

    async fn send_to(&self, place: &Place, message: Message<'_>, is_sent: &AtomicBool) -> Answers {
        let node = match self.node(place) {
            Ok(node) => node,
            Err(error) => return vec![Err(error); message.count],
        };
        if let Err(error) = node.connected().await {
            return vec![Err(CallError::NotSent(error)); message.count];
        }
        is_sent.store(true, Ordering::Relaxed);
        let answers = node.run_each(message.commands, message.skipped, message.count).await;
        is_sent.store(Elsewhere::of(&answers, None).is_none(), Ordering::Relaxed);
        answers
    }

    /// What the slot's primary answers, if it is not silent for long while others answer: who waits with these for all to be
    /// answered is not to wait for it, and not at all where it is known to be silent.
    async fn unless_given_up(
        self: &Arc<Self>,
        slot: Slot,
        by: Asker,
        sending: impl Future<Output = Answers>,
    ) -> Option<Answers> {
        let (asked, patience) = (Instant::now(), self.answering.patience());
        let longest = self.timeouts.answer.saturating_add(self.timeouts.replicas);
        let looks_after = (patience / LOOKS).max(Duration::from_millis(1));
        let is_patient = by == Asker::One;
        let mut sending = std::pin::pin!(sending);
        loop {
            if let Ok(answers) = tokio::time::timeout(looks_after, sending.as_mut()).await {
                return Some(answers);
            }
            if asked.elapsed() >= longest || (!is_patient && self.answering.is_given_up(slot, asked)) {
                return None;
            }
            // That also shows whether others answer, where nobody else asks them.
            if asked.elapsed() >= patience / 2 {
                self.look();
            }
        }
    }

    /// Asks who has which slots, which nobody waits for.
    fn look(self: &Arc<Self>) {
        let mut looked = self.looked.lock();
        if !looked.is_due() {
            return;
        }
        looked.begun = Some(Instant::now());
        // A runtime that is ending drops it at once.
        drop(looked);
        let looking = Looking(Arc::clone(self));
        tokio::spawn(async move { looking.0.learn().await });
    }

    /// Learns it of a primary that answers; of any node else, also of those that were given, where all have moved.
    async fn learn(&self) {
        let map = self.map();
        for slot in self.answering.slots() {
            let Some(place) = map.owner(slot) else { continue };
            if let Ok(told) = self.ask_slots(place, TOLD_WITHIN).await {
                self.answering.heard(slot);
                self.take(told);
                return;
            }
        }
        let any = map.primaries().iter().cloned().chain(self.seeds()).collect();
        if let Err(error) = self.learn_of_any(any, self.timeouts.connect).await {
            tracing::debug!(%error, "no node of the Redis cluster tells who has which slots");
        }
    }

    /// Learns it of the first that tells.
    async fn learn_of_any(&self, places: Vec<Place>, within: Duration) -> Result<(), RedisError> {
        let mut asking: FuturesUnordered<_> = places.iter().map(|place| self.ask_slots(place, within)).collect();
        let mut last = unserved();
        while let Some(told) = asking.next().await {
            match told {
                Ok(told) => {
                    self.take(told);
                    return Ok(());
                }
                // What a node says tells more than that another is not heard.
                Err(error) if last.kind() == ErrorKind::ClusterConnectionNotFound || !error.is_io_error() => {
                    last = error;
                }
                Err(_) => {}
            }
        }
        Err(last)
    }

    /// Who has which slots, and how the node told it.
    async fn ask_slots(&self, place: &Place, within: Duration) -> Result<(SlotMap, Value), RedisError> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let node = self.node(place)?;
        let asked = node.run(async |connection| slots.query_async(connection).await);
        let told = tokio::time::timeout(within, asked).await.map_err(|_| timed_out())??;
        let odd = || RedisError::from((ErrorKind::UnexpectedReturnType, "CLUSTER SLOTS tells no slots"));
        Ok((SlotMap::read(&told, place).ok_or_else(odd)?, told))
    }

    /// Takes in what a node has told. Connections to nodes that have no slots any more are left.
    fn take(&self, (map, told): (SlotMap, Value)) {
        self.answering.learn(&told);
        let map = Arc::new(map);
        *self.map.lock() = Arc::clone(&map);
        self.nodes.lock().retain(|place, _| map.primaries().contains(place) || self.seeds().any(|seed| seed == *place));
    }

    /// The nodes, of which one was heard last first.
    fn answering_first(&self) -> Vec<Place> {
        let map = self.map();
        let mut places: Vec<Place> =
            self.answering.slots().into_iter().filter_map(|slot| map.owner(slot)).cloned().collect();
        for place in map.primaries().iter().cloned().chain(self.seeds()) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.lock())
    }

    fn seeds(&self) -> impl Iterator<Item = Place> {
        self.seeds.iter().filter_map(|seed| Place::of(seed.addr()))
    }

    /// The connection to a node, with the user and the encryption that were given.
    fn node(&self, place: &Place) -> Result<Arc<Node>, CallError> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(place) {
            return Ok(Arc::clone(node));
        }
        let seed = self.seeds.first().ok_or_else(|| CallError::NotSent(unserved()))?;
        let server = seed.clone().set_addr(place.address(seed.addr()));
        let client = self.trusted.client(server).map_err(CallError::NotSent)?;
        let node = Arc::new(Node::new(Arc::new(Source::Single(Box::new(client))), self.timeouts));
        nodes.insert(place.clone(), Arc::clone(&node));
        Ok(node)
    }
}

/// The same for a node that the slot is on the way to, which else refuses them.
fn asking(commands: &Pipeline) -> Pipeline {
    let mut asking = Pipeline::with_capacity(commands.cmd_iter().count().saturating_add(1));
    asking.add_command(redis::cmd("ASKING"));
    for command in commands.cmd_iter() {
        asking.add_command(command.clone());
    }
    asking
}

fn unserved() -> RedisError {
    (ErrorKind::ClusterConnectionNotFound, "no node of the cluster is known to serve the key's slot").into()
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
