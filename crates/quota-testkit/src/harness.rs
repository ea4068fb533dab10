//! What a case is given: a store that can be opened again, a clock, a namespace of its own.

use std::future::Future;
use std::sync::Arc;

use quota_core::{ClientId, Detail, Instant};
use quota_service::{AnyStore, ManualClock, PlanStore, QuotaService, QuotaServiceBuilder, UsageStore};

use crate::subject::Subject;

/// Opens a store, again and again on the same data.
pub trait StoreFactory: Send + Sync + 'static {
    /// What is tested.
    type Store: UsageStore + PlanStore;

    /// Another handle on the same data: what a second process would have.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;
}

/// The same stores behind [`AnyStore`].
#[derive(Debug)]
pub struct Boxed<F>(pub F);

impl<F: StoreFactory> StoreFactory for Boxed<F> {
    type Store = AnyStore;

    async fn open(&self) -> AnyStore {
        AnyStore::new(self.0.open().await)
    }
}

/// What a case is given. Clones share everything.
#[derive(Debug)]
pub struct Harness<F> {
    factory: Arc<F>,
    namespace: Arc<str>,
    clock: Arc<ManualClock>,
}

impl<F> Clone for Harness<F> {
    fn clone(&self) -> Self {
        Self {
            factory: Arc::clone(&self.factory),
            namespace: Arc::clone(&self.namespace),
            clock: Arc::clone(&self.clock),
        }
    }
}

impl<F: StoreFactory> Harness<F> {
    /// Noon of a day without peculiarities, where every case's clock stands at first.
    #[must_use]
    pub fn noon() -> Instant {
        crate::at("2024-03-15T12:00:00Z")
    }

    /// A harness in a namespace that no other run has.
    #[must_use]
    pub fn new(factory: Arc<F>) -> Self {
        let namespace = format!("{:08x}-", fastrand::u32(..)).into();
        Self { factory, namespace, clock: Arc::new(ManualClock::new(Self::noon())) }
    }

    /// The clock of every service that the harness makes.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What every client of this case begins with.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client of this case.
    ///
    /// # Panics
    /// Where `name` does not make a client id.
    #[must_use]
    pub fn client(&self, name: &str) -> ClientId {
        ClientId::new(format!("{}{name}", self.namespace)).expect("a client id")
    }

    /// Another handle on the data.
    pub async fn store(&self) -> F::Store {
        self.factory.open().await
    }

    /// A service to be set up over another handle on the data, with the case's clock and stored plans.
    pub async fn builder(&self) -> QuotaServiceBuilder<F::Store> {
        self.builder_over(self.store().await)
    }

    /// As [`Harness::builder`], over this store.
    pub fn builder_over<S: UsageStore + PlanStore>(&self, store: S) -> QuotaServiceBuilder<S> {
        // Long: a loaded machine is not what a case is about.
        let deadline = std::time::Duration::from_secs(60);
        let (clock, server) = (Arc::clone(&self.clock), Arc::clone(&self.clock));
        // The case's clock is the server's as well: a case is not about today.
        QuotaService::builder(store)
            .with_stored_plans()
            .with_clock(clock)
            .with_reference_clock(server)
            .with_deadline(deadline)
    }

    /// A service over another handle on the data: what a second process would have.
    pub async fn service(&self) -> QuotaService<F::Store> {
        self.builder().await.build()
    }

    /// A client of this case with a service of its own.
    pub async fn subject(&self, name: &str) -> Subject<F::Store> {
        self.subject_of(&self.service().await, name)
    }

    /// A client of this case, through this service.
    pub fn subject_of<S: UsageStore>(&self, service: &QuotaService<S>, name: &str) -> Subject<S> {
        Subject::new(service.clone(), self.client(name))
    }

    /// Whether the store keeps every entry.
    pub async fn keeps_entries(&self) -> bool {
        self.store().await.detail() == Detail::Entries
    }
}
