//! The service's knowledge of its clients' plans.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use lru::LruCache;
use parking_lot::Mutex;
use quota_core::{ClientId, Instant, Plan, PlanCheck, PlanVersion};
use tokio::time::error::Elapsed;

use crate::deadline::within_until;
use crate::error::ServiceError;
use crate::made_id;
use crate::plan_source::{PlanRegistry, PlanSource};
use crate::store::{PlanStamp, PlanStore, PlanView, PlansNow};
use crate::store_error::{Source, StoreError};
use crate::together::Together;

/// How often a source is asked anew while its plans change under the question.
const MAX_QUESTIONS: usize = 16;

/// Where the plans come from, and whether they can be written there.
#[derive(Clone)]
pub(crate) enum Origin {
    Registry(PlanRegistry),
    Source(Arc<dyn PlanSource>),
    Store(Arc<dyn PlanStore>),
}

/// Plans of clients that were met, bounded, least recently used out.
pub(crate) struct Plans {
    origin: Origin,
    /// Locked for a look-up, never across a question.
    met: Mutex<LruCache<ClientId, Arc<Question>>>,
    /// The greatest number of clients in it.
    size: usize,
    plan_ttl: Duration,
    unknown_ttl: Duration,
    /// Tells this service's generations from those of another that brings its own plans to the same store.
    seed: u64,
}

/// A question to the origin, which all who ask meanwhile share, and its answer.
#[derive(Default)]
struct Question {
    known: OnceLock<Known>,
    together: Together<Result<Known, Untold>>,
}

/// Why the origin said nothing, to each of those who asked.
#[derive(Clone)]
enum Untold {
    Source(Arc<dyn Error + Send + Sync>),
    Store(Arc<StoreError>),
}

impl Untold {
    fn by_source(error: Source) -> Self {
        Self::Source(Arc::from(error))
    }

    fn by_store(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Untold> for ServiceError {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Source(error) => Self::Plans(error.into()),
            Untold::Store(error) => not_told(error.again()),
        }
    }
}

/// What the origin said.
#[derive(Clone)]
struct Known {
    plan: Option<Arc<Plan>>,
    /// Of a store; none for what comes from elsewhere.
    version: Option<PlanVersion>,
    stamp: PlanStamp,
}

impl Plans {
    pub(crate) fn new(origin: Origin, size: usize, plan_ttl: Duration, unknown_ttl: Duration) -> Self {
        let seed = made_id::plan_version().number().get();
        Self { origin, met: Mutex::new(LruCache::unbounded()), size: size.max(1), plan_ttl, unknown_ttl, seed }
    }

    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What a store that decides at once has to have at hand.
    pub(crate) fn now(&self) -> PlansNow {
        match &self.origin {
            Origin::Store(_) => PlansNow::Stored,
            _ => PlansNow::Source { generation: self.generation() },
        }
    }

    /// The client's plan as it is known at the service's present, where nobody has to be asked for it.
    pub(crate) fn view_now(&self, client: &ClientId, now: Instant) -> Option<PlanView> {
        // Before the look: a change in between makes the plan old at once.
        let generation = self.generation();
        if let Origin::Registry(registry) = &self.origin {
            let stamp = PlanStamp::lasting(generation);
            return Some(PlanView { plan: registry.plan_of(client), check: PlanCheck::Any, stamp });
        }
        let mut met = self.met.lock();
        let known = met.get(client)?.known.get().filter(|known| !self.is_old(known, generation, now))?.clone();
        drop(met);
        Some(self.view_of(known))
    }

    fn is_old(&self, known: &Known, generation: u64, now: Instant) -> bool {
        match &self.origin {
            // The store compares versions, however old the plan is.
            Origin::Store(_) => false,
            _ => known.stamp.generation != generation || !known.stamp.is_fresh(now),
        }
    }

