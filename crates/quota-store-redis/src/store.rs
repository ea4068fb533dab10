//! The store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use quota_core::{Answer, ClientId, Credits, DayUsage, Decision, Detail, Instant, Plan, PlanVersion, Window};
use quota_service::{
    Batch, ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, HeldClients, KeptAccounts, PlainCharge,
    PlanStore, Pruned, Receipt, Request, RoomForIds, StoreError, StoredPlan, UsageStore,
};

use crate::account_list::{AccountList, list_command};
use crate::builder::RedisBuilder;
use crate::call_error::CallError;
use crate::client_run::ClientRun;
use crate::connect_error::ConnectError;
use crate::entry_text::corrupt;
use crate::gathering::Gathering;
use crate::keys::{Key, KeyPrefix, LISTS};
use crate::link::Link;
use crate::script::CommitScript;
use crate::server;
use crate::settings::Settings;
use crate::stored::Stored;
use crate::target::Target;
use crate::values::{array, text, texts};

/// Keeps usage and plans in Redis or Valkey, which any number of stores in any number of processes may share.
///
/// Each client's part of a batch is one call of one script that writes account and ledger in one step, if the account
/// still has the version that the answers rest on. Nothing is tried again but what certainly was not done.
pub struct RedisStore {
    pub(crate) settings: Settings,
    pub(crate) link: Link,
    pub(crate) script: CommitScript,
    pub(crate) kept: KeptAccounts<Box<Stored>>,
    pub(crate) held: HeldClients,
    pub(crate) room_for_ids: RoomForIds,
    dispatch: Dispatch,
}

impl RedisStore {
    /// Connects to the servers at `url` with the defaults of [`RedisBuilder`]. The query of the URL may choose
    /// `detail=entries`, `prefix=…` and `allowed_eviction=…`.
    ///
    /// # Errors
    /// [`ConnectError`]; it never repeats the URL.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        RedisBuilder::new(url).connect().await
    }

    /// Begins to choose how the servers at `url` are to be used.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url)
    }

    /// Whether there is one of this prefix. Nothing is written.
    pub(crate) async fn is_made(builder: &RedisBuilder) -> Result<bool, ConnectError> {
        let target = Target::parse(&builder.url)?;
        let link = Self::link(builder, &target, &builder.settings.prefix).await?;
        server::check(link.beside_batches(), allowed_eviction(builder, &target)).await?;
        let prefix = target.prefix.filter(|_| !builder.has_prefix);
        server::has_format(link.beside_batches(), prefix.as_ref().unwrap_or(&builder.settings.prefix)).await
    }

    async fn link(builder: &RedisBuilder, target: &Target, prefix: &KeyPrefix) -> Result<Link, ConnectError> {
        target.servers.check_database()?;
        let trusted = builder.trust.of(&target.servers)?;
        Ok(Link::open(&target.servers, &trusted, builder.connections.get(), builder.timeouts, prefix).await?)
    }

    pub(crate) async fn open(builder: RedisBuilder) -> Result<Self, ConnectError> {
        let target = Target::parse(&builder.url)?;
        let mut settings = builder.settings.clone();
        let detail = if builder.has_detail { Some(settings.detail) } else { target.detail };
        if !builder.has_prefix {
            settings.prefix = target.prefix.clone().unwrap_or(settings.prefix);
        }
        let link = Self::link(&builder, &target, &settings.prefix).await?;
        let wire = link.beside_batches();
        server::check(wire, allowed_eviction(&builder, &target)).await?;
        server::check_format(wire, &settings.prefix).await?;
        settings.detail = server::check_detail(wire, &settings.prefix, detail).await?;
        server::check_rights(wire, &settings.prefix, settings.wait.is_some()).await?;
        let dispatch = Dispatch::Batched { lanes: builder.lanes, max_batch: builder.max_batch, hot: Some(builder.hot) };
        let kept = KeptAccounts::new(builder.kept_accounts);
        let script = CommitScript::new(settings.detail);
        let (held, room_for_ids) = (HeldClients::default(), RoomForIds::default());
        Ok(Self { settings, link, script, kept, held, room_for_ids, dispatch })
    }
}

