//! Queues of operations on their way to the store.

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use quota_core::{Answer, ClientId, Decision, Operation, Plan, PlanCheck, PlanVersion};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{ServiceError, cause};
use crate::guard::{GuardSeed, HoldGuard};
use crate::instruments::Instruments;
use crate::store::{Request, UsageStore};
use crate::store_error::StoreError;

/// What came of a request.
pub(crate) struct Reply {
    pub(crate) answer: Result<Answer, StoreError>,
    /// Made by the lane for a hold that was allowed: delivered to nobody, it drops, and that releases the hold.
    pub(crate) guard: Option<HoldGuard>,
}

/// All lanes of a service. Requests of one client always go through the same one.
pub(crate) struct Lanes {
    lanes: Vec<mpsc::UnboundedSender<Message>>,
    hasher: std::hash::RandomState,
    queued: Arc<AtomicUsize>,
    capacity: usize,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

enum Message {
    Job(Job),
    /// Nobody waits for it.
    Release(Request),
    Stop,
}

struct Job {
    request: Request,
    seed: Option<GuardSeed>,
    deadline: Instant,
    ticket: Arc<Ticket>,
    reply: oneshot::Sender<Result<Reply, ServiceError>>,
}

/// Who got hold of a queued job first: the lane that sends it, or the caller who gives up.
#[derive(Debug, Default)]
struct Ticket(AtomicU8);

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    fn claim(&self, by: u8) -> bool {
        self.0.compare_exchange(QUEUED, by, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Withdraws a job that is still queued when its caller goes away.
struct Withdraw(Arc<Ticket>);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.claim(WITHDRAWN);
    }
}

impl Lanes {
    /// Spawns a task for each lane.
    pub(crate) fn spawn<S: UsageStore>(
        store: &Arc<S>,
        count: NonZeroUsize,
        max_batch: NonZeroUsize,
        capacity: usize,
        instruments: &Instruments,
    ) -> Self {
        let queued = Arc::new(AtomicUsize::new(0));
        let (lanes, tasks) = (0..count.get())
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let lane = Lane {
                    store: Arc::clone(store),
                    receiver,
                    max_batch: max_batch.get(),
                    queued: Arc::clone(&queued),
                    instruments: instruments.clone(),
                };
                (sender, tokio::spawn(lane.run()))
            })
            .unzip();
        Self { lanes, hasher: std::hash::RandomState::new(), queued, capacity, tasks: Mutex::new(tasks) }
    }

    /// Queues a request and waits for its answer until the deadline. Dropped or late while it is queued, it is never
    /// sent; once sent it runs to its end.
    pub(crate) async fn submit(
        &self,
        request: Request,
        seed: Option<GuardSeed>,
        deadline: Instant,
    ) -> Result<Reply, ServiceError> {
        if self.queued.fetch_add(1, Ordering::AcqRel) >= self.capacity {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            return Err(ServiceError::Overloaded);
        }
        let id = request.operation.id().cloned();
        let (reply, answered) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let withdraw = Withdraw(Arc::clone(&ticket));
        let lane = self.lane(&request.client);
        if lane.send(Message::Job(Job { request, seed, deadline, ticket, reply })).is_err() {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            return Err(ServiceError::ShutDown);
        }
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(reply)) => reply,
            // The lane was lost with its batch.
            Ok(Err(_)) => Err(ServiceError::Unknown { id, source: None }),
            Err(_) if withdraw.0.claim(WITHDRAWN) => Err(ServiceError::DeadlineQueued),
            Err(_) => Err(ServiceError::Unknown { id, source: None }),
        }
    }

    /// Queues the release of a hold. Never waits, is never refused for a full queue: its hold was let in.
    /// False if the lane has stopped.
    pub(crate) fn release_later(&self, request: Request) -> bool {
        self.queued.fetch_add(1, Ordering::AcqRel);
        let sent = self.lane(&request.client).send(Message::Release(request)).is_ok();
        if !sent {
            self.queued.fetch_sub(1, Ordering::AcqRel);
        }
        sent
    }

    /// Sends what is queued, takes nothing more, and waits until all is answered.
    pub(crate) async fn shutdown(&self) {
        for lane in &self.lanes {
            // A lane that has stopped already has nothing to drain.
            let _ = lane.send(Message::Stop);
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(error = cause(&error), "a lane ended early");
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "reduced modulo the number of lanes, which is not zero")]
    fn lane(&self, client: &ClientId) -> &mpsc::UnboundedSender<Message> {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let lane = self.hasher.hash_one(client) % lanes;
        &self.lanes[usize::try_from(lane).unwrap_or_default()]
    }
}

/// One batch in flight at a time; what arrives meanwhile is the next.
struct Lane<S> {
    store: Arc<S>,
    receiver: mpsc::UnboundedReceiver<Message>,
    max_batch: usize,
    queued: Arc<AtomicUsize>,
    instruments: Instruments,
}

/// Who waits for a request of a batch.
type Waiting = Option<(Option<GuardSeed>, oneshot::Sender<Result<Reply, ServiceError>>)>;

