//! The store.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures_util::future::join_all;
use mongodb::bson::{DateTime, Document, doc};
use parking_lot::Mutex;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Plan, PlanVersion, Window};
use quota_service::{
    Batch, ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, HeldClients, KeptAccounts, PlainCharge,
    PlanStore, Pruned, Receipt, Request, RoomForIds, StoreError, StoredPlan, UsageStore,
};

use crate::builder::MongoBuilder;
use crate::client_run::ClientRun;
use crate::connect_error::ConnectError;
use crate::drainer::Drainer;
use crate::fields::{corrupt, number, optional_document, text};
use crate::server;
use crate::settings::Settings;
use crate::stored::Stored;
use crate::tables::{CallError, Tables};
use crate::together::Together;

/// Keeps usage and plans in MongoDB, which any number of stores in any number of processes may share.
///
/// Each client's part of a batch is one change of one document, if that still has the version that the answers rest on.
/// What it leaves for the ledger stands in the same document until it is written there.
pub struct MongoStore {
    pub(crate) settings: Settings,
    pub(crate) tables: Tables,
    pub(crate) kept: KeptAccounts<Stored>,
    pub(crate) drainer: Arc<Drainer>,
    pub(crate) dispatch: Dispatch,
    /// The clients whose turns were waited for.
    pub(crate) held: HeldClients,
    pub(crate) room_for_ids: RoomForIds,
}

impl MongoStore {
    /// Connects to the servers at `url` with the defaults of [`MongoBuilder`].
    ///
    /// # Errors
    /// [`ConnectError`]; it never repeats the URL.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        MongoBuilder::new(url).connect().await
    }

    /// Begins to choose how the servers at `url` are to be used.
    pub fn builder(url: impl Into<String>) -> MongoBuilder {
        MongoBuilder::new(url)
    }

    /// Has what commits left written into the ledger, and remembers the accounts for the next batch. What takes something out or
    /// changes older sums is waited for, since the next commit would have to; and so is what other processes that want the account
    /// would carry along until it stands.
    async fn keep(&self, committed: Vec<(&ClientId, Stored)>) {
        let mut parts = Vec::new();
        for (client, stored) in &committed {
            let due = stored.outbox.due(stored.seq);
            if stored.is_partial {
                // Handed over where it was charged.
            } else if stored.is_contended || stored.outbox.is_ordered() {
                parts.extend(due.map(|part| (*client, part)));
            } else {
                self.drainer.hand_over(client, due.cloned().collect());
            }
        }
        // They are committed whatever becomes of this: where it fails, whoever comes next does it.
        if let Err(error) = self.tables.write_parts(&parts).await {
            tracing::debug!(?error, "what was committed does not stand in the ledger yet");
        }
        for (client, stored) in committed {
            if !stored.version.is_empty() {
                self.kept.put(client, stored);
            }
        }
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl UsageStore for MongoStore {
    fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    fn detail(&self) -> Detail {
        Detail::Entries
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    fn is_held(&self, client: &ClientId) -> bool {
        self.held.is_held(client)
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        self.apply_batch(batch, None).await
    }

    async fn apply_with_receipt(&self, batch: Vec<Request>, receipt: &Receipt) -> Vec<Result<Answer, StoreError>> {
        self.apply_batch(batch, Some(receipt)).await
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        self.sum_of(client, range).await
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        self.days_of(client, query).await
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        self.page_of(client, query).await
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        self.list_clients(query).await
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.prune_before(before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        self.tables.finish_deletion(client).await?;
        // What this process keeps still says what is dead.
        drop(self.kept.take(client));
        Ok(())
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        server::time(&self.tables).await.map(Some)
    }

    async fn health(&self) -> Result<(), StoreError> {
        // A write, by a majority: a secondary, a primary without followers and a full disk refuse it.
        let note = doc! { "q": { "_id": "health" }, "u": { "$set": { "at": DateTime::now() } }, "upsert": true };
        self.tables.update(&self.tables.schema, vec![note]).await.map(|_| ()).map_err(CallError::of_read)
    }
}

impl MongoStore {
    async fn apply_batch(&self, batch: Vec<Request>, receipt: Option<&Receipt>) -> Vec<Result<Answer, StoreError>> {
        let batch = Batch::new(batch);
        let answers = Mutex::new(batch.answers());
        self.drainer.room().await;
        let together = Together::new(&self.tables);
        let run =
            |client| ClientRun { store: self, together: &together, client, finishing_until: OnceLock::new(), receipt };
        let runs: Vec<_> = batch.clients().map(|requests| (run(requests.client()), requests)).collect();
        let answering = runs.iter().map(|(run, requests)| async {
            let stored = run.answer(*requests, &answers).await?;
            Some((run.client, stored))
        });
        let committed = together.drive(join_all(answering)).await.into_iter().flatten().collect();
        self.keep(committed).await;
        answers.into_inner().finish()
    }
}

#[async_trait]
impl PlanStore for MongoStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        let found = self.tables.get(&self.tables.accounts, client.as_str(), Some(doc! { "p": 1 })).await?;
        match found.as_ref().map(|found| optional_document(found, "p")).transpose()?.flatten() {
            None => Ok(StoredPlan::default()),
            Some(plan) => read_plan(plan),
        }
    }
}

fn read_plan(stored: &Document) -> Result<StoredPlan, StoreError> {
    let version = u64::from_ne_bytes(number(stored, "v")?.to_ne_bytes());
    let version = version.try_into().map_err(|_| corrupt("a plan's version", version))?;
    let plan: Plan = serde_json::from_str(text(stored, "q")?).map_err(|error| StoreError::corrupt("a plan", error))?;
    Ok(StoredPlan { plan: Some(Arc::new(plan)), version: Some(PlanVersion::new(version)) })
}
