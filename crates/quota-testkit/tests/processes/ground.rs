//! Where processes meet.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use futures_util::future::join_all;
use quota_core::{ClientId, Credits, Detail, GroupBy, Plan, Refusal, Tz, Unit, Window};
use quota_servers::{PrivateServer, Server};
use quota_service::{AnyStore, Charge, DailyQuery, EntriesQuery, QuotaService, ServiceError, UsageStore};
use quota_testkit::{operation_id, quota_from, with_entries};
use tempfile::TempDir;

/// A store by its URL, and a prefix that no other test's clients have.
pub(crate) struct Ground {
    url: String,
    prefix: String,
    /// Ends with the test.
    pub(crate) server: Option<PrivateServer>,
    _folder: Option<TempDir>,
}

impl Ground {
    pub(crate) fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("quota.db").display());
        Some(Self { _folder: Some(folder), ..Self::at(url) })
    }

    /// A server that other tests use as well; none where nobody declared it.
    pub(crate) fn shared(server: Server) -> Option<Self> {
        quota_servers::url(server).map(|url| Self::at(with_entries(&url)))
    }

    /// A server of the test's own; none where it is not installed and not required.
    pub(crate) fn private(server: Server) -> Option<Self> {
        let private = quota_servers::private(server)?;
        let url = with_entries(private.url());
        Some(Self { server: Some(private), ..Self::at(url) })
    }

    fn at(url: String) -> Self {
        Self { url, prefix: format!("{}-", quota_servers::own_name()), server: None, _folder: None }
    }

    /// Another store on the same Redis, which keeps sums alone: a store's detail is chosen when it is made.
    pub(crate) fn with_sums(mut self) -> Self {
        self.url = self.url.replace("detail=entries", &format!("detail=quarters&prefix={}", self.prefix));
        self
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn keeps_entries(&self) -> bool {
        !self.choices().contains("detail=quarters")
    }

    /// What its URL chooses, with the question mark.
    pub(crate) fn choices(&self) -> &str {
        self.url.find('?').map_or("", |place| &self.url[place..])
    }

    pub(crate) fn client(&self, number: usize) -> ClientId {
        ClientId::new(format!("{}c{number}", self.prefix)).unwrap()
    }

    /// Another process.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Child {
        self.command(&self.url, arguments).stdin(Stdio::null()).spawn().expect("the worker starts")
    }

    /// Another process that is told lines, on the store at this URL.
    pub(crate) fn listener(&self, url: &str, arguments: &[&str]) -> Child {
        self.command(url, arguments).stdin(Stdio::piped()).spawn().expect("the worker starts")
    }

    fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quota-worker"));
        command.arg(url).args(["--prefix", &self.prefix]).args(arguments).stdout(Stdio::piped());
        command
    }

    pub(crate) async fn service(&self) -> QuotaService<AnyStore> {
        QuotaService::new(quota_stores::connect(&self.url).await.expect("the store opens"))
    }

    /// Gives clients this limit.
    pub(crate) async fn set_plans(&self, clients: usize, limit: &str) {
        let service = self.service().await;
        for number in 0..clients {
            service.set_plan(&self.client(number), plan(limit)).await.unwrap();
        }
    }
}

/// One window for all the time that a test can take.
pub(crate) fn plan(limit: &str) -> Plan {
    Plan::new([quota_from(Unit::Year, 50, limit, "2000-01-01T00:00:00Z", "UTC")]).unwrap()
}

/// The ids in a client's ledger, in order; none where the store keeps sums.
async fn ledger(service: &QuotaService<AnyStore>, client: &ClientId) -> Option<Vec<String>> {
    if service.store().detail() == Detail::Quarters {
        return None;
    }
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
        let page = service.entries(client, query).await.unwrap();
        ids.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
        after = page.next;
        if after.is_none() {
            return Some(ids);
        }
    }
}

/// Used, the total and the days are the same sum of entries of one credit, of which the ledger, where it is kept, lists some,
/// each id once; gives how many they are.
pub(crate) async fn sums(service: &QuotaService<AnyStore>, client: &ClientId) -> usize {
    read(service, client).await.0
}

/// The ledger, where it is kept, lists all of them as well.
pub(crate) async fn agreed(service: &QuotaService<AnyStore>, client: &ClientId) -> usize {
    let (count, listed) = read(service, client).await;
    assert_eq!(listed.unwrap_or(count), count, "the ledger is another");
    count
}

/// How many entries there are, and how many are listed. What a process sent before it was killed may be done by the server after
/// that: then all is read again.
async fn read(service: &QuotaService<AnyStore>, client: &ClientId) -> (usize, Option<usize>) {
    let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
    loop {
        let before = used(service, client).await;
        let total = service.total_usage(client, Window::ALL).await.unwrap();
        let days = service.daily_usage(client, query).await.unwrap();
        let ids = ledger(service, client).await;
        if used(service, client).await != before {
            continue;
        }
        let sum: i64 = days.iter().map(|day| day.credits.micros()).sum();
        let entries: u64 = days.iter().map(|day| day.entries).sum();
        let all = (before.micros(), sum, Credits::new(entries).unwrap());
        assert_eq!(all, (total.micros(), total.micros(), total), "used, days, entries");
        let count = usize::try_from(entries).unwrap();
        if let Some(ids) = &ids {
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id stands twice");
            assert!(ids.len() <= count, "more in the ledger than in the sums");
        }
        return (count, ids.map(|ids| ids.len()));
    }
}

/// Which of these ids there are entries of. Where the ledger is not kept, ids are.
pub(crate) async fn known(
    service: &QuotaService<AnyStore>,
    client: &ClientId,
    asked: impl IntoIterator<Item = impl ToString>,
) -> BTreeSet<String> {
    let mut asked: BTreeSet<String> = asked.into_iter().map(|id| id.to_string()).collect();
    if let Some(ids) = ledger(service, client).await {
        let ids: BTreeSet<String> = ids.into_iter().collect();
        asked.retain(|id| ids.contains(id));
        return asked;
    }
    let mut known = BTreeSet::new();
    if used(service, client).await > Credits::ZERO {
        for some in Vec::from_iter(asked).chunks(1_000) {
            let is_known = join_all(some.iter().map(|id| is_known(service, client, id))).await;
            known.extend(some.iter().zip(is_known).filter(|(_, is_known)| *is_known).map(|(id, _)| id.clone()));
        }
    }
    known
}

/// Asks with the id for more than there can be on top of anything: either way nothing changes, and an id that is taken is told
/// first.
async fn is_known(service: &QuotaService<AnyStore>, client: &ClientId, id: &str) -> bool {
    let charge = Charge::new(Credits::MAX).with_id(operation_id(id));
    match service.record(client, charge).await {
        Err(ServiceError::Refused(Refusal::IdConflict { is_held: false, .. })) => true,
        Err(ServiceError::Refused(Refusal::Overflow)) => false,
        other => panic!("{id}: {other:?}"),
    }
}

pub(crate) async fn used(service: &QuotaService<AnyStore>, client: &ClientId) -> Credits {
    service.status(client).await.unwrap().quotas().as_slice()[0].used()
}
