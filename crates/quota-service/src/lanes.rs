//! Queues of operations on their way to the store.

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use quota_core::{Answer, ClientId, Operation, OperationId};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{ServiceError, cause};
use crate::guard::{GuardSeed, HoldGuard};
use crate::instruments::Instruments;
use crate::lane::{Counts, Lane};
use crate::store::{Request, UsageStore};
use crate::store_error::StoreError;

/// What came of a request.
pub(crate) struct Reply {
    pub(crate) answer: Result<Answer, StoreError>,
    /// Made by the lane for a hold that was allowed: delivered to nobody, it drops, and that releases the hold.
    pub(crate) guard: Option<Box<HoldGuard>>,
}

/// How a store wants its batches: see [`crate::Dispatch::Batched`].
#[derive(Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) lanes: NonZeroUsize,
    pub(crate) max_batch: NonZeroUsize,
    pub(crate) hot: Option<NonZeroUsize>,
}

/// All lanes of a service. Requests of one client always go through the same one.
pub(crate) struct Lanes {
    lanes: Vec<Entrance>,
    hasher: std::hash::RandomState,
    /// Jobs that somebody waits for, and releases, of all lanes.
    queued: Arc<AtomicUsize>,
    capacity: usize,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Where a lane takes messages in.
struct Entrance {
    sender: mpsc::UnboundedSender<Message>,
    /// Messages that this lane has not yet taken out, those of callers who have given up too: where it hangs, they may
    /// not fill the memory, nor take the room of other lanes.
    waiting: Arc<AtomicUsize>,
}

/// What a lane is told.
pub(crate) enum Message {
    Job(Job),
    /// Nobody waits for it.
    Release(Request),
    Stop,
}

impl Message {
    /// Whose request it is.
    pub(crate) fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Job(job) => Some(&job.request.client),
            Self::Release(request) => Some(&request.client),
            Self::Stop => None,
        }
    }

    /// How many entries it brings at most.
    pub(crate) fn entries(&self) -> usize {
        let operation = match self {
            Self::Job(job) => &job.request.operation,
            Self::Release(request) => &request.operation,
            Self::Stop => return 0,
        };
        match operation {
            Operation::Backfill { entries, .. } => entries.len(),
            _ => 1,
        }
    }
}

/// A request and who waits for it.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) seed: Option<Box<GuardSeed>>,
    pub(crate) deadline: Instant,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) reply: oneshot::Sender<Result<Reply, ServiceError>>,
}

/// Who got hold of a queued job first: the lane that sends it, or the caller who gives up.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

const QUEUED: u8 = 0;
pub(crate) const SENT: u8 = 1;
pub(crate) const WITHDRAWN: u8 = 2;

impl Ticket {
    pub(crate) fn claim(&self, by: u8) -> bool {
        self.0.compare_exchange(QUEUED, by, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Withdraws a job that is still queued when its caller goes away.
struct Withdraw<'a> {
    ticket: Arc<Ticket>,
    queued: &'a AtomicUsize,
}

impl Withdraw<'_> {
    /// False if it was sent, or is withdrawn already.
    fn claim(&self) -> bool {
        let is_withdrawn = self.ticket.claim(WITHDRAWN);
        if is_withdrawn {
            self.queued.fetch_sub(1, Ordering::AcqRel);
        }
        is_withdrawn
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.claim();
    }
}

/// A request in a lane. Dropped while it is queued, it is never sent; once sent it runs to its end.
pub(crate) struct Queued<'a> {
    answered: oneshot::Receiver<Result<Reply, ServiceError>>,
    withdraw: Withdraw<'a>,
    id: Option<OperationId>,
    deadline: Instant,
}

impl Queued<'_> {
    /// Waits for the answer until the deadline. Late while it is queued, it is never sent.
    pub(crate) async fn answer(self) -> Result<Reply, ServiceError> {
        let Self { answered, withdraw, id, deadline } = self;
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(reply)) => reply,
            // It never came to be sent.
            Ok(Err(_)) if withdraw.claim() => Err(ServiceError::ShutDown),
            // The lane was lost with its batch.
            Ok(Err(_)) => Err(ServiceError::Unknown { id, source: None }),
            Err(_) if withdraw.claim() => Err(ServiceError::DeadlineQueued),
            Err(_) => Err(ServiceError::Unknown { id, source: None }),
        }
    }
}

