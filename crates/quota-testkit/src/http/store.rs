//! A memory store that can fail, or be full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Operation, Refusal, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};
use quota_store_memory::MemoryStore;
use tokio::sync::watch;

/// A memory store that does as it is told.
pub(super) struct Failing {
    store: MemoryStore,
    orders: Arc<Orders>,
}

/// What a store is told to do.
#[derive(Default)]
pub(super) struct Orders {
    /// Whether it does not answer.
    pub(super) fails: AtomicBool,
    /// Whether it remembers no more ids, as one with quarters does of a client that has used very many.
    pub(super) is_full: AtomicBool,
    /// How often it does not void what it is to.
    pub(super) voids_in_vain: AtomicUsize,
    /// How often it was to void something.
    pub(super) voids: AtomicUsize,
    /// How often it was asked and waited for.
    pub(super) asked: AtomicUsize,
    /// What it does when a hold is to be settled.
    pub(super) on_settle: watch::Sender<OnSettle>,
}

/// What a store does when a hold is to be settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnSettle {
    #[default]
    Answers,
    /// Settles it, and keeps the answer back.
    KeepsItsAnswer,
    /// Settles it, and says that it is not known.
    LosesItsAnswer,
}

impl Orders {
    /// Whether this void is in vain.
    fn voids_in_vain(&self) -> bool {
        self.voids_in_vain.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok()
    }

    async fn settled(&self, answers: Vec<Result<Answer, StoreError>>) -> Vec<Result<Answer, StoreError>> {
        // The sender lives in `self`, so waiting does not fail.
        let _ = self.on_settle.subscribe().wait_for(|now| *now != OnSettle::KeepsItsAnswer).await;
        if *self.on_settle.borrow() != OnSettle::LosesItsAnswer {
            return answers;
        }
        let lost = || StoreError::Unknown { message: "as asked".to_owned(), source: None };
        answers.iter().map(|_| Err(lost())).collect()
    }
}

impl Failing {
    pub(super) const fn new(store: MemoryStore, orders: Arc<Orders>) -> Self {
        Self { store, orders }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.orders.fails.load(Ordering::SeqCst) {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(StoreError::not_done("redis://:pass@10.0.0.7", refused));
        }
        Ok(())
    }

    /// Whether there is no room for the id of what a request would add.
    fn is_full_for(&self, request: &Request) -> bool {
        let is_added = match &request.operation {
            Operation::Charge { id, .. } | Operation::Record { id, .. } | Operation::Hold { id, .. } => {
                id.as_id().is_some()
            }
            _ => false,
        };
        is_added && self.orders.is_full.load(Ordering::SeqCst)
    }

    async fn answers(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            if let Operation::Void { .. } = &request.operation {
                self.orders.voids.fetch_add(1, Ordering::SeqCst);
            }
            if self.is_full_for(&request) {
                answers.push(Err(StoreError::Refused(Refusal::TooManyIds)));
            } else if matches!(request.operation, Operation::Void { .. }) && self.orders.voids_in_vain() {
                answers.push(Err(StoreError::NotDone { message: "as asked".to_owned(), source: None }));
            } else if let Operation::Settle { .. } = &request.operation {
                answers.extend(self.orders.settled(self.store.apply(vec![request]).await).await);
            } else {
                answers.extend(self.store.apply(vec![request]).await);
            }
        }
        answers
    }
}

#[async_trait]
impl PlanStore for Failing {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        self.check()?;
        self.store.stored_plan(client).await
    }
}

impl UsageStore for Failing {
    fn dispatch(&self) -> Dispatch {
        self.store.dispatch()
    }

    fn detail(&self) -> Detail {
        self.store.detail()
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.store.is_held(client)
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        self.check().ok().and_then(|()| self.store.charge_now(charge))
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        self.orders.asked.fetch_add(1, Ordering::SeqCst);
        match self.check() {
            Ok(()) => self.answers(batch).await,
            Err(error) => batch.iter().map(|_| Err(error.again())).collect(),
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.check()?;
        self.store.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.check()?;
        self.store.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.check()?;
        self.store.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.check()?;
        self.store.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.check()?;
        self.store.prune(before).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.check()?;
        self.store.server_time().await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.check()
    }
}
