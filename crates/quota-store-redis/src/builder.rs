//! How a store is to be opened.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use quota_core::Detail;

use crate::client_run::PATIENCE;
use crate::connect_error::ConnectError;
use crate::keys::KeyPrefix;
use crate::node::Timeouts;
use crate::settings::Settings;
use crate::store::RedisStore;
use crate::trust::Trust;

/// How a store is to be opened.
///
/// ```no_run
/// use std::time::Duration;
/// use quota_store_redis::{KeyPrefix, RedisStore};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = RedisStore::builder("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/main")
///     .with_prefix(KeyPrefix::new("billing")?)
///     .with_wait(1, Duration::from_millis(500))
///     .connect()
///     .await?;
/// # Ok::<(), quota_store_redis::ConnectError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct RedisBuilder {
    pub(crate) url: String,
    pub(crate) settings: Settings,
    /// Whether these were chosen, so that the URL does not.
    pub(crate) has_detail: bool,
    pub(crate) has_prefix: bool,
    pub(crate) allowed_eviction: Option<String>,
    pub(crate) timeouts: Timeouts,
    pub(crate) trust: Trust,
    pub(crate) lanes: NonZeroUsize,
    pub(crate) connections: NonZeroUsize,
    pub(crate) max_batch: NonZeroUsize,
    pub(crate) hot: NonZeroUsize,
    pub(crate) kept_accounts: NonZeroUsize,
}

impl RedisBuilder {
    /// How many batches are in flight at once, by default.
    pub const LANES: NonZeroUsize = NonZeroUsize::new(4).unwrap();
    /// The number of connections that batches go through, by default; there is one more for reading usage back.
    pub const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    /// The greatest number of operations in a batch, by default.
    pub const MAX_BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    /// How many accounts are kept, by default.
    pub const KEPT_ACCOUNTS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
    /// For how long ids are remembered where only quarters are kept, by default: 24 hours.
    pub const IDS_FOR: Duration = Duration::from_secs(86_400);

    /// The servers at `url`, with the defaults: keys named `quota:…`, quarters, 24 hours of ids, sums for ever.
    pub fn new(url: impl Into<String>) -> Self {
        let settings = Settings {
            prefix: KeyPrefix::default(),
            detail: Detail::Quarters,
            retention: None,
            ids_for: Self::IDS_FOR,
            wait: None,
            patience: PATIENCE,
        };
        Self {
            url: url.into(),
            settings,
            has_detail: false,
            has_prefix: false,
            allowed_eviction: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(3),
                answer: Duration::from_secs(5),
                replicas: Duration::ZERO,
            },
            trust: Trust::default(),
            lanes: Self::LANES,
            connections: Self::CONNECTIONS,
            max_batch: Self::MAX_BATCH,
            hot: NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN),
            kept_accounts: Self::KEPT_ACCOUNTS,
        }
    }

    /// Names the keys with this prefix. Stores with different prefixes share servers without seeing each other.
    pub fn with_prefix(mut self, prefix: KeyPrefix) -> Self {
        (self.settings.prefix, self.has_prefix) = (prefix, true);
        self
    }

    /// How much the ledger remembers. By default as whoever opened the store first has chosen, or quarters; another choice
    /// than that is refused.
    pub fn with_detail(mut self, detail: Detail) -> Self {
        (self.settings.detail, self.has_detail) = (detail, true);
        self
    }

    /// For how long the sums of quarters are kept; for ever by default. The keys of a day that is longer past expire by
    /// themselves, entries included, and what was used then is read back as nothing (but for a client's newest quarter, which
    /// goes with its next charge or pruning). A plan with a window that may last
    /// longer ([`quota_core::Period::longest`]) is refused. Every store on the same keys should be given the same.
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.settings.retention = Some(retention);
        self
    }

    /// For how long ids are remembered where only quarters are kept, counted from when they were written.
    pub fn with_ids_for(mut self, duration: Duration) -> Self {
        self.settings.ids_for = duration;
        self
    }

    /// Lets a commit wait until so many replicas have it, at most so long. Where fewer have it then, the answer is
    /// [`quota_service::StoreError::Unknown`]: it is written, and a failover may lose it. Commits of one connection wait
    /// one after the other.
    pub fn with_wait(mut self, replicas: usize, timeout: Duration) -> Self {
        self.settings.wait = Some((replicas, timeout)).filter(|(replicas, _)| *replicas > 0);
        self.timeouts.replicas = self.settings.wait.map_or(Duration::ZERO, |(_, timeout)| timeout);
        self
    }

    /// Opens the store even where the server's `maxmemory-policy` is this one. It deletes keys when its memory is full:
    /// usage is forgotten then, and plans with it. What the URL allows does not count beside it.
    pub fn with_allowed_eviction(mut self, policy: impl Into<String>) -> Self {
        self.allowed_eviction = Some(policy.into());
        self
    }

    /// Trusts servers, and sentinels, whose certificate was signed by one of these (PEM). By default those are trusted that
    /// the system trusts, or whom the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Needs the feature `tls`, and a URL
    /// that asks for an encrypted connection.
    pub fn with_root_certificates(mut self, pem: &[u8]) -> Self {
        self.trust.root_certificates = pem.to_vec();
        self
    }

    /// How long connecting may take.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// How long a server may take to answer, 5 s by default. After that it is not known what became of a commit. In a cluster
    /// a primary of which nothing is heard for two fifths of that, while others answer, is given up by the batches that others'
    /// clients wait for as well; afterwards its clients get batches of their own, until it answers again.
    pub fn with_response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.answer = timeout;
        self
    }

    /// How long a commit is tried again while other processes change the same account, 10 s by default; after that
    /// nothing was done.
    pub fn with_conflict_timeout(mut self, timeout: Duration) -> Self {
        self.settings.patience = timeout;
        self
    }

    /// How many batches are in flight at once.
    pub fn with_lanes(mut self, lanes: NonZeroUsize) -> Self {
        self.lanes = lanes;
        self
    }

    /// Through how many connections batches go. They are made when they are needed; a cluster has its own, one to each
    /// node.
    pub fn with_connections(mut self, connections: NonZeroUsize) -> Self {
        self.connections = connections;
        self
    }

    /// The greatest number of operations in a batch.
    pub fn with_max_batch(mut self, max_batch: NonZeroUsize) -> Self {
        self.max_batch = max_batch;
        self
    }

    /// How many accounts are kept in this process's memory, those used last. One of them costs a round trip less.
    pub fn with_kept_accounts(mut self, accounts: NonZeroUsize) -> Self {
        self.kept_accounts = accounts;
        self
    }

    /// Connects, looks whether the servers can keep usage, as far as that is seen without writing, and whether a store with
    /// this prefix was opened there before.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn is_made(&self) -> Result<bool, ConnectError> {
        RedisStore::is_made(self).await
    }

    /// Connects, and looks whether the servers can keep usage: 6.2 or newer, a primary, nothing evicted.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        RedisStore::open(self).await
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
