//! A source of plans that says what a test tells it to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use quota_service::{ClientId, Plan, PlanSource, Source};
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Told(Arc<Inner>);

struct Inner {
    plans: Mutex<HashMap<ClientId, Arc<Plan>>>,
    asked: AtomicUsize,
    failing: AtomicBool,
    waiting: watch::Sender<bool>,
    /// 0: changes are not noticed.
    generation: AtomicU64,
}

impl Told {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            plans: Mutex::default(),
            asked: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            waiting: watch::Sender::new(false),
            generation: AtomicU64::new(0),
        }))
    }

    pub(crate) fn set(&self, client: ClientId, plan: Plan) {
        self.0.plans.lock().unwrap().insert(client, Arc::new(plan));
    }

    pub(crate) fn remove(&self, client: &ClientId) {
        self.0.plans.lock().unwrap().remove(client);
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.0.failing.store(failing, Ordering::SeqCst);
    }

    /// Keeps answers back until it is told not to.
    pub(crate) fn wait(&self, waiting: bool) {
        self.0.waiting.send_replace(waiting);
    }

    /// Notices changes from here on.
    pub(crate) fn set_generation(&self, generation: u64) {
        self.0.generation.store(generation, Ordering::SeqCst);
    }

    /// How often it was asked for a plan.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl PlanSource for Told {
    async fn plan(&self, client: &ClientId) -> Result<Option<Arc<Plan>>, Source> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        self.0.waiting.subscribe().wait_for(|waiting| !waiting).await?;
        if self.0.failing.load(Ordering::SeqCst) {
            return Err("the application's database is down".into());
        }
        Ok(self.0.plans.lock().unwrap().get(client).cloned())
    }

    fn generation(&self) -> Option<u64> {
        Some(self.0.generation.load(Ordering::SeqCst)).filter(|generation| *generation != 0)
    }
}
