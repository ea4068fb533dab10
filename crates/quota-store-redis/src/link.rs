//! The connections of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::cluster_routing::Slot;
use redis::{Arg, Cmd, Pipeline, RedisError, Value};

use crate::call_error::CallError;
use crate::cluster::{Asked, Asker, Cluster, Message};
use crate::keys::KeyPrefix;
use crate::listener::Listener;
use crate::node::{Node, Source, Timeouts};
use crate::target::Servers;
use crate::trust::Trusted;

/// The connections of a store.
pub(crate) struct Link {
    /// Commits go through these in turn; the last is for reading usage back, whose long answers delay no commit.
    wires: Vec<Wire>,
    next: AtomicUsize,
    pub(crate) listener: Listener,
}

/// A way to the servers that many commands share.
#[derive(Clone)]
pub(crate) enum Wire {
    Node(Arc<Node>),
    Cluster(Arc<Cluster>, Asker),
}

impl Link {
    /// Prepares connections; those of a cluster are made at once.
    pub(crate) async fn open(
        servers: &Servers,
        trusted: &Trusted,
        count: usize,
        timeouts: Timeouts,
        prefix: &KeyPrefix,
    ) -> Result<Self, RedisError> {
        let source = match servers {
            Servers::Single(server) => Source::Single(Box::new(trusted.client((**server).clone())?)),
            Servers::Sentinel { sentinels, master, server } => {
                let (trusted, sentinels) = (trusted.clone(), sentinels.clone());
                let (master, server) = (master.clone(), server.clone());
                let asking = move || trusted.sentinels(&sentinels, &master, &server);
                // What is wrong with it is told now.
                drop(asking()?);
                Source::Sentinel(Box::new(asking))
            }
            Servers::Cluster(nodes) => {
                // What is said at one node is heard at all.
                let any = nodes.iter().map(|node| trusted.client(node.clone())).collect::<Result<_, _>>()?;
                let listener = Listener::new(Arc::new(Source::Any(any)), timeouts, prefix);
                let cluster = Arc::new(Cluster::open(nodes, trusted.clone(), timeouts).await?);
                let wires = vec![Wire::Cluster(Arc::clone(&cluster), Asker::Many), Wire::Cluster(cluster, Asker::One)];
                return Ok(Self { wires, next: AtomicUsize::new(0), listener });
            }
        };
        let source = Arc::new(source);
        // One more, to read usage back.
        let wires =
            (0..=count.max(1)).map(|_| Wire::Node(Arc::new(Node::new(Arc::clone(&source), timeouts)))).collect();
        let listener = Listener::new(source, timeouts, prefix);
        Ok(Self { wires, next: AtomicUsize::new(0), listener })
    }

    /// For a batch; `waits_alone` where it is of one client, whose server is known to be silent: nobody else waits for it.
    pub(crate) fn for_batch(&self, waits_alone: bool) -> &Wire {
        if waits_alone {
            return self.for_reading();
        }
        let count = self.wires.len().saturating_sub(1).max(1);
        let place = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(count).unwrap_or_default();
        self.at(place)
    }

    /// For what is short, and not asked in a batch.
    pub(crate) fn beside_batches(&self) -> &Wire {
        let wire = self.for_batch(false);
        if wire.is_cluster() { self.for_reading() } else { wire }
    }

    /// For long answers that a batch on `wire` waits for.
    pub(crate) fn for_reading_in_batch<'a>(&'a self, wire: &'a Wire) -> &'a Wire {
        if wire.is_cluster() { wire } else { self.for_reading() }
    }

    /// For reading usage back.
    pub(crate) fn for_reading(&self) -> &Wire {
        self.at(self.wires.len().saturating_sub(1))
    }

    /// Whether the server that a key stands on is known to be silent while another is not.
    pub(crate) fn is_silent(&self, key: impl FnOnce() -> String) -> bool {
        self.for_reading().is_silent(key)
    }

    #[expect(clippy::indexing_slicing, reason = "there is at least one, and places are counted by how many there are")]
    fn at(&self, place: usize) -> &Wire {
        &self.wires[place]
    }
}

