//! How a store is to be opened.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;
use quota_service::{Dispatch, HeldClients, KeptAccounts, RoomForIds};

use crate::connect_error::ConnectError;
use crate::drainer::Drainer;
use crate::server;
use crate::settings::Settings;
use crate::store::MongoStore;
use crate::tables::Tables;

/// How a store is to be opened.
///
/// ```no_run
/// use quota_store_mongo::MongoStore;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let url = "mongodb://10.0.0.1,10.0.0.2,10.0.0.3/billing?replicaSet=main";
/// let store = MongoStore::builder(url).with_prefix("quota_eu_").connect().await?;
/// # Ok::<(), quota_store_mongo::ConnectError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct MongoBuilder {
    url: String,
    settings: Settings,
    lanes: NonZeroUsize,
    max_batch: NonZeroUsize,
    hot: NonZeroUsize,
    kept_accounts: NonZeroUsize,
}

/// The database, where the URL names none.
const DATABASE: &str = "quota";

/// The greatest number of connections, where the URL gives none: each client of a batch is a command of its own.
const POOL_SIZE: u32 = 64;

impl MongoBuilder {
    /// How many batches are in flight at once, by default.
    pub const LANES: NonZeroUsize = NonZeroUsize::new(4).unwrap();
    /// The greatest number of operations in a batch, by default.
    pub const MAX_BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    /// How many accounts are kept, by default.
    pub const KEPT_ACCOUNTS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

    /// The servers at `url`, with the defaults: collections named `quota_…`, sums for ever.
    pub fn new(url: impl Into<String>) -> Self {
        let settings = Settings {
            prefix: "quota_".to_owned(),
            retention: None,
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(10),
        };
        Self {
            url: url.into(),
            settings,
            lanes: Self::LANES,
            max_batch: Self::MAX_BATCH,
            hot: NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN),
            kept_accounts: Self::KEPT_ACCOUNTS,
        }
    }

    /// Names the collections with this prefix, 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`. Stores with different prefixes
    /// share a database without seeing each other.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// For how long the sums of quarters are kept; for ever by default. Pruning forgets those that are older, and a plan
    /// with a window that may last longer ([`quota_core::Period::longest`]) is refused.
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.settings.retention = Some(retention);
        self
    }

    /// How long one command may take, 10 s by default. After that it is not known what became of a commit.
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
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

    /// Connects, looks whether the servers can keep usage (5.0 or newer, a primary), and makes the indexes.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(self) -> Result<MongoStore, ConnectError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let prefix = &self.settings.prefix;
        if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(plain) {
            return Err(ConnectError::Prefix { prefix: prefix.chars().take(100).collect() });
        }
        // What the driver says of a URL may repeat it, password and all.
        let mut options = ClientOptions::parse(&self.url).await.map_err(|_| ConnectError::unreadable(&self.url))?;
        options.app_name.get_or_insert_with(|| "quota".to_owned());
        options.max_pool_size.get_or_insert(POOL_SIZE);
        options.server_selection_timeout.get_or_insert(Duration::from_secs(5));
        options.connect_timeout.get_or_insert(Duration::from_secs(5));
        let database = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let client = Client::with_options(options)?;
        let tables = Tables::new(client.database(&database), &self.settings);
        server::check(&tables).await?;
        server::check_format(&tables).await?;
        server::make_indexes(&tables).await?;
        let dispatch = Dispatch::Batched { lanes: self.lanes, max_batch: self.max_batch, hot: Some(self.hot) };
        let kept = KeptAccounts::new(self.kept_accounts);
        let drainer = Arc::new(Drainer::new(tables.clone()));
        let (held, room_for_ids) = (HeldClients::default(), RoomForIds::default());
        Ok(MongoStore { settings: self.settings, tables, kept, drainer, dispatch, held, room_for_ids })
    }
}

impl fmt::Debug for MongoBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("MongoBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