impl<S: UsageStore> Lane<S> {
    async fn run(mut self) {
        let mut messages = Vec::with_capacity(self.max_batch);
        let mut just_set = Vec::new();
        // 0 comes when every sender is gone, or after a stop when all is drained.
        while self.receiver.recv_many(&mut messages, self.max_batch).await > 0 {
            let (mut batch, waiting) = self.sort(&mut messages);
            if batch.is_empty() {
                continue;
            }
            bring_up_to_date(&mut batch, &just_set);
            let setting = plans_of(&batch);
            let begun = Instant::now();
            let size = batch.len();
            let applied = AssertUnwindSafe(async { self.store.apply(batch).await }).catch_unwind().await;
            self.instruments.batch(size, begun.elapsed());
            match applied {
                Ok(answers) => {
                    just_set =
                        setting.into_iter().filter(|set| matches!(answers.get(set.place), Some(Ok(_)))).collect();
                    deliver(waiting, answers);
                }
                // Dropping the senders tells the callers that it is not known.
                Err(_) => {
                    tracing::error!("the store panicked: what became of its batch is not known");
                    waiting.into_iter().flatten().filter_map(|(seed, _)| seed).for_each(release_unknown);
                }
            }
        }
    }

    /// Takes the requests that are still wanted, in order.
    fn sort(&mut self, messages: &mut Vec<Message>) -> (Vec<Request>, Vec<Waiting>) {
        let mut batch = Vec::with_capacity(messages.len());
        let mut waiting = Vec::with_capacity(messages.len());
        let now = Instant::now();
        for message in messages.drain(..) {
            match message {
                Message::Stop => {
                    self.receiver.close();
                    continue;
                }
                Message::Release(request) => {
                    batch.push(request);
                    waiting.push(None);
                }
                Message::Job(job) if job.deadline <= now => {
                    if job.ticket.claim(WITHDRAWN) {
                        let _ = job.reply.send(Err(ServiceError::DeadlineQueued));
                    }
                }
                Message::Job(job) => {
                    if job.ticket.claim(SENT) {
                        batch.push(job.request);
                        waiting.push(Some((job.seed, job.reply)));
                    }
                }
            }
            self.queued.fetch_sub(1, Ordering::AcqRel);
        }
        plans_last(batch, waiting)
    }
}

/// Puts changes of plans behind the rest. All of a batch is concurrent, so any order of it is true; in this one a
/// client whose plan is set again and again is still charged, by the plan that its requests were made with.
fn plans_last(batch: Vec<Request>, waiting: Vec<Waiting>) -> (Vec<Request>, Vec<Waiting>) {
    let is_plan = |request: &Request| matches!(request.operation, Operation::SetPlan { .. } | Operation::RemovePlan);
    if !batch.iter().any(is_plan) {
        return (batch, waiting);
    }
    let (plans, rest): (Vec<_>, Vec<_>) = batch.into_iter().zip(waiting).partition(|(request, _)| is_plan(request));
    rest.into_iter().chain(plans).unzip()
}

/// A plan that a batch sets.
struct PlanSet {
    place: usize,
    client: ClientId,
    plan: Arc<Plan>,
    version: PlanVersion,
}

fn plans_of(batch: &[Request]) -> Vec<PlanSet> {
    let set = |(place, request): (usize, &Request)| match &request.operation {
        Operation::SetPlan { plan, version } => {
            Some(PlanSet { place, client: request.client.clone(), plan: Arc::clone(plan), version: *version })
        }
        _ => None,
    };
    batch.iter().enumerate().filter_map(set).collect()
}

/// Gives the plans that the batch before has set to the requests that waited for it: they were made with the plans
/// before, and would be told so and come back, behind the next change.
fn bring_up_to_date(batch: &mut [Request], just_set: &[PlanSet]) {
    for PlanSet { client, plan, version, .. } in just_set {
        for request in batch.iter_mut().filter(|request| request.client == *client) {
            if let PlanCheck::Version(known) = &mut request.plan.check {
                *known = Some(*version);
                request.plan.plan = Some(Arc::clone(plan));
            }
        }
    }
}

fn deliver(waiting: Vec<Waiting>, answers: Vec<Result<Answer, StoreError>>) {
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        let Some((seed, reply)) = waiting else {
            log_release(&answer);
            continue;
        };
        let guard = seed.and_then(|seed| match &answer {
            Ok(Answer::Decision(decision @ Decision::Allowed(_))) => Some(seed.guard(decision.clone())),
            Err(StoreError::Unknown { .. }) => {
                release_unknown(seed);
                None
            }
            _ => None,
        });
        // A caller who is gone drops the reply, and with it the guard.
        let _ = reply.send(Ok(Reply { answer, guard }));
    }
}

/// Releases a hold of which nobody knows whether it was made, by a guard that nobody gets.
fn release_unknown(seed: GuardSeed) {
    drop(seed.guard(Decision::Unchecked));
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

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("lanes", &self.lanes.len()).field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// What a hold is released with: no plan is needed for that.
pub(crate) fn release_request(client: ClientId, id: quota_core::OperationId, at: quota_core::Instant) -> Request {
    use quota_core::{Instant, PlanCheck};

    let stamp = crate::store::PlanStamp { generation: 0, fresh_until: Instant::MIN };
    let plan = crate::store::PlanView { plan: None, check: PlanCheck::Any, stamp };
    Request { client, operation: Operation::Release { id }, at, plan }
}
