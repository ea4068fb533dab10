//! One lane: what waits, and what is in flight.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quota_core::{Answer, ClientId, Decision, Operation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::{ServiceError, cause};
use crate::guard::GuardSeed;
use crate::instruments::Instruments;
use crate::lanes::{Message, Reply, SENT, WITHDRAWN, Ways};
use crate::plan_set::{PlanSet, bring_up_to_date, plans_last, plans_of};
use crate::store::{Request, UsageStore};
use crate::store_error::StoreError;

/// One batch in flight at a time; what arrives meanwhile is the next. A client that is hot is taken out, and has one
/// batch of its own in flight at a time, until nothing of it waits any more.
pub(crate) struct Lane<S> {
    store: Arc<S>,
    receiver: mpsc::UnboundedReceiver<Message>,
    ways: Ways,
    counts: Counts,
    instruments: Instruments,
    common: Queue,
    /// Of clients that have a batch of their own in flight.
    apart: HashMap<ClientId, Queue>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// Nothing more will arrive.
    ended: bool,
}

/// What is counted of messages until they are taken out of their queue.
pub(crate) struct Counts {
    /// Of all lanes, those that are wanted: who withdraws one counts it down.
    pub(crate) queued: Arc<AtomicUsize>,
    /// Of this lane, all.
    pub(crate) waiting: Arc<AtomicUsize>,
}

/// What waits for the batch before it.
#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    in_flight: bool,
    /// What the batch before has set.
    just_set: Vec<PlanSet>,
}

/// A batch that came back.
struct Landed {
    /// Whose own batch it was; none for the common one.
    client: Option<ClientId>,
    set: Vec<PlanSet>,
}

/// A request that is sent, and who waits for its answer.
type Sent = (Request, Waiting);

/// Who waits for a request of a batch.
type Waiting = Option<(Option<GuardSeed>, Replying)>;

type Replying = oneshot::Sender<Result<Reply, ServiceError>>;

