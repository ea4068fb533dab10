//! What a program is made of, before it is served.

use std::cell::OnceCell;
use std::error::Error;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderName;
use quota_core::{Anchor, ClientId, Detail, Instant, Limit, Period, Plan, Quota, Tz};
use quota_http::{Answers, IdempotencyKeys, OperatorToken, RateLimitFields, UsageApi};
use quota_service::{
    Clock, ManualClock, OnStoreError, PlanRegistry, PlanSource, PlanStore, QuotaService, SharedService, UsageStore,
};
use quota_store_memory::{MemoryStore, MemoryStoreBuilder};

use crate::gated::Gated;
use crate::http::ground::{CLIENT, Ground};
use crate::http::pause::Pause;
use crate::http::store::{Failing, Orders};
use crate::http::{HttpHarness, Named, Program};

/// A program to be served.
pub(super) struct Setting<H> {
    plan: Plan,
    answers: Answers,
    keys: Option<IdempotencyKeys>,
    on_store_error: OnStoreError,
    named: Named,
    operators_by_role: bool,
    /// Where plans come from.
    plans_from: From,
    /// How many operations may wait for the store, if any may.
    queue_size: Option<usize>,
    remembers_denials: bool,
    store: MemoryStoreBuilder,
    harness: PhantomData<H>,
}

/// Where plans come from.
#[derive(Clone, Copy)]
enum From {
    Registry,
    /// A source that takes none.
    Source,
    /// One that cannot be reached.
    Failing,
    /// The store.
    Store,
}

/// Plans that nobody sets.
struct ReadOnly(PlanRegistry);

#[async_trait]
impl PlanSource for ReadOnly {
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.plan_of(client))
    }

    fn generation(&self) -> Option<u64> {
        None
    }
}

/// Plans that cannot be looked up.
struct Unreachable;

#[async_trait]
impl PlanSource for Unreachable {
    async fn plan(&self, _: &ClientId) -> Result<Option<Arc<Plan>>, Box<dyn Error + Send + Sync>> {
        Err("billing.internal does not answer".into())
    }

    fn generation(&self) -> Option<u64> {
        None
    }
}

/// A clock that knows how often it was read.
struct Watched {
    clock: Arc<ManualClock>,
    times_read: Arc<AtomicUsize>,
}

impl Clock for Watched {
    fn now(&self) -> Instant {
        self.times_read.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

fn clients() -> [ClientId; 2] {
    [CLIENT, "a/b"].map(|client| ClientId::new(client).unwrap())
}

/// The quota of a period, aligned to 2022-01-01 in UTC.
pub(super) fn quota(period: Period, limit: &str) -> Quota {
    let limit = if limit == "unlimited" { Limit::Unlimited } else { Limit::Finite(limit.parse().unwrap()) };
    Quota::new(period, limit, Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC))
}

impl<H: HttpHarness> Setting<H> {
    /// At noon of 2024-03-01, with these quotas, both families of headers and a store that keeps entries.
    pub(super) fn with<const N: usize>(quotas: [Quota; N]) -> Self {
        Self {
            plan: Plan::new(quotas).unwrap(),
            answers: Answers::default().with_rate_limit_fields(RateLimitFields::Draft08To11),
            keys: None,
            on_store_error: OnStoreError::FailClosed,
            named: Named::Header,
            operators_by_role: false,
            plans_from: From::Registry,
            queue_size: None,
            remembers_denials: true,
            store: MemoryStore::builder().with_detail(Detail::Entries),
            harness: PhantomData,
        }
    }

    /// Ten credits a day.
    pub(super) fn ten() -> Self {
        Self::with([quota(Period::DAY, "10")])
    }

    pub(super) fn answers(mut self, change: impl FnOnce(Answers) -> Answers) -> Self {
        self.answers = change(self.answers);
        self
    }

