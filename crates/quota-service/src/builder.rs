//! How a service is set up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::claims::Claims;
use crate::clock::{Clock, SystemClock};
use crate::denials::Denials;
use crate::instruments::Instruments;
use crate::lanes::{Lanes, Ways};
use crate::made_id;
use crate::plan_file::PlanFile;
use crate::plan_source::{PlanRegistry, PlanSource};
use crate::plans::{Origin, Plans};
use crate::server_clock::ServerClock;
use crate::service::{Inner, QuotaService};
use crate::store::{Dispatch, PlanStore, UsageStore};

/// What to answer when the store cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreError {
    /// An error: no request runs that was not charged.
    #[default]
    FailClosed,
    /// [`quota_core::Decision::Unchecked`]: requests run that may not have been charged. Only failures of the store, of the
    /// source of plans, and deadlines open; never a conflict, an overflow, a clock ahead, an unknown client or a full queue.
    /// Where a client's plan cannot be asked for, it is not known whether there is such a client: it passes.
    FailOpen,
}

/// Sets up a [`QuotaService`]. Everything has a default but the store.
#[must_use = "a builder does nothing until it builds"]
pub struct QuotaServiceBuilder<S> {
    store: Arc<S>,
    origin: Origin,
    clock: Option<Arc<dyn Clock>>,
    reference: Option<Arc<dyn Clock>>,
    max_ahead: Duration,
    deadline: Duration,
    on_store_error: OnStoreError,
    plan_ttl: Duration,
    unknown_ttl: Duration,
    plan_cache_size: usize,
    queue_size: usize,
    denials: Option<usize>,
}

impl<S: UsageStore + PlanStore> QuotaService<S> {
    /// A service over a store that keeps the plans as well, with every default.
    ///
    /// # Panics
    /// As for [`QuotaServiceBuilder::build`].
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::builder(store).with_stored_plans().build()
    }
}

impl<S: UsageStore> QuotaService<S> {
    /// Begins to set up a service over a store; plans are kept in an empty [`PlanRegistry`] unless another origin is
    /// chosen.
    pub fn builder(store: S) -> QuotaServiceBuilder<S> {
        QuotaServiceBuilder {
            store: Arc::new(store),
            origin: Origin::Registry(PlanRegistry::new()),
            clock: None,
            reference: None,
            max_ahead: Duration::from_secs(60),
            deadline: Duration::from_secs(5),
            on_store_error: OnStoreError::FailClosed,
            plan_ttl: Duration::from_secs(30),
            unknown_ttl: Duration::from_secs(5),
            plan_cache_size: 100_000,
            queue_size: 65_536,
            denials: None,
        }
    }
}

impl<S: UsageStore> QuotaServiceBuilder<S> {
    /// Plans are set in code, in this process.
    pub fn with_registry(mut self, registry: PlanRegistry) -> Self {
        self.origin = Origin::Registry(registry);
        self
    }

    /// Plans come from the application.
    pub fn with_plan_source(mut self, source: impl PlanSource) -> Self {
        self.origin = Origin::Source(Arc::new(source));
        self
    }

    /// Plans come from a JSON file.
    pub fn with_plan_file(self, file: PlanFile) -> Self {
        self.with_plan_source(file)
    }

    /// Plans are kept in the store, and a change binds every process's next operation.
    pub fn with_stored_plans(mut self) -> Self
    where
        S: PlanStore,
    {
        let store: Arc<dyn PlanStore> = self.store.clone();
        self.origin = Origin::Store(store);
        self
    }

    /// Where the present comes from. By default the time of the store's server, asked at the first operation and again by
    /// one that comes a minute later; where there is none, or [`Self::with_reference_clock`] names another, the machine's clock.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The server's time, which no operation may be too far ahead of. By default the store's server is asked; where it
    /// has none, this is the service's own clock.
    pub fn with_reference_clock(mut self, clock: impl Clock) -> Self {
        self.reference = Some(Arc::new(clock));
        self
    }