impl Wire {
    pub(crate) async fn call(&self, command: &Cmd) -> Result<Value, CallError> {
        match self {
            Self::Node(node) => node.run(async |connection| command.query_async(connection).await).await,
            Self::Cluster(..) => self.send_one(command.clone()).await,
        }
    }

    /// Several commands, not in one step; on one server in one message.
    pub(crate) async fn call_all(&self, commands: &[Cmd]) -> Result<Vec<Value>, CallError> {
        self.call_each(commands.to_vec()).await.into_iter().collect()
    }

    /// Several commands that have nothing to do with each other, on one server in one message; each has its own answer.
    pub(crate) async fn call_each(&self, commands: Vec<Cmd>) -> Vec<Result<Value, CallError>> {
        match (self, commands.as_slice()) {
            (_, []) => Vec::new(),
            (Self::Node(_), [one]) => vec![self.call(one).await],
            (Self::Node(_), _) => {
                let count = commands.len();
                self.send(&pipeline(commands), 0, count).await
            }
            (Self::Cluster(..), _) => join_all(commands.into_iter().map(|command| self.send_one(command))).await,
        }
    }

    async fn send_one(&self, command: Cmd) -> Result<Value, CallError> {
        let answer = self.send(&pipeline(vec![command]), 0, 1).await.pop();
        answer.unwrap_or_else(|| Err(CallError::unanswered()))
    }

    /// Several commands that read, on one server in one message with one that asks whether it is a replica by now, which says what was and
    /// not what is, and would do so for as long as the connection lasts. (In a cluster it sends to the primary.)
    pub(crate) async fn read_all(&self, commands: Vec<Cmd>, own: &str) -> Result<Vec<Value>, CallError> {
        let Self::Node(_) = self else { return self.call_all(&commands).await };
        let asked = [vec![writes_nothing(own)], commands].concat();
        let mut answers = self.call_each(asked).await.into_iter();
        not_of_a_replica(answers.next())?;
        answers.collect()
    }

    /// The same in one step; a cluster's commands are on one hash slot.
    pub(crate) async fn read_at_once(&self, commands: &[Cmd], own: &str) -> Result<Vec<Value>, CallError> {
        let Self::Node(_) = self else { return self.transaction(commands).await };
        let mut asked = vec![writes_nothing(own), redis::cmd("MULTI")];
        asked.extend_from_slice(commands);
        asked.push(redis::cmd("EXEC"));
        let mut answers = self.call_each(asked).await.into_iter();
        not_of_a_replica(answers.next())?;
        all_of(answers.next_back())
    }

    /// Several commands on one hash slot, in one step.
    async fn transaction(&self, commands: &[Cmd]) -> Result<Vec<Value>, CallError> {
        let commands = [&[redis::cmd("MULTI")], commands, &[redis::cmd("EXEC")]].concat();
        let count = commands.len();
        // `MULTI` and every command are answered before `EXEC`, whose answer has all of theirs.
        all_of(self.send(&pipeline(commands), 0, count).await.pop())
    }

    /// A command that writes, and how many replicas had it when so many did or the time was over.
    pub(crate) async fn call_and_wait(
        &self,
        command: &Cmd,
        wait: (usize, Duration),
    ) -> Result<(Value, i64), CallError> {
        let mut waiting = redis::cmd("WAIT");
        waiting.arg(wait.0).arg(u64::try_from(wait.1.as_millis()).unwrap_or(u64::MAX).max(1));
        // On one connection: it waits for what this connection has written.
        let mut answers = self.send(&pipeline(vec![command.clone(), waiting]), 0, 2).await.into_iter();
        let value = answers.next().unwrap_or_else(|| Err(CallError::unanswered()))?;
        // Where that fails, the command is done all the same, and nobody knows who has it.
        let replicas = if let Some(Ok(Value::Int(replicas))) = answers.next() { replicas } else { 0 };
        Ok((value, replicas))
    }