    /// The client's plan as it is known at the service's present, asked of the origin if it is not or has grown old, and waited for
    /// until the deadline.
    pub(crate) async fn view(
        self: &Arc<Self>,
        client: &ClientId,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<PlanView, ServiceError> {
        if let Some(view) = self.view_now(client, now) {
            return Ok(view);
        }
        let mut rounds = 0;
        loop {
            let generation = self.generation();
            let question = self.question(client, |known| self.is_old(known, generation, now));
            let known = match question.known.get() {
                Some(known) => known.clone(),
                // Boxed, so that who need not wait is a small future.
                None => Box::pin(self.answer(&question, client, now, deadline)).await?,
            };
            // The question may be one that another caller had asked before the plans changed.
            if known.stamp.generation == generation || rounds == MAX_QUESTIONS {
                return Ok(self.view_of(known));
            }
            rounds += 1;
        }
    }

    async fn answer(
        self: &Arc<Self>,
        question: &Arc<Question>,
        client: &ClientId,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<Known, ServiceError> {
        let mut told = self.told(question, client, now, deadline).await;
        if let (Ok(Err(_)), false) = told {
            // It was begun by somebody else, earlier: now the origin may answer.
            told = self.told(question, client, now, deadline).await;
        }
        told.0.map_err(|elapsed| ServiceError::Plans(elapsed.into()))?.map_err(ServiceError::from)
    }

    /// What the origin tells, and whether this has begun the question.
    async fn told(
        self: &Arc<Self>,
        question: &Arc<Question>,
        client: &ClientId,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> (Result<Result<Known, Untold>, Elapsed>, bool) {
        let mut is_own = false;
        let asked = question.together.ask(|| {
            is_own = true;
            let (plans, question, client) = (Arc::clone(self), Arc::clone(question), client.clone());
            let asking = async move {
                let known = plans.ask(&client, now).await?;
                Ok(question.known.get_or_init(|| known).clone())
            };
            asking.boxed()
        });
        let told = within_until(deadline, asked.clone()).await;
        if told.is_err() {
            question.together.forget(&asked);
        }
        (told, is_own)
    }

    /// The question that answers for this client: one that is answered, one that is being asked, or a new one.
    fn question(&self, client: &ClientId, old: impl Fn(&Known) -> bool) -> Arc<Question> {
        let mut met = self.met.lock();
        match met.get(client) {
            Some(question) if !question.known.get().is_some_and(old) => Arc::clone(question),
            _ => {
                let question = Arc::<Question>::default();
                self.put(&mut met, client, Arc::clone(&question));
                question
            }
        }
    }

    /// Forgets what the account says is no longer so.
    pub(crate) fn forget_unless(&self, client: &ClientId, version: Option<PlanVersion>) {
        let mut met = self.met.lock();
        if met.peek(client).and_then(|question| question.known.get()).is_some_and(|known| known.version != version) {
            met.pop(client);
        }
    }

    /// Takes a plan that was just set through this service: whoever was decided by the one before tries again with
    /// this one, without asking the store.
    pub(crate) fn learn(&self, client: &ClientId, plan: Arc<Plan>, version: PlanVersion) {
        let stamp = PlanStamp::lasting(self.generation());
        let known = Known { plan: Some(plan), version: Some(version), stamp };
        let question = Question { known: OnceLock::from(known), together: Together::default() };
        self.put(&mut self.met.lock(), client, Arc::new(question));
    }

    fn put(&self, met: &mut LruCache<ClientId, Arc<Question>>, client: &ClientId, question: Arc<Question>) {
        met.put(client.clone(), question);
        if met.len() > self.size {
            met.pop_lru();
        }
    }

    /// A view of a plan that is not the origin's (yet).
    pub(crate) fn view_with(&self, plan: Arc<Plan>) -> PlanView {
        PlanView { plan: Some(plan), check: PlanCheck::Any, stamp: PlanStamp::ONCE }
    }

    fn view_of(&self, known: Known) -> PlanView {
        let check = match &self.origin {
            Origin::Store(_) => PlanCheck::Version(known.version),
            _ => PlanCheck::Any,
        };
        PlanView { plan: known.plan, check, stamp: known.stamp }
    }

    fn generation(&self) -> u64 {
        let generation = match &self.origin {
            Origin::Registry(registry) => registry.generation().unwrap_or_default(),
            Origin::Source(source) => source.generation().unwrap_or_default(),
            Origin::Store(_) => 0,
        };
        generation ^ self.seed
    }

    async fn ask(&self, client: &ClientId, at: Instant) -> Result<Known, Untold> {
        // Before the question: a change in between makes the answer old at once.
        let generation = self.generation();
        let (plan, version, changes_are_noticed) = match &self.origin {
            Origin::Registry(registry) => (registry.plan_of(client), None, true),
            Origin::Source(source) => {
                // A panic of one asker would be one of all who share the question.
                let told = AssertUnwindSafe(source.plan(client)).catch_unwind().await;
                let plan = told.unwrap_or_else(|_| Err("the source of plans panicked".into()));
                (plan.map_err(Untold::by_source)?, None, source.generation().is_some())
            }
            Origin::Store(store) => {
                let told = AssertUnwindSafe(store.stored_plan(client)).catch_unwind().await;
                let panicked =
                    || StoreError::NotDone { message: "it panicked when asked for a plan".to_owned(), source: None };
                let stored = told.unwrap_or_else(|_| Err(panicked())).map_err(Untold::by_store)?;
                (stored.plan, stored.version, true)
            }
        };
        let ttl = if plan.is_some() { self.plan_ttl } else { self.unknown_ttl };
        let stamp = match changes_are_noticed {
            true => PlanStamp::lasting(generation),
            false => PlanStamp { generation, asked_at: at, fresh_until: at.saturating_add(ttl) },
        };
        Ok(Known { plan, version, stamp })
    }
}

/// A store that fails to tell a plan is a source that fails; what is stored and cannot be read is another matter,
/// which no service that fails open lets pass.
pub(crate) fn not_told(error: StoreError) -> ServiceError {
    match error {
        StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. } => ServiceError::NotDone { source: error },
        _ => ServiceError::Plans(error.into()),
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plans").field("known", &self.met.lock().len()).finish_non_exhaustive()
    }
}