    pub(super) fn keys(mut self, keys: IdempotencyKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    pub(super) const fn on_store_error(mut self, on_store_error: OnStoreError) -> Self {
        self.on_store_error = on_store_error;
        self
    }

    /// Clients are found in this way.
    pub(super) const fn named(mut self, named: Named) -> Self {
        self.named = named;
        self
    }

    /// Operators are named by a function.
    pub(super) const fn operators_by_role(mut self) -> Self {
        self.operators_by_role = true;
        self
    }

    /// Plans come from a source that takes none.
    pub(super) const fn read_only(mut self) -> Self {
        self.plans_from = From::Source;
        self
    }

    /// Plans come from a source that cannot be reached.
    pub(super) const fn failing_plans(mut self) -> Self {
        self.plans_from = From::Failing;
        self
    }

    /// Plans are in the store.
    pub(super) const fn stored_plans(mut self) -> Self {
        self.plans_from = From::Store;
        self
    }

    fn plans(&self) -> PlanRegistry {
        clients().into_iter().fold(PlanRegistry::new(), |plans, client| plans.with(client, self.plan.clone()))
    }

    /// The store takes batches, one at a time and behind a gate, and so many operations may wait for it.
    pub(super) const fn queued(mut self, queue_size: usize) -> Self {
        self.queue_size = Some(queue_size);
        self
    }

    pub(super) const fn without_denials(mut self) -> Self {
        self.remembers_denials = false;
        self
    }

    /// The store keeps sums of quarters of an hour, and no entries.
    pub(super) const fn quarters(mut self) -> Self {
        self.store = self.store.with_detail(Detail::Quarters);
        self
    }

    /// The store keeps sums for so long.
    pub(super) const fn retention(mut self, retention: Duration) -> Self {
        self.store = self.store.with_retention(retention);
        self
    }

    pub(super) fn serve(self) -> Ground<H> {
        // Whatever is under way goes on while the test does something else.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let orders = Arc::new(Orders::default());
        let store = Failing::new(self.store.build(), Arc::clone(&orders));
        let clock = Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()));
        let times_read = Arc::new(AtomicUsize::new(0));
        let watched = Watched { clock: Arc::clone(&clock), times_read: Arc::clone(&times_read) };
        let within = runtime.enter();
        let (service, usage, keeper) = if self.queue_size.is_some() {
            let (store, keeper) = Gated::new(store);
            let (service, usage) = self.service(store, watched);
            (service, usage, Some(keeper))
        } else {
            let (service, usage) = self.service(store, watched);
            (service, usage, None)
        };
        drop(within);
        if matches!(self.plans_from, From::Store) {
            clients().into_iter().for_each(|client| {
                runtime.block_on(service.set_plan(&client, self.plan.clone())).unwrap();
            });
        }
        let pause = Pause::new();
        let program = Program {
            service: Arc::clone(&service),
            answers: self.answers,
            keys: self.keys,
            named: self.named,
            usage,
            operators_by_role: self.operators_by_role,
            pause: pause.clone(),
        };
        let harness = H::serve(program);
        Ground { harness, service, clock, pause, runtime, times_read, orders, keeper, description: OnceCell::new() }
    }

    fn service(&self, store: impl UsageStore + PlanStore, clock: Watched) -> (SharedService, UsageApi) {
        let builder = QuotaService::builder(store);
        let builder = match self.plans_from {
            From::Registry => builder.with_registry(self.plans()),
            From::Source => builder.with_plan_source(ReadOnly(self.plans())),
            From::Failing => builder.with_plan_source(Unreachable),
            From::Store => builder.with_stored_plans(),
        };
        let builder = builder.with_clock(clock).with_on_store_error(self.on_store_error);
        let builder = builder.with_queue_size(self.queue_size.unwrap_or(usize::MAX));
        let builder = if self.remembers_denials { builder.with_denials(20) } else { builder };
        let service = builder.build();
        let usage = UsageApi::new(&service).with_answers(self.answers.clone());
        let usage = usage.with_operator_token(OperatorToken::new("s3cret").unwrap());
        let usage = match self.named {
            Named::Header => usage.with_client_header(&HeaderName::from_static("x-client-id")),
            Named::Extension | Named::Function | Named::Waiting => usage,
        };
        (Arc::new(service), usage)
    }
}
