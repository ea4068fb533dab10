//! A store that waits, fails or panics on demand.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Window};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};
use tokio::sync::watch;

/// What a [`Gated`] store does with its next batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Applies them.
    Open,
    /// Keeps them back, as a network does that delays the request.
    HeldBefore,
    /// Applies them and keeps the answers back, as a network does that delays the response.
    HeldAfter,
    /// Does nothing and says so.
    NotDone,
    /// Applies them and says that it is not known.
    UnknownDone,
    /// Does nothing and says that it is not known.
    UnknownUndone,
    /// Panics.
    Panics,
}

/// A store behind a [`Gate`]. It takes batches through one lane, as a store behind a network does.
#[derive(Debug)]
pub struct Gated<S> {
    inner: S,
    keeper: Arc<Keeper>,
}

/// Sets the gate, and knows how many batches are held.
#[derive(Debug)]
pub struct Keeper {
    gate: watch::Sender<Gate>,
    held: watch::Sender<usize>,
    /// By how many milliseconds the server's clock is ahead of what the server says.
    server_ahead: AtomicU64,
}

impl Keeper {
    /// From here on.
    pub fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// Waits until so many batches are held.
    pub async fn held(&self, count: usize) {
        // The sender lives in `self`, so waiting does not fail.
        let _ = self.held.subscribe().wait_for(|held| *held == count).await;
    }

    /// Lets the store's server, if it has one, say that it is so much later, as if this machine's clock were behind it.
    pub fn set_server_ahead(&self, by: Duration) {
        self.server_ahead.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    async fn stay(&self, gate: Gate) -> Gate {
        let mut seen = self.gate.subscribe();
        if *seen.borrow_and_update() == gate {
            self.held.send_modify(|held| *held = held.saturating_add(1));
            let _ = seen.wait_for(|now| *now != gate).await;
            self.held.send_modify(|held| *held = held.saturating_sub(1));
        }
        *seen.borrow()
    }
}

impl<S> Gated<S> {
    /// Over this store, with the gate open.
    #[must_use]
    pub fn new(inner: S) -> (Self, Arc<Keeper>) {
        let (gate, held) = (watch::Sender::new(Gate::Open), watch::Sender::new(0));
        let keeper = Arc::new(Keeper { gate, held, server_ahead: AtomicU64::new(0) });
        (Self { inner, keeper: Arc::clone(&keeper) }, keeper)
    }

    fn reading(&self) -> Result<(), StoreError> {
        match *self.keeper.gate.borrow() {
            Gate::NotDone | Gate::UnknownDone | Gate::UnknownUndone => Err(not_done()),
            _ => Ok(()),
        }
    }
}

fn not_done() -> StoreError {
    StoreError::NotDone { message: "as asked".to_owned(), source: None }
}

fn unknown(count: usize) -> Vec<Result<Answer, StoreError>> {
    (0..count).map(|_| Err(StoreError::Unknown { message: "as asked".to_owned(), source: None })).collect()
}

impl<S: UsageStore> UsageStore for Gated<S> {
    fn dispatch(&self) -> Dispatch {
        Dispatch::Batched { lanes: NonZeroUsize::MIN, max_batch: NonZeroUsize::MIN.saturating_add(63), hot: None }
    }

    fn detail(&self) -> Detail {
        self.inner.detail()
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.inner.is_held(client)
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    #[expect(clippy::panic, reason = "as asked")]
    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let count = batch.len();
        match self.keeper.stay(Gate::HeldBefore).await {
            Gate::NotDone => (0..count).map(|_| Err(not_done())).collect(),
            Gate::UnknownUndone => unknown(count),
            Gate::UnknownDone => {
                self.inner.apply(batch).await;
                unknown(count)
            }
            Gate::Panics => panic!("as asked"),
            Gate::Open | Gate::HeldBefore => self.inner.apply(batch).await,
            Gate::HeldAfter => {
                let answers = self.inner.apply(batch).await;
                self.keeper.stay(Gate::HeldAfter).await;
                answers
            }
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.reading()?;
        self.inner.total(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.reading()?;
        self.inner.daily(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.reading()?;
        self.inner.entries(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.reading()?;
        self.inner.clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.reading()?;
        self.inner.prune(before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        self.reading()?;
        self.inner.finish_deletion(client).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        self.reading()?;
        let ahead = Duration::from_millis(self.keeper.server_ahead.load(Ordering::SeqCst));
        Ok(self.inner.server_time().await?.map(|time| time.saturating_add(ahead)))
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.reading()?;
        self.inner.health().await
    }
}

#[async_trait]
impl<S: PlanStore> PlanStore for Gated<S> {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        match *self.keeper.gate.borrow() {
            Gate::NotDone | Gate::UnknownDone | Gate::UnknownUndone => return Err(not_done()),
            _ => {}
        }
        self.inner.stored_plan(client).await
    }
}
