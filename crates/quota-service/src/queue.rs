//! What waits in a lane.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use quota_core::{ClientId, Operation};
use tokio::time::Instant;

use crate::guard::GuardSeed;
use crate::plan_set::PlanSet;
use crate::slip::Replying;
use crate::store::Request;

/// A request and who waits for it.
pub(crate) struct Message {
    pub(crate) request: Request,
    pub(crate) waiting: Waiting,
}

/// Who waits for a request; none for a release, for which nobody does.
pub(crate) type Waiting = Option<Waiter>;

pub(crate) struct Waiter {
    /// What the guard of a hold is made of.
    pub(crate) seed: Option<Box<GuardSeed>>,
    pub(crate) replying: Replying,
}

/// What waits for the batch before it.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) messages: VecDeque<Message>,
    pub(crate) in_flight: bool,
    /// What the batch before has set.
    pub(crate) just_set: Vec<PlanSet>,
}

/// A batch that is to be sent. Each request has its place, and so has who waits for it.
#[derive(Default)]
pub(crate) struct Departing {
    pub(crate) requests: Vec<Request>,
    pub(crate) waiting: Vec<Waiting>,
}

/// Who waits for a batch that is in flight, until they are answered.
pub(crate) type InFlight = Arc<Mutex<Vec<Waiting>>>;

/// How many messages were taken out of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// All.
    pub(crate) all: usize,
    /// Those that were wanted until then.
    pub(crate) wanted: usize,
}

impl Message {
    /// How many entries it brings at most.
    pub(crate) fn entries(&self) -> usize {
        match &self.request.operation {
            Operation::Backfill { entries, .. } => entries.len(),
            _ => 1,
        }
    }
}

impl Waiter {
    /// Where its deadline has passed it is told so; whether its request was queued still.
    fn be_late(&self, now: Instant) -> bool {
        self.replying.deadline() <= now && self.replying.be_late()
    }
}

impl Departing {
    pub(crate) fn with_room_for(requests: usize) -> Self {
        Self { requests: Vec::with_capacity(requests), waiting: Vec::with_capacity(requests) }
    }

    pub(crate) fn push(&mut self, request: Request, waiting: Waiting) {
        self.requests.push(request);
        self.waiting.push(waiting);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.requests.len()
    }

    /// Puts changes of plans behind the rest. All of a batch is concurrent, so any order of it is true; in this one a
    /// client whose plan is set again and again is still charged, by the plan that its requests were made with.
    pub(crate) fn with_plans_last(self) -> Self {
        let is_plan =
            |request: &Request| matches!(request.operation, Operation::SetPlan { .. } | Operation::RemovePlan);
        if !self.requests.iter().any(is_plan) {
            return self;
        }
        let (plans, rest): (Vec<_>, Vec<_>) = self.into_iter().partition(|(request, _)| is_plan(request));
        let (requests, waiting) = rest.into_iter().chain(plans).unzip();
        Self { requests, waiting }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &ClientId> {
        self.requests.iter().map(|request| &request.client)
    }
}

impl IntoIterator for Departing {
    type Item = (Request, Waiting);
    type IntoIter = std::iter::Zip<std::vec::IntoIter<Request>, std::vec::IntoIter<Waiting>>;

    fn into_iter(self) -> Self::IntoIter {
        self.requests.into_iter().zip(self.waiting)
    }
}

impl Queue {
    /// Takes the requests that are still wanted out, in order, at most so many, and not more entries than one backfill may bring.
    pub(crate) fn take(&mut self, most: usize, taken: &mut Taken) -> Departing {
        let mut batch = Departing::with_room_for(self.messages.len().min(most));
        let (now, mut entries) = (Instant::now(), 0_usize);
        while batch.len() < most {
            entries = entries.saturating_add(self.messages.front().map_or(0, Message::entries));
            if entries > Operation::MAX_BACKFILL && !batch.is_empty() {
                break;
            }
            let Some(Message { request, waiting }) = self.messages.pop_front() else { break };
            taken.all = taken.all.saturating_add(1);
            let was_late = waiting.as_ref().is_some_and(|waiter| waiter.be_late(now));
            let departs = waiting.as_ref().is_none_or(|waiter| waiter.replying.depart());
            taken.wanted = taken.wanted.saturating_add(usize::from(was_late || departs));
            if departs {
                batch.push(request, waiting);
            }
        }
        batch
    }

    /// Tells those at its front whose deadlines have passed, and takes them out; the deadline of the first who still waits.
    pub(crate) fn end_late(&mut self, now: Instant, taken: &mut Taken) -> Option<Instant> {
        let mut releases = Vec::new();
        let next = loop {
            let Some(Message { waiting, .. }) = self.messages.front() else { break None };
            let keeps = match waiting {
                None => true,
                Some(waiter) => {
                    taken.wanted = taken.wanted.saturating_add(usize::from(waiter.be_late(now)));
                    if waiter.replying.is_open() {
                        break Some(waiter.replying.deadline());
                    }
                    taken.all = taken.all.saturating_add(1);
                    false
                }
            };
            releases.extend(self.messages.pop_front().filter(|_| keeps));
        };
        releases.into_iter().rev().for_each(|release| self.messages.push_front(release));
        next
    }
}

/// Tells those of a flight whose deadlines have passed; the deadline of the first who still waits.
pub(crate) fn end_late(flight: &InFlight, now: Instant) -> Option<Instant> {
    let flight = flight.lock();
    let waiters = flight.iter().flatten();
    waiters
        .filter(|waiter| !waiter.be_late(now) && waiter.replying.is_open())
        .map(|waiter| waiter.replying.deadline())
        .min()
}
