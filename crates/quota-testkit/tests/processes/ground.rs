//! Where processes meet.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use quota_core::{ClientId, Credits, Plan, Unit, Window};
use quota_servers::{PrivateServer, Server};
use quota_service::{AnyStore, EntriesQuery, QuotaService};
use quota_testkit::{quota_from, with_entries};
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
        Self { url, prefix: format!("{:08x}-", fastrand::u32(..)), server: None, _folder: None }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
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

/// The ids in a client's ledger, in order.
pub(crate) async fn ledger(service: &QuotaService<AnyStore>, client: &ClientId) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
        let page = service.entries(client, query).await.unwrap();
        ids.extend(page.entries.into_iter().map(|entry| entry.id.unwrap().to_string()));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// Used, the total and the ledger are the same sum of entries of one credit, none there twice; gives their ids.
pub(crate) async fn agreed(service: &QuotaService<AnyStore>, client: &ClientId) -> BTreeSet<String> {
    let read = async || (ledger(service, client).await, service.total_usage(client, Window::ALL).await.unwrap());
    let (used, (ids, total)) = in_peace(service, client, read).await;
    let sum = Credits::new(u64::try_from(ids.len()).unwrap()).unwrap();
    assert_eq!((used, total), (sum, sum));
    let count = ids.len();
    let unique: BTreeSet<String> = ids.into_iter().collect();
    assert_eq!(unique.len(), count, "an id stands twice");
    unique
}

/// What is used, beside what else is read. What a process sent before it was killed may be done by the server after that: then
/// all is read again.
pub(crate) async fn in_peace<T>(
    service: &QuotaService<AnyStore>,
    client: &ClientId,
    read: impl AsyncFn() -> T,
) -> (Credits, T) {
    loop {
        let before = used(service, client).await;
        let seen = read().await;
        if used(service, client).await == before {
            return (before, seen);
        }
    }
}

pub(crate) async fn used(service: &QuotaService<AnyStore>, client: &ClientId) -> Credits {
    service.status(client).await.unwrap().quotas().as_slice()[0].used()
}