    /// A command to every primary; the answers in any order.
    pub(crate) async fn call_every_primary(&self, command: &Cmd) -> Result<Vec<Value>, CallError> {
        match self {
            Self::Node(_) => Ok(vec![self.call(command).await?]),
            Self::Cluster(cluster, _) => cluster.send_to_every_primary(command).await.into_iter().collect(),
        }
    }

    /// Sends commands in one message; gives the answers behind the first `skipped`.
    async fn send(&self, pipeline: &Pipeline, skipped: usize, count: usize) -> Vec<Result<Value, CallError>> {
        match self {
            Self::Node(node) => node.run_each(pipeline, skipped, count).await,
            Self::Cluster(cluster, by) => {
                let asked = Asked { slot: pipeline.cmd_iter().find_map(slot_of), by: *by };
                cluster.send(asked, Message { commands: pipeline, skipped, count }).await
            }
        }
    }

    /// A command whose answer can be done without: nobody waits long for it. In a cluster it goes on all the same, and is not begun
    /// where its primary is known to be silent.
    pub(crate) async fn call_briefly(&self, command: Cmd) -> Option<Result<Value, CallError>> {
        let Self::Cluster(cluster, _) = self else {
            return tokio::time::timeout(BRIEFLY, self.call(&command)).await.ok();
        };
        if slot_of(&command).is_some_and(|slot| cluster.is_silent(|| slot)) {
            return None;
        }
        let wire = self.clone();
        briefly(async move { wire.call(&command).await }).await
    }

    /// Whether the primary of a key is known to be silent while another is not.
    pub(crate) fn is_silent(&self, key: impl FnOnce() -> String) -> bool {
        match self {
            Self::Node(_) => false,
            Self::Cluster(cluster, _) => cluster.is_silent(|| Slot::for_key(key())),
        }
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(..))
    }
}

/// How long what can wait for another time may delay an answer.
const BRIEFLY: Duration = Duration::from_millis(100);

/// What comes of work that goes on all the same where it takes longer than what is brief.
pub(crate) async fn briefly<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    tokio::time::timeout(BRIEFLY, tokio::spawn(work)).await.ok()?.ok()
}

/// The slot of a command's keys; none where it has none.
fn slot_of(command: &Cmd) -> Option<Slot> {
    let mut words = command.args_iter().filter_map(|word| if let Arg::Simple(word) = word { Some(word) } else { None });
    let key = match words.next()? {
        b"EVAL" | b"EVALSHA" => words.nth(2),
        b"CLUSTER" | b"EXEC" | b"INFO" | b"MULTI" | b"PING" | b"TIME" | b"WAIT" => None,
        _ => words.next(),
    };
    key.map(Slot::for_key)
}

/// A write to a key of one's own, without effect: a primary may refuse it as well.
fn writes_nothing(own: &str) -> Cmd {
    let mut write = redis::cmd("LREM");
    write.arg(own).arg(1).arg("");
    write
}

fn not_of_a_replica(answer: Option<Result<Value, CallError>>) -> Result<(), CallError> {
    match answer {
        Some(Err(error)) if error.ends_connection() => Err(error),
        Some(_) => Ok(()),
        None => Err(CallError::unanswered()),
    }
}

/// What `EXEC` answered.
fn all_of(executed: Option<Result<Value, CallError>>) -> Result<Vec<Value>, CallError> {
    match executed.unwrap_or_else(|| Err(CallError::unanswered()))? {
        Value::Array(values) => Ok(values),
        _ => Err(CallError::unanswered()),
    }
}

fn pipeline(commands: Vec<Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Cmd {
        let mut words = text.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>());
        command
    }

    #[test]
    fn a_commands_slot_is_that_of_its_first_key() {
        let slot = Slot::for_key("a");
        for text in ["GET q:{a}:a", "ZADD q:{a} NX 0 b", "EVALSHA digest 2 q:{a}:a q:{a}:s:1 b", "EVAL text 1 {a}"] {
            assert_eq!(slot_of(&command(text)), Some(slot), "{text}");
        }
        for text in ["CLUSTER SLOTS", "INFO server", "TIME", "PING", "WAIT 1 100"] {
            assert_eq!(slot_of(&command(text)), None, "{text}");
        }
    }
}