impl Lanes {
    /// Spawns a task for each lane.
    pub(crate) fn spawn<S: UsageStore>(store: &Arc<S>, ways: Ways, capacity: usize, instruments: &Instruments) -> Self {
        let queued = Arc::new(AtomicUsize::new(0));
        let (lanes, tasks) = (0..ways.lanes.get())
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let waiting = Arc::new(AtomicUsize::new(0));
                let counts = Counts { queued: Arc::clone(&queued), waiting: Arc::clone(&waiting) };
                let lane = Lane::new(Arc::clone(store), receiver, ways, counts, instruments.clone());
                (Entrance { sender, waiting }, tokio::spawn(lane.run()))
            })
            .unzip();
        Self { lanes, hasher: std::hash::RandomState::new(), queued, capacity, tasks: Mutex::new(tasks) }
    }

    /// Queues a request.
    ///
    /// # Errors
    /// It is not queued: the lanes are full, or have stopped.
    pub(crate) fn enqueue(
        &self,
        request: Request,
        seed: Option<Box<GuardSeed>>,
        deadline: Instant,
    ) -> Result<Queued<'_>, ServiceError> {
        let lane = self.lane(&request.client);
        if lane.sender.is_closed() {
            return Err(ServiceError::ShutDown);
        }
        if lane.waiting.load(Ordering::Acquire) >= self.capacity {
            return Err(ServiceError::Overloaded);
        }
        if self.queued.fetch_add(1, Ordering::AcqRel) >= self.capacity {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            return Err(ServiceError::Overloaded);
        }
        let id = request.operation.id().cloned();
        let (reply, answered) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let withdraw = Withdraw { ticket: Arc::clone(&ticket), queued: &self.queued };
        if !lane.send(Message::Job(Job { request, seed, deadline, ticket, reply })) {
            return Err(ServiceError::ShutDown);
        }
        Ok(Queued { answered, withdraw, id, deadline })
    }

    /// Queues the release of a hold. Never waits, is never refused for a full queue: its hold was let in.
    /// False if the lane has stopped.
    pub(crate) fn release_later(&self, request: Request) -> bool {
        self.queued.fetch_add(1, Ordering::AcqRel);
        let sent = self.lane(&request.client).send(Message::Release(request));
        if !sent {
            self.queued.fetch_sub(1, Ordering::AcqRel);
        }
        sent
    }

    /// Sends what is queued, takes nothing more, and waits until all is answered.
    pub(crate) async fn shutdown(&self) {
        for lane in &self.lanes {
            // A lane that has stopped already has nothing to drain.
            let _ = lane.sender.send(Message::Stop);
        }
        // Held while it waits, for nothing else takes it: who else shuts down waits as well, and a caller who gives up
        // leaves the rest to the next.
        let mut tasks = self.tasks.lock().await;
        while let Some(task) = tasks.last_mut() {
            if let Err(error) = task.await {
                tracing::error!(error = cause(&error), "a lane ended early");
            }
            tasks.pop();
        }
    }

    #[expect(clippy::indexing_slicing, reason = "reduced modulo the number of lanes, which is not zero")]
    fn lane(&self, client: &ClientId) -> &Entrance {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let lane = self.hasher.hash_one(client) % lanes;
        &self.lanes[usize::try_from(lane).unwrap_or_default()]
    }
}

impl Entrance {
    /// False if the lane has stopped.
    fn send(&self, message: Message) -> bool {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let sent = self.sender.send(message).is_ok();
        if !sent {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        sent
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("lanes", &self.lanes.len()).field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// What a hold is released with: no plan is needed for that.
pub(crate) fn release_request(client: ClientId, release: Operation, at: quota_core::Instant) -> Request {
    use quota_core::PlanCheck;

    let stamp = crate::store::PlanStamp::ONCE;
    let plan = crate::store::PlanView { plan: None, check: PlanCheck::Any, stamp };
    Request { client, operation: release, at, plan }
}
