//! One lane: what waits, and what is in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quota_core::{ClientId, Operation};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::flight::{Sent, fly};
use crate::instruments::Instruments;
use crate::lanes::{Message, SENT, WITHDRAWN, Ways};
use crate::plan_set::PlanSet;
use crate::store::UsageStore;

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
    size: usize,
    set: Vec<PlanSet>,
}

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
                    self.land(landed).await;
                }
                continue;
            }
            tokio::select! {
                Some(landed) = self.flights.next() => self.land(landed).await,
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
        if message.client().is_none() {
            return self.receiver.close();
        }
        self.queue_of(message.client()).messages.push_back(message);
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
        let hot = self.hot_clients(&batch);
        if !hot.is_empty() {
            batch = self.take_out(hot, batch);
        }
        if !batch.is_empty() {
            self.send(batch, None);
        } else if self.common.messages.is_empty() {
            self.common.just_set.clear();
        }
    }

    /// Sends the requests of these clients in batches of their own, and lets what waits behind them wait for those; the rest of the
    /// batch.
    fn take_out(&mut self, clients: Vec<ClientId>, batch: Vec<Sent>) -> Vec<Sent> {
        self.apart.extend(clients.iter().map(|client| (client.clone(), Queue::default())));
        for message in std::mem::take(&mut self.common.messages) {
            self.queue_of(message.client()).messages.push_back(message);
        }
        for set in std::mem::take(&mut self.common.just_set) {
            self.queue_of(Some(&set.client)).just_set.push(set);
        }
        let mut own: HashMap<ClientId, Vec<Sent>> = clients.into_iter().map(|client| (client, Vec::new())).collect();
        let mut rest = Vec::with_capacity(batch.len());
        for sent in batch {
            own.get_mut(&sent.0.client).unwrap_or(&mut rest).push(sent);
        }
        for (client, batch) in own {
            self.send(batch, Some(client));
        }
        rest
    }

    /// Where a client's requests wait.
    fn queue_of(&mut self, client: Option<&ClientId>) -> &mut Queue {
        client.and_then(|client| self.apart.get_mut(client)).unwrap_or(&mut self.common)
    }

    fn depart_apart(&mut self, client: ClientId) {
        let Some(queue) = self.apart.get_mut(&client) else { return };
        let mut batch = Vec::new();
        while batch.is_empty() && !queue.messages.is_empty() {
            batch = wanted(&mut queue.messages, self.ways.max_batch.get(), &self.counts);
        }
        if batch.is_empty() {
            let left = self.apart.remove(&client).unwrap_or_default();
            self.common.just_set.extend(left.just_set);
            return;
        }
        self.send(batch, Some(client));
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
            if counts.len() > 1 || self.is_before_others(batch) {
                found.extend(counts.into_iter().filter(|(_, count)| *count >= hot.get()).map(|(client, _)| client));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().cloned().collect()
    }

    /// Whether somebody else's request waits behind a batch, which is one client's.
    fn is_before_others(&self, batch: &[Sent]) -> bool {
        let client = batch.first().map(|(request, _)| &request.client);
        self.common.messages.iter().filter_map(Message::client).any(|other| Some(other) != client)
    }

    /// Sends a client's own batch, or one of the common queue.
    fn send(&mut self, batch: Vec<Sent>, client: Option<ClientId>) {
        let queue = self.queue_of(client.as_ref());
        let just_set = std::mem::take(&mut queue.just_set);
        queue.in_flight = true;
        let (store, instruments, size) = (Arc::clone(&self.store), self.instruments.clone(), batch.len());
        self.flights.push(
            async move {
                let set = fly(&*store, batch, &just_set, &instruments).await;
                Landed { client, size, set }
            }
            .boxed(),
        );
    }

    /// Takes in a batch that came back. Where fewer wait for the next, those who were answered may ask again first: then that is of
    /// all of them, and not of the quickest.
    async fn land(&mut self, landed: Landed) {
        self.take_in();
        let queue = self.queue_of(landed.client.as_ref());
        queue.in_flight = false;
        queue.just_set.extend(landed.set);
        let (waiting, answered) = (queue.messages.len(), landed.size);
        // One who was answered asks with nobody; and where a hot client's callers are waited for, nobody else is.
        let is_alone = landed.client.is_none() || (self.common.messages.is_empty() && self.flights.is_empty());
        if answered > 1 && waiting < answered && is_alone {
            behind_others().await;
        }
    }
}

/// Lets the tasks that were woken before run first. Unlike tokio's own way it stands in the queue of tasks meanwhile, from which
/// an idle thread may take it.
async fn behind_others() {
    let mut has_stood = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_stood, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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
