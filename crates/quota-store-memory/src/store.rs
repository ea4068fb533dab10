//! The store.

use std::collections::BinaryHeap;
use std::fmt;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::mem;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;
use quota_core::{Answer, ClientId, Credits, DayUsage, Days, Decision, Detail, Instant, Refusal, Window, quarter_of};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};

use crate::entries::Place;
use crate::ledger::{Keeping, Ledger};
use crate::record::Record;
use crate::shard::Shard;

/// Accounts, ledgers and plans in this process's memory, gone with it.
///
/// Clients are spread over shards, each behind a lock that is held for one operation and never across an await. By
/// default the ledger keeps quarters: memory grows with clients, active quarters of an hour and recent ids, not with
/// requests.
pub struct MemoryStore {
    shards: Box<[Shard]>,
    hasher: DefaultHashBuilder,
    keeping: Keeping,
}

/// Sets up a [`MemoryStore`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct MemoryStoreBuilder {
    shards: usize,
    keeping: Keeping,
}

impl MemoryStore {
    /// An empty store that keeps quarters.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An empty store that keeps every entry.
    #[must_use]
    pub fn with_entries() -> Self {
        Self::builder().with_detail(Detail::Entries).build()
    }

    /// Begins to set up a store.
    pub fn builder() -> MemoryStoreBuilder {
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        let keeping = Keeping { detail: Detail::Quarters, ids_for: Duration::from_secs(24 * 3_600), retention: None };
        MemoryStoreBuilder { shards: cores.saturating_mul(32), keeping }
    }

    fn hash(&self, client: &ClientId) -> u64 {
        self.hasher.hash_one(client.as_str())
    }

    #[expect(clippy::indexing_slicing, reason = "the number of shards is a power of two, and the mask is less by one")]
    fn shard(&self, hash: u64) -> &Shard {
        // The table uses the lowest and the highest bits.
        let number = usize::try_from((hash >> 24) & u64::from(u32::MAX)).unwrap_or_default();
        &self.shards[number & (self.shards.len() - 1)]
    }

    fn read<T>(&self, client: &ClientId, read: impl FnOnce(&Record) -> T) -> Option<T> {
        let hash = self.hash(client);
        self.shard(hash).lock().find(hash, client).map(read)
    }

    /// Reads a range of a client's ledger; none where nothing is kept of the client.
    fn read_range<T>(
        &self,
        client: &ClientId,
        range: Window,
        read: impl FnOnce(&Ledger) -> T,
    ) -> Result<Option<T>, StoreError> {
        let read = self.read(client, |record| {
            record.ledger.check_range(self.keeping, range)?;
            Ok::<_, Refusal>(read(&record.ledger))
        });
        match read {
            Some(read) => Ok(Some(read?)),
            None => Ok(self.keeping.terms().check_range(range).map(|()| None)?),
        }
    }

    fn apply_one(&self, request: &Request) -> Result<Answer, StoreError> {
        let hash = self.hash(&request.client);
        self.shard(hash).lock().apply(hash, request, self.keeping, |client| self.hash(client))
    }

    fn prune_shard(&self, shard: &Shard, before: Instant) -> Pruned {
        let mut pruned = Pruned::default();
        // Its lock is held for one client, not for all.
        let clients = shard.lock().clients();
        for client in clients {
            let mut records = shard.lock();
            let Some(record) = records.find_mut(self.hash(&client), &client) else { continue };
            pruned.entries = pruned.entries.saturating_add(record.ledger.fold(before));
            pruned.ids = pruned.ids.saturating_add(record.ledger.forget_ids(before, self.keeping));
            record.ledger.forget_sums(before, self.keeping);
        }
        pruned
    }
}

impl MemoryStoreBuilder {
    /// How much the ledger remembers; [`Detail::Quarters`] by default.
    pub const fn with_detail(mut self, detail: Detail) -> Self {
        self.keeping.detail = detail;
        self
    }

    /// For how long a ledger with quarters remembers ids, counted from when they were written; 24 hours by default.
    pub const fn with_ids_for(mut self, duration: Duration) -> Self {
        self.keeping.ids_for = duration;
        self
    }

    /// For how long sums are kept; for ever by default. A pruning forgets older ones, and what was used then is read back
    /// as nothing. A plan with a window that may last longer ([`quota_core::Period::longest`]) is refused.
    pub const fn with_retention(mut self, retention: Duration) -> Self {
        self.keeping.retention = Some(retention);
        self
    }

    /// Into how many shards clients are spread, rounded up to a power of two, at most 65,536; 32 for each core by
    /// default.
    pub const fn with_shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// The store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let shards = self.shards.clamp(1, 65_536).next_power_of_two();
        MemoryStore {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            keeping: self.keeping,
        }
    }
}

impl UsageStore for MemoryStore {
    fn dispatch(&self) -> Dispatch {
        Dispatch::Direct
    }

    fn detail(&self) -> Detail {
        self.keeping.detail
    }

    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision> {
        let hash = self.hash(charge.client);
        self.shard(hash).lock().find_mut(hash, charge.client)?.charge_now(charge, self.keeping)
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        batch.iter().map(|request| self.apply_one(request)).collect()
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.read_range(client, range, |ledger| ledger.total(range)).map(Option::unwrap_or_default)
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let days = || Days::new(query.range, query.zone, query.by);
        let daily = |ledger: &Ledger| ledger.daily(query.range, days(), self.keeping).finish();
        self.read_range(client, query.range, daily).map(Option::unwrap_or_default)
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let after = query.after.as_deref().map(|text| read_cursor(text, query.range)).transpose()?;
        let limit = query.limit.max(1);
        let page = self.read(client, |record| record.ledger.page(query.range, after, limit.saturating_add(1)));
        let mut page = page.unwrap_or_default();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|((at, number), _)| format!("{}.{number}", at.millis()));
        Ok(EntriesPage { entries: page.into_iter().map(|(_, entry)| entry).collect(), next })
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        // Each shard stops where the page that the others have filled ends: what a page costs does not grow with the number
        // of clients, wherever in the list it is.
        let mut page = BinaryHeap::new();
        for shard in &self.shards {
            shard.lock().list(query, query.limit.max(1), &mut page);
        }
        Ok(page.into_sorted_vec())
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        for shard in &self.shards {
            let one = self.prune_shard(shard, quarter_of(before));
            pruned.entries = pruned.entries.saturating_add(one.entries);
            pruned.ids = pruned.ids.saturating_add(one.ids);
            let_others_run().await;
        }
        Ok(pruned)
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        Ok(None)
    }

    async fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl PlanStore for MemoryStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        Ok(self.read(client, Record::stored_plan).unwrap_or_default())
    }
}

/// Gives this thread to whoever else is ready, once.
async fn let_others_run() {
    let mut they_ran = false;
    poll_fn(|context| {
        if mem::replace(&mut they_ran, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Reads a cursor that was given out for this range.
fn read_cursor(text: &str, range: Window) -> Result<Place, StoreError> {
    let read = || {
        let (at, number) = text.split_once('.')?;
        Some((Instant::from_millis(at.parse().ok()?).ok()?, number.parse().ok()?))
    };
    read().filter(|(at, _)| range.contains(*at)).ok_or(StoreError::Refused(Refusal::InvalidCursor))
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("shards", &self.shards.len()).field("keeping", &self.keeping).finish()
    }
}