/// Beside `noeviction`.
fn allowed_eviction<'a>(builder: &'a RedisBuilder, target: &'a Target) -> Option<&'a str> {
    builder.allowed_eviction.as_deref().or(target.allowed_eviction.as_deref())
}

impl RedisStore {
    async fn apply_batch(&self, batch: Vec<Request>, receipt: Option<&Receipt>) -> Vec<Result<Answer, StoreError>> {
        let batch = Batch::new(batch);
        let answers = Mutex::new(batch.answers());
        let is_alone = batch.clients().nth(1).is_none();
        let is_silent =
            |client: &ClientId| self.link.is_silent(|| self.settings.prefix.client(client).name(Key::Account));
        let waits_alone = is_alone && batch.clients().any(|requests| is_silent(requests.client()));
        let gathering = Gathering::new(self.link.for_batch(waits_alone));
        let run = |requests| ClientRun::new(self, &gathering, requests, is_alone, receipt);
        let runs: Vec<_> = batch.clients().map(|requests| (run(requests), requests)).collect();
        gathering.run(join_all(runs.iter().map(|(run, requests)| run.answer(*requests, &answers)))).await;
        answers.into_inner().finish()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl UsageStore for RedisStore {
    fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    fn detail(&self) -> Detail {
        self.settings.detail
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    fn is_held(&self, client: &ClientId) -> bool {
        let account = || self.settings.prefix.client(client).name(Key::Account);
        self.held.is_held(client) || self.link.is_silent(account)
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
        Ok(self.list_clients(query).await?.clients)
    }

    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        self.prune_before(before).await
    }

    async fn finish_deletion(&self, client: &ClientId) -> Result<(), StoreError> {
        self.take_out_dead(client).await
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        let answer = self.link.beside_batches().call(&redis::cmd("TIME")).await.map_err(CallError::of_read)?;
        let mut parts = array(answer)?.into_iter();
        let mut part = || text(parts.next()?).ok().flatten()?.parse::<i64>().ok();
        let millis = part().zip(part()).and_then(|(seconds, micros)| {
            let millis = seconds.checked_mul(1_000)?.checked_add(micros / 1_000)?;
            Instant::from_millis(millis).ok()
        });
        millis.map(Some).ok_or_else(|| corrupt("the server's time", "no instant"))
    }

    async fn health(&self) -> Result<(), StoreError> {
        // A write: a replica, a full memory and a full disk refuse it.
        let set = |key| {
            let mut set = redis::cmd("SET");
            set.arg(key).arg(1).arg("PX").arg(1_000);
            set
        };
        let (wire, prefix) = (self.link.beside_batches(), &self.settings.prefix);
        if !wire.is_cluster() {
            return wire.call(&set(prefix.health())).await.map(|_| ()).map_err(CallError::of_read);
        }
        // On the slots of the lists: as many primaries as they stand on. Those of a larger cluster are asked whether they are there.
        let everywhere: Vec<_> = (0..LISTS).map(|number| set(prefix.health_beside(number))).collect();
        wire.call_all(&everywhere).await.map_err(CallError::of_read)?;
        wire.call_every_primary(&redis::cmd("PING")).await.map(|_| ()).map_err(CallError::of_read)
    }
}

#[async_trait]
impl PlanStore for RedisStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        let keys = self.settings.prefix.client(client);
        let own = keys.name(Key::Account);
        let answers = self.link.beside_batches().read_all(vec![list_command(&keys)], &own).await;
        let list = texts(answers.map_err(CallError::of_read)?.pop().unwrap_or_default())?;
        match AccountList::read(&list)?.plan() {
            "" => Ok(StoredPlan::default()),
            text => read_plan(text).ok_or_else(|| corrupt("a plan", text)),
        }
    }
}

fn read_plan(text: &str) -> Option<StoredPlan> {
    let (version, quotas) = text.split_once(' ')?;
    let plan: Plan = serde_json::from_str(quotas).ok()?;
    Some(StoredPlan { plan: Some(Arc::new(plan)), version: Some(PlanVersion::new(version.parse().ok()?)) })
}
