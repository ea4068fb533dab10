//! Queues of operations on their way to the store.

use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use quota_core::{Answer, ClientId, Operation};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{ServiceError, cause};
use crate::guard::{GuardSeed, HoldGuard};
use crate::inbox::{Inbox, NotTaken, Watched};
use crate::instruments::Instruments;
use crate::lane::Lane;
use crate::queue::{Message, Waiter};
use crate::slip::{Queued, slip};
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
    lanes: Vec<Arc<Inbox>>,
    hasher: std::hash::RandomState,
    /// Jobs that somebody waits for, and releases, of all lanes.
    queued: Arc<AtomicUsize>,
    capacity: usize,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Lanes {
    /// Spawns a task for each lane.
    pub(crate) fn spawn<S: UsageStore>(store: &Arc<S>, ways: Ways, capacity: usize, instruments: &Instruments) -> Self {
        assert!(
            tokio::runtime::Handle::try_current().is_ok(),
            "build the QuotaService inside a tokio runtime: its store takes batches, which are sent by tasks"
        );
        let queued = Arc::new(AtomicUsize::new(0));
        let (lanes, tasks) = (0..ways.lanes.get())
            .map(|_| {
                let inbox = Arc::<Inbox>::default();
                let (store, queued) = (Arc::clone(store), Arc::clone(&queued));
                let lane = Lane::new(store, Arc::clone(&inbox), ways, queued, instruments.clone());
                (inbox, tokio::spawn(lane.run()))
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
        let (replying, queued) = slip(deadline, request.operation.id().cloned(), &self.queued);
        let lane = self.lane(&request.client);
        match lane.put(Message { request, waiting: Some(Waiter { seed, replying }) }, &self.queued, self.capacity) {
            Ok(Watched::ByLane) => Ok(queued),
            Ok(Watched::ByNobody) => Ok(queued.watched_by_caller(deadline)),
            Err(why) => {
                queued.forget();
                Err(match why {
                    NotTaken::Closed => ServiceError::ShutDown,
                    NotTaken::Full => ServiceError::Overloaded,
                })
            }
        }
    }

    /// Queues the release of a hold. Never waits, is never refused for a full queue: its hold was let in.
    /// False if the lane has stopped.
    pub(crate) fn release_later(&self, request: Request) -> bool {
        self.lane(&request.client).put(Message { request, waiting: None }, &self.queued, usize::MAX).is_ok()
    }

    fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }

    /// Sends what is queued, takes nothing more, and waits until all is answered.
    pub(crate) async fn shutdown(&self) {
        self.close();
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
    fn lane(&self, client: &ClientId) -> &Inbox {
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let lane = self.hasher.hash_one(client) % lanes;
        &self.lanes[usize::try_from(lane).unwrap_or_default()]
    }
}

impl Drop for Lanes {
    /// What is queued is sent all the same.
    fn drop(&mut self) {
        self.close();
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
    Request { client, operation: release, at, asked: at, plan }
}
