//! Where plans come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use quota_core::{ClientId, Plan};

use crate::store_error::Source;

/// Knows the plans of clients: a database of the application's own, a configuration service.
///
/// It is asked when a client is first met, once for any number of concurrent requests, and again when what it
/// said has grown old. A failure is a store failure, never an unknown client.
#[async_trait]
pub trait PlanSource: Send + Sync + 'static {
    /// The client's plan; none if the client has none.
    ///
    /// # Errors
    /// Whatever kept the source from answering.
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Source>;

    /// A number that changes with every change of any plan, read before each charge, so it must be quick: answers
    /// are then good for as long as it stands. None where changes are not noticed: answers are then asked again
    /// after the service's `plan_ttl`. None by default.
    fn generation(&self) -> Option<u64> {
        None
    }
}

/// Plans in this process's memory, set in code. Clones share them.
///
/// ```
/// use quota_service::{ClientId, Plan, PlanRegistry};
///
/// let plans = PlanRegistry::new().with(ClientId::new("client1")?, Plan::default());
/// assert!(plans.plan_of(&ClientId::new("client1")?).is_some());
/// assert!(plans.plan_of(&ClientId::new("client2")?).is_none());
/// # Ok::<(), quota_service::IdError>(())
/// ```
#[derive(Clone, Default)]
pub struct PlanRegistry(Arc<Shared>);

#[derive(Default)]
struct Shared {
    plans: RwLock<Plans>,
    generation: AtomicU64,
}

#[derive(Default)]
struct Plans {
    by_client: HashMap<ClientId, Arc<Plan>>,
    default: Option<Arc<Plan>>,
}

impl PlanRegistry {
    /// No client has a plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a plan for one client.
    #[must_use]
    pub fn with(self, client: ClientId, plan: Plan) -> Self {
        self.set(client, plan);
        self
    }

    /// The same with a plan for every client that has none of its own.
    #[must_use]
    pub fn with_default(self, plan: Plan) -> Self {
        self.change(|plans| plans.default = Some(Arc::new(plan)));
        self
    }

    /// Sets one client's plan; the client's next operation is decided by it.
    pub fn set(&self, client: ClientId, plan: impl Into<Arc<Plan>>) {
        let plan = plan.into();
        self.change(|plans| plans.by_client.insert(client, plan));
    }

    /// Removes one client's own plan; false if there was none.
    pub fn remove(&self, client: &ClientId) -> bool {
        self.change(|plans| plans.by_client.remove(client).is_some())
    }

    /// The client's plan.
    #[must_use]
    pub fn plan_of(&self, client: &ClientId) -> Option<Arc<Plan>> {
        let plans = self.0.plans.read().unwrap_or_else(PoisonError::into_inner);
        plans.by_client.get(client).or(plans.default.as_ref()).cloned()
    }

    /// Replaces all plans of single clients at once.
    pub(crate) fn replace(&self, by_client: HashMap<ClientId, Arc<Plan>>) {
        self.change(|plans| plans.by_client = by_client);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Plans) -> T) -> T {
        let mut plans = self.0.plans.write().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut plans);
        // Under the lock: who sees the new generation reads the new plans.
        self.0.generation.fetch_add(1, Ordering::Release);
        answer
    }
}

#[async_trait]
impl PlanSource for PlanRegistry {
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Source> {
        Ok(self.plan_of(client))
    }

    fn generation(&self) -> Option<u64> {
        Some(self.0.generation.load(Ordering::Acquire))
    }
}

impl fmt::Debug for PlanRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plans = self.0.plans.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("PlanRegistry").field("clients", &plans.by_client.len()).finish_non_exhaustive()
    }
}