    /// How far ahead of the server's time an operation may be; one minute by default.
    pub const fn with_max_ahead(mut self, max_ahead: Duration) -> Self {
        self.max_ahead = max_ahead;
        self
    }

    /// How long an operation may take, in the queue and in the store together; 5 seconds by default, a year at most.
    /// Asking for the client's plan counts in it where the store takes batches, and has as long again where it does not
    /// ([`crate::Dispatch`]); so has asking the store's server for its time, at the first operation. What ends or extends a hold for
    /// which no plan was told in time is tried without one, and has as long again.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        // An instant that much later than now can be told on every platform.
        self.deadline = deadline.min(Duration::from_secs(366 * 86_400));
        self
    }

    /// What to answer when the store cannot; an error by default.
    pub const fn with_on_store_error(mut self, choice: OnStoreError) -> Self {
        self.on_store_error = choice;
        self
    }

    /// For how long a plan of a [`PlanSource`] that does not notice changes is used; 30 seconds by default.
    pub const fn with_plan_ttl(mut self, ttl: Duration) -> Self {
        self.plan_ttl = ttl;
        self
    }

    /// For how long a client that such a source does not know stays unknown; 5 seconds by default.
    pub const fn with_unknown_ttl(mut self, ttl: Duration) -> Self {
        self.unknown_ttl = ttl;
        self
    }

    /// How many clients' plans are remembered, least recently used out; 100,000 by default, at least 1.
    pub const fn with_plan_cache_size(mut self, clients: usize) -> Self {
        self.plan_cache_size = clients;
        self
    }

    /// How many operations may wait to be sent; 65,536 by default. More answer
    /// [`crate::ServiceError::Overloaded`]. Those whose callers have given up keep no room, but in front of a store that
    /// does not answer: it gets no more of them than this in each of its lanes.
    pub const fn with_queue_size(mut self, operations: usize) -> Self {
        self.queue_size = operations;
        self
    }

    /// Remembers the last 20 denials of so many clients, the ones denied last, for [`QuotaService::denials`]: in the
    /// memory of this process, some 300 bytes each. None by default.
    pub const fn with_denials(mut self, clients: usize) -> Self {
        self.denials = Some(clients);
        self
    }

    /// The service.
    ///
    /// # Panics
    /// Outside a tokio runtime, for a store that takes batches: they are sent by tasks. These need the runtime's timers
    /// (`enable_time`).
    #[must_use]
    pub fn build(self) -> QuotaService<S> {
        let instruments = Instruments::new();
        let lanes = match self.store.dispatch() {
            Dispatch::Direct => None,
            Dispatch::Batched { lanes, max_batch, hot } => {
                Some(Lanes::spawn(&self.store, Ways { lanes, max_batch, hot }, self.queue_size, &instruments))
            }
        };
        let plans = Arc::new(Plans::new(self.origin, self.plan_cache_size, self.plan_ttl, self.unknown_ttl));
        let asks_server = lanes.is_some() && self.reference.is_none();
        let server = asks_server.then(|| Arc::new(ServerClock::new(&instruments)));
        let follows_server = self.clock.is_none() && server.is_some();
        let clock: Arc<dyn Clock> = match (self.clock, &server) {
            (Some(own), _) => own,
            (None, Some(server)) => server.clone(),
            (None, None) => Arc::new(SystemClock),
        };
        let inner = Inner {
            store: self.store,
            plans,
            clock,
            server,
            follows_server,
            reference: self.reference,
            max_ahead: self.max_ahead,
            deadline: self.deadline,
            on_store_error: self.on_store_error,
            lanes,
            instruments,
            claims: Claims::default(),
            asker: made_id::asker(),
            denials: self.denials.map(Denials::new),
            shut_down: AtomicBool::new(false),
        };
        QuotaService { inner: Arc::new(inner) }
    }
}

impl<S> fmt::Debug for QuotaServiceBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaServiceBuilder")
            .field("max_ahead", &self.max_ahead)
            .field("deadline", &self.deadline)
            .field("on_store_error", &self.on_store_error)
            .field("queue_size", &self.queue_size)
            .finish_non_exhaustive()
    }
}
