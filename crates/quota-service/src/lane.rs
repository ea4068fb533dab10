//! One lane: what waits, and what is in flight.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use quota_core::ClientId;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::flight::{abandon, fly};
use crate::inbox::Inbox;
use crate::instruments::Instruments;
use crate::lanes::Ways;
use crate::plan_set::PlanSet;
use crate::queue::{Departing, InFlight, Message, Queue, Taken, end_late};
use crate::store::UsageStore;

/// One batch in flight at a time; what arrives meanwhile is the next. A client that is hot is taken out, and has one
/// batch of its own in flight at a time, until nothing of it waits any more.
pub(crate) struct Lane<S> {
    store: Arc<S>,
    inbox: Arc<Inbox>,
    ways: Ways,
    /// Of all lanes, those that are wanted.
    queued: Arc<AtomicUsize>,
    instruments: Instruments,
    common: Queue,
    /// Of clients that have a batch of their own in flight.
    apart: HashMap<ClientId, Queue>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    in_flight: Vec<InFlight>,
    /// The first deadline of those who wait for this lane, or an earlier one.
    alarm: Alarm,
    /// What was in the inbox; empty but while it is sorted.
    arrived: Vec<Message>,
    /// Nothing more will arrive but releases.
    ended: bool,
}

/// A batch that came back.
struct Landed {
    /// Whose own batch it was; none for the common one.
    client: Option<ClientId>,
    flight: InFlight,
    size: usize,
    set: Vec<PlanSet>,
}

impl<S: UsageStore> Lane<S> {
    pub(crate) fn new(
        store: Arc<S>,
        inbox: Arc<Inbox>,
        ways: Ways,
        queued: Arc<AtomicUsize>,
        instruments: Instruments,
    ) -> Self {
        Self {
            store,
            inbox,
            ways,
            queued,
            instruments,
            common: Queue::default(),
            apart: HashMap::new(),
            flights: FuturesUnordered::new(),
            in_flight: Vec::new(),
            alarm: Alarm::default(),
            arrived: Vec::new(),
            ended: false,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.take_in();
            self.depart();
            if self.ended && self.flights.is_empty() {
                if self.inbox.end() {
                    return;
                }
                continue;
            }
            // While a batch is in flight, what arrives gathers; but for the first of those who wait the alarm is set.
            let gathers = self.ended || (self.common.in_flight && self.alarm.is_set());
            tokio::select! {
                biased;
                () = self.alarm.rings() => self.end_late(),
                Some(landed) = self.flights.next() => self.land(landed).await,
                () = self.inbox.filled(), if !gathers => {}
            }
        }
    }