impl<S: UsageStore> Lane<S> {
    pub(crate) fn new(
        store: Arc<S>,
        receiver: mpsc::UnboundedReceiver<Message>,
        ways: Ways,
        counts: Counts,
        instruments: Instruments,
    ) -> Self {
        let (common, apart, flights) = (Queue::default(), HashMap::new(), FuturesUnordered::new());
        Self { store, receiver, ways, counts, instruments, common, apart, flights, ended: false }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.take_in();
            self.depart();
            if self.common.in_flight {
                // What arrives meanwhile gathers.
                if let Some(landed) = self.flights.next().await {
                    self.land(landed);
                }
                continue;
            }
            tokio::select! {
                Some(landed) = self.flights.next() => self.land(landed),
                message = self.receiver.recv(), if !self.ended => self.sort(message),
                else => return,
            }
        }
    }

    /// Takes in what has arrived.
    fn take_in(&mut self) {
        while !self.ended {
            match self.receiver.try_recv() {
                Ok(message) => self.sort(Some(message)),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => self.ended = true,
            }
        }
    }

    fn sort(&mut self, message: Option<Message>) {
        let Some(message) = message else {
            self.ended = true;
            return;
        };
        let Some(client) = message.client() else { return self.receiver.close() };
        self.apart.get_mut(client).unwrap_or(&mut self.common).messages.push_back(message);
    }

    /// Sends what can be sent.
    fn depart(&mut self) {
        while !self.common.in_flight {
            self.depart_common();
            // Of a batch all may have been taken out: what stands behind it waits for none of that.
            if self.common.messages.is_empty() {
                break;
            }
        }
        let idle: Vec<ClientId> =
            self.apart.iter().filter(|(_, queue)| !queue.in_flight).map(|(client, _)| client.clone()).collect();
        for client in idle {
            self.depart_apart(client);
        }
    }

    fn depart_common(&mut self) {
        let mut batch = Vec::new();
        while batch.is_empty() && !self.common.messages.is_empty() {
            batch = wanted(&mut self.common.messages, self.ways.max_batch.get(), &self.counts);
        }
        for client in self.hot_clients(&batch) {
            let (own, rest) = batch.into_iter().partition(|(request, _)| request.client == client);
            batch = rest;
            // What waits behind them must not overtake them.
            let common = std::mem::take(&mut self.common.messages);
            let is_own = |message: &Message| message.client() == Some(&client);
            let (waiting, others) = common.into_iter().partition(is_own);
            self.common.messages = others;
            let queue = Queue { messages: waiting, in_flight: true, just_set: Vec::new() };
            let (just_set, others) =
                std::mem::take(&mut self.common.just_set).into_iter().partition(|set| set.client == client);
            self.common.just_set = others;
            self.send(own, just_set, Some(client.clone()));
            self.apart.insert(client, queue);
        }
        if !batch.is_empty() {
            self.common.in_flight = true;
            let just_set = std::mem::take(&mut self.common.just_set);
            self.send(batch, just_set, None);
        } else if self.common.messages.is_empty() {
            self.common.just_set.clear();
        }
    }

    fn depart_apart(&mut self, client: ClientId) {
        let Some(queue) = self.apart.get_mut(&client) else { return };
        let just_set = std::mem::take(&mut queue.just_set);
        let mut batch = Vec::new();
        while batch.is_empty() && !queue.messages.is_empty() {
            batch = wanted(&mut queue.messages, self.ways.max_batch.get(), &self.counts);
        }
        if batch.is_empty() {
            self.apart.remove(&client);
            self.common.just_set.extend(just_set);
            return;
        }
        queue.in_flight = true;
        self.send(batch, just_set, Some(client));
    }

    /// Clients with so many requests beside those of others that these would wait for theirs, and those whose accounts the store
    /// has waited for.
    fn hot_clients(&self, batch: &[Sent]) -> Vec<ClientId> {
        let Some(hot) = self.ways.hot else { return Vec::new() };
        let clients = || batch.iter().map(|(request, _)| &request.client);
        let mut found: Vec<&ClientId> = clients().filter(|client| self.store.is_held(client)).collect();
        if batch.len() > hot.get() {
            let mut counts: HashMap<&ClientId, usize> = HashMap::new();
            for client in clients() {
                let count = counts.entry(client).or_default();
                *count = count.saturating_add(1);
            }
            if counts.len() > 1 {
                found.extend(counts.into_iter().filter(|(_, count)| *count >= hot.get()).map(|(client, _)| client));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().cloned().collect()
    }

    fn send(&self, batch: Vec<Sent>, just_set: Vec<PlanSet>, client: Option<ClientId>) {
        let (store, instruments) = (Arc::clone(&self.store), self.instruments.clone());
        self.flights.push(
            async move {
                let set = fly(&*store, batch, &just_set, &instruments).await;
                Landed { client, set }
            }
            .boxed(),
        );
    }

    fn land(&mut self, landed: Landed) {
        let queue = landed.client.as_ref().and_then(|client| self.apart.get_mut(client)).unwrap_or(&mut self.common);
        queue.in_flight = false;
        queue.just_set.extend(landed.set);
    }
}

/// Has a batch applied, delivers its answers and gives the plans that it set.
async fn fly<S: UsageStore>(
    store: &S,
    batch: Vec<Sent>,
    just_set: &[PlanSet],
    instruments: &Instruments,
) -> Vec<PlanSet> {
    let (batch, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let (mut batch, waiting) = plans_last(batch, waiting);
    bring_up_to_date(&mut batch, just_set);
    let setting = plans_of(&batch);
    let begun = Instant::now();
    let size = batch.len();
    let applied = AssertUnwindSafe(async { store.apply(batch).await }).catch_unwind().await;
    instruments.batch(size, begun.elapsed());
    match applied {
        Ok(answers) => {
            let set = setting.into_iter().filter(|set| matches!(answers.get(set.place), Some(Ok(_)))).collect();
            deliver(waiting, answers);
            set
        }
        // Dropping the senders tells the callers that it is not known.
        Err(_) => {
            tracing::error!("the store panicked: what became of its batch is not known");
            for (seed, reply) in waiting.into_iter().flatten() {
                if let Some(seed) = seed {
                    release_unknown(seed, &reply);
                }
            }
            Vec::new()
        }
    }
}

/// Takes the requests that are still wanted out of a queue, in order, at most so many, and not more entries than one
/// backfill may bring.
fn wanted(messages: &mut VecDeque<Message>, most: usize, counts: &Counts) -> Vec<Sent> {
    let mut batch = Vec::with_capacity(messages.len().min(most));
    let now = Instant::now();
    let mut entries: usize = 0;
    while batch.len() < most {
        entries = entries.saturating_add(messages.front().map_or(0, Message::entries));
        if entries > Operation::MAX_BACKFILL && !batch.is_empty() {
            break;
        }
        let Some(message) = messages.pop_front() else { break };
        counts.waiting.fetch_sub(1, Ordering::AcqRel);
        let is_wanted = match message {
            Message::Stop => false,
            Message::Release(request) => {
                batch.push((request, None));
                true
            }
            Message::Job(job) if job.deadline <= now => {
                let is_withdrawn = job.ticket.claim(WITHDRAWN);
                if is_withdrawn {
                    let _ = job.reply.send(Err(ServiceError::DeadlineQueued));
                }
                is_withdrawn
            }
            Message::Job(job) => {
                let is_sent = job.ticket.claim(SENT);
                if is_sent {
                    batch.push((job.request, Some((job.seed, job.reply))));
                }
                is_sent
            }
        };
        if is_wanted {
            counts.queued.fetch_sub(1, Ordering::AcqRel);
        }
    }
    batch
}

fn deliver(waiting: Vec<Waiting>, answers: Vec<Result<Answer, StoreError>>) {
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        let Some((seed, reply)) = waiting else {
            log_release(&answer);
            continue;
        };
        let guard = seed.and_then(|seed| match &answer {
            // Nobody's but its caller's; a replay's may be another process's, if its caller is gone.
            Ok(Answer::Decision(decision @ Decision::Allowed(allowed))) if allowed.replayed() => {
                Some(seed.guard(decision.clone()).others())
            }
            Ok(Answer::Decision(decision @ Decision::Allowed(_))) => Some(seed.guard(decision.clone())),
            Err(StoreError::Unknown { .. }) => {
                release_unknown(seed, &reply);
                None
            }
            _ => None,
        });
        // A caller who is gone drops the reply, and with it the guard.
        let _ = reply.send(Ok(Reply { answer, guard }));
    }
}

/// Releases a hold of which nobody knows whether it was made; but whoever has given up may have asked another process for the same,
/// by the id that it gave, and been told that it holds.
fn release_unknown(seed: GuardSeed, reply: &Replying) {
    if !(seed.is_given && reply.is_closed()) {
        Arc::clone(&seed.ender).lost(seed);
    }
}

/// A hold that is gone already was settled, released or has expired; another failure leaves it to its ttl.
pub(crate) fn log_release(answer: &Result<Answer, StoreError>) {
    match answer {
        Ok(_) | Err(StoreError::Refused(_)) => {}
        Err(error) => {
            tracing::warn!(error = cause(error), "a hold was not released and is left to its ttl");
        }
    }
}
