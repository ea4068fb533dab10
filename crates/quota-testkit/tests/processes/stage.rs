//! Where operations are under way in one process while another goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quota_core::{ClientId, Credits, Decision, OperationId, Ttl, Window};
use quota_service::{AnyStore, Charge, Holding, QuotaService, ServiceError};
use quota_testkit::{operation_id, past_entry, word};

use crate::ground::{Ground, known, plan};

/// One client and a process beside the one that is stopped or killed. Nothing that it does is in doubt, so that what is there
/// says what the other one did.
pub(crate) struct Stage {
    pub(crate) service: QuotaService<AnyStore>,
    pub(crate) client: ClientId,
    /// Which time it is.
    round: u32,
    rivals: bool,
    /// What it was answered that it had to try again, as nothing was done.
    in_vain: AtomicUsize,
    longest: Duration,
}

impl Stage {
    /// With a client that has no limit.
    pub(crate) async fn new(ground: &Ground) -> Self {
        ground.set_plans(1, "unlimited").await;
        let (service, client) = (Self::open(ground).await, ground.client(0));
        Self { service, client, round: 0, rivals: false, in_vain: AtomicUsize::new(0), longest: Duration::ZERO }
    }

    async fn open(ground: &Ground) -> QuotaService<AnyStore> {
        let store = quota_stores::connect(ground.url()).await.expect("the store opens");
        QuotaService::builder(store).with_stored_plans().with_deadline(Duration::from_secs(60)).build()
    }

    /// In the place of a process whose connections were cut.
    pub(crate) async fn reopen(&mut self, ground: &Ground) {
        self.service = Self::open(ground).await;
    }

    pub(crate) fn begin_round(&mut self) {
        (self.round, self.rivals) = (self.round + 1, fastrand::bool());
    }

    /// How many there were, with this one.
    pub(crate) const fn round(&self) -> u32 {
        self.round
    }

    /// Whether the other process does the same this time.
    pub(crate) const fn rivals(&self) -> bool {
        self.rivals
    }

    /// An id of this round's.
    pub(crate) fn id(&self, name: impl std::fmt::Display) -> OperationId {
        operation_id(&format!("{}.{name}", self.round))
    }

    /// Waits for what others do meanwhile, and notes how long that took.
    pub(crate) async fn timed(&mut self, meanwhile: impl AsyncFnOnce(&Self)) {
        let began = Instant::now();
        meanwhile(self).await;
        self.longest = self.longest.max(began.elapsed());
    }

    /// How long others have waited at most, and how often in vain.
    pub(crate) fn waited(&self) -> (Duration, usize) {
        (self.longest, self.in_vain.load(Ordering::SeqCst))
    }

    /// Charges by one; whether it was there before.
    pub(crate) async fn charge(&self, id: &OperationId) -> bool {
        let charge = || Charge::new(Credits::ONE).with_id(id.clone());
        let decision = self.insist(async || self.service.charge_with(&self.client, charge()).await).await;
        match word(&decision) {
            "allowed" => false,
            "replayed" => true,
            other => panic!("{id}: {other}"),
        }
    }

    pub(crate) async fn void(&self, id: &OperationId) -> bool {
        self.insist(async || self.service.void(&self.client, id).await).await.unwrap()
    }

    /// Holds one credit, for longer than any test takes; whether it was held before.
    pub(crate) async fn hold(&self, id: &OperationId) -> bool {
        let charge = || Charge::new(Credits::ONE).with_id(id.clone());
        match self.insist(async || self.service.hold(&self.client, charge(), Ttl::DEFAULT).await).await.unwrap() {
            Holding::Held(guard) => {
                let was_held = matches!(guard.decision(), Decision::Allowed(allowed) if allowed.replayed());
                assert_eq!(&guard.detach(), id);
                was_held
            }
            other => panic!("{id}: {other:?}"),
        }
    }

    pub(crate) async fn settle(&self, id: &OperationId) -> &'static str {
        word(&self.insist(async || self.service.settle(&self.client, id, Credits::ONE).await).await)
    }

    pub(crate) async fn release(&self, id: &OperationId) -> &'static str {
        word(&self.insist(async || self.service.release(&self.client, id).await).await)
    }

    pub(crate) async fn held(&self) -> Credits {
        let status = self.insist(async || self.service.status(&self.client).await).await.unwrap();
        status.quotas().as_slice()[0].held()
    }

    /// Sets a plan of this limit.
    pub(crate) async fn limit(&self, limit: &str) {
        self.insist(async || self.service.set_plan(&self.client, plan(limit)).await).await.unwrap();
    }

    /// Whether the plan that is stored has this limit; none where there is no plan.
    pub(crate) async fn has_limit(&self, limit: Option<&str>) -> bool {
        self.service.plan(&self.client).await.unwrap().as_deref() == limit.map(plan).as_ref()
    }

    /// Adds entries of one credit each, so many milliseconds after this instant; how many were new.
    pub(crate) async fn backfill(&self, from: quota_core::Instant, entries: &[(OperationId, u64)]) -> usize {
        let mut added = 0;
        for some in entries.chunks(quota_core::Operation::MAX_BACKFILL) {
            let past = |(id, after): &(OperationId, u64)| {
                past_entry(id.as_str(), from.saturating_add(Duration::from_millis(*after)), Credits::ONE)
            };
            let past: Vec<_> = some.iter().map(past).collect();
            let done = self.insist(async || self.service.backfill(&self.client, past.clone()).await).await.unwrap();
            added += count(done.added);
        }
        added
    }

    pub(crate) async fn delete(&self, range: Window) -> usize {
        count(self.insist(async || self.service.delete_usage(&self.client, range).await).await.unwrap())
    }

    /// Of all clients.
    pub(crate) async fn prune(&self, before: quota_core::Instant) -> usize {
        let pruned = self.insist(async || self.service.prune(before).await).await.unwrap();
        count(pruned.entries)
    }

    /// How many entries of one credit a range has.
    pub(crate) async fn total(&self, range: Window) -> usize {
        let total = self.insist(async || self.service.total_usage(&self.client, range).await).await.unwrap();
        count(u64::try_from(total.micros()).unwrap() / 1_000_000)
    }

    /// How many of these there are entries of.
    pub(crate) async fn known(&self, ids: &[OperationId]) -> usize {
        known(&self.service, &self.client, ids).await.len()
    }

    /// Asks again where nothing was done: some servers take longer to take a lock from a process that is stopped than others
    /// wait for it.
    pub(crate) async fn insist<T>(&self, ask: impl AsyncFn() -> Result<T, ServiceError>) -> Result<T, ServiceError> {
        loop {
            match ask().await {
                Err(ServiceError::NotDone { .. } | ServiceError::DeadlineQueued) => {
                    self.in_vain.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                done => return done,
            }
        }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