    /// Takes in what has arrived.
    fn take_in(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.ended = !self.inbox.take(&mut arrived);
        if let Some(waiter) = arrived.iter().find_map(|message| message.waiting.as_ref()) {
            // Those behind it have later ones, or look at theirs themselves.
            self.alarm.set_before(waiter.replying.deadline());
        }
        if self.apart.is_empty() {
            self.common.messages.extend(arrived.drain(..));
        }
        for message in arrived.drain(..) {
            self.queue_of(Some(&message.request.client)).messages.push_back(message);
        }
        self.arrived = arrived;
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
        let mut taken = Taken::default();
        let mut batch = self.common.take(self.ways.max_batch.get(), &mut taken);
        self.count_down(taken);
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

    fn count_down(&self, Taken { all, wanted }: Taken) {
        self.queued.fetch_sub(wanted, Ordering::AcqRel);
        self.inbox.sent(all);
    }

    /// Sends the requests of these clients in batches of their own, and lets what waits behind them wait for those; the rest of the
    /// batch.
    fn take_out(&mut self, clients: Vec<ClientId>, batch: Departing) -> Departing {
        self.apart.extend(clients.iter().map(|client| (client.clone(), Queue::default())));
        for message in std::mem::take(&mut self.common.messages) {
            self.queue_of(Some(&message.request.client)).messages.push_back(message);
        }
        for set in std::mem::take(&mut self.common.just_set) {
            self.queue_of(Some(&set.client)).just_set.push(set);
        }
        let mut own: HashMap<ClientId, Departing> =
            clients.into_iter().map(|client| (client, Departing::default())).collect();
        let mut rest = Departing::with_room_for(batch.len());
        for (request, waiting) in batch {
            own.get_mut(&request.client).unwrap_or(&mut rest).push(request, waiting);
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
        let mut taken = Taken::default();
        let batch = queue.take(self.ways.max_batch.get(), &mut taken);
        self.count_down(taken);
        if batch.is_empty() {
            let left = self.apart.remove(&client).unwrap_or_default();
            self.common.just_set.extend(left.just_set);
            return;
        }
        self.send(batch, Some(client));
    }

    /// Clients with so many requests beside those of others that these would wait for theirs, and those whose accounts the store
    /// has waited for.
    fn hot_clients(&self, batch: &Departing) -> Vec<ClientId> {
        let Some(hot) = self.ways.hot else { return Vec::new() };
        // A store that panics here is asked again by the next batch.
        let is_held =
            |client: &&ClientId| catch_unwind(AssertUnwindSafe(|| self.store.is_held(client))).unwrap_or(false);
        let mut found: Vec<&ClientId> = batch.clients().filter(is_held).collect();
        if batch.len() > hot.get() {
            let mut counts: HashMap<&ClientId, usize> = HashMap::new();
            for client in batch.clients() {
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
    fn is_before_others(&self, batch: &Departing) -> bool {
        let client = batch.clients().next();
        self.common.messages.iter().any(|message| Some(&message.request.client) != client)
    }

    /// Sends a client's own batch, or one of the common queue.
    fn send(&mut self, batch: Departing, client: Option<ClientId>) {
        let queue = self.queue_of(client.as_ref());
        let just_set = std::mem::take(&mut queue.just_set);
        queue.in_flight = true;
        let (store, instruments, size) = (Arc::clone(&self.store), self.instruments.clone(), batch.len());
        let Departing { requests, waiting } = batch.with_plans_last();
        // Before its first step, which may come after the alarm.
        let flight = InFlight::new(Mutex::new(waiting));
        self.in_flight.push(Arc::clone(&flight));
        self.flights.push(
            async move {
                let set = fly(&*store, requests, &flight, &just_set, &instruments).await;
                Landed { client, flight, size, set }
            }
            .boxed(),
        );
    }

    /// Takes in a batch that came back. Where fewer wait for the next, those who were answered may ask again first: then that is of
    /// all of them, and not of the quickest.
    async fn land(&mut self, landed: Landed) {
        self.take_in();
        self.in_flight.retain(|flight| !Arc::ptr_eq(flight, &landed.flight));
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

    /// Tells those whose deadlines have passed: what is queued is never sent, what is in flight runs to its end.
    fn end_late(&mut self) {
        let (now, mut taken) = (Instant::now(), Taken::default());
        let queues = std::iter::once(&mut self.common).chain(self.apart.values_mut());
        let queued = queues.filter_map(|queue| queue.end_late(now, &mut taken)).min();
        let sent = self.in_flight.iter().filter_map(|flight| end_late(flight, now)).min();
        self.count_down(taken);
        self.alarm.set(queued.into_iter().chain(sent).min());
    }
}

impl<S> Drop for Lane<S> {
    /// Also where its task is, at the end of its runtime: nothing is taken in that nobody sends.
    fn drop(&mut self) {
        self.inbox.close();
        while !self.inbox.end() {
            let mut arrived = Vec::new();
            self.inbox.take(&mut arrived);
            self.arrived.append(&mut arrived);
        }
        // Others are counted down by their callers.
        let queues = std::iter::once(&self.common).chain(self.apart.values());
        let messages = self.arrived.iter().chain(queues.flat_map(|queue| &queue.messages));
        self.queued.fetch_sub(messages.filter(|message| message.waiting.is_none()).count(), Ordering::AcqRel);
        // What became of these is not known.
        for flight in self.in_flight.drain(..) {
            abandon(std::mem::take(&mut *flight.lock()));
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
