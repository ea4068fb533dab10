//! How to connect.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use quota_core::Terms;

use crate::connect_error::ConnectError;
use crate::prefix::TablePrefix;
use crate::server::engine::{Engine, Settings};
use crate::server::store::ServerStore;

/// How to connect to a database server.
#[must_use]
pub(crate) struct ServerBuilder<E> {
    pub(super) url: String,
    pub(super) settings: Settings,
    pub(super) pool_size: NonZeroUsize,
    pub(super) lanes: NonZeroUsize,
    pub(super) max_batch: NonZeroUsize,
    pub(super) terms: Terms,
    engine: PhantomData<fn() -> E>,
}

impl<E: Engine> ServerBuilder<E> {
    /// The greatest number of connections, by default.
    pub(crate) const POOL_SIZE: NonZeroUsize = NonZeroUsize::new(10).unwrap();
    /// How many batches may be in flight at once, by default: while one is committed the next is decided. More of them
    /// are smaller, and most of what a small one costs is its statements and its commit.
    pub(crate) const LANES: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    /// The greatest number of operations in a batch, by default.
    pub(crate) const MAX_BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    pub(crate) fn new(url: &str) -> Self {
        let settings = Settings::new(TablePrefix::default());
        Self {
            url: url.to_owned(),
            settings,
            pool_size: Self::POOL_SIZE,
            lanes: Self::LANES,
            max_batch: Self::MAX_BATCH,
            terms: Terms::ENTRIES,
            engine: PhantomData,
        }
    }

    pub(crate) fn with_prefix(mut self, prefix: TablePrefix) -> Self {
        self.settings.prefix = prefix;
        self
    }

    pub(crate) fn with_pool_size(mut self, connections: NonZeroUsize) -> Self {
        self.pool_size = connections;
        self
    }

    pub(crate) fn with_lanes(mut self, lanes: NonZeroUsize) -> Self {
        self.lanes = lanes;
        self
    }

    pub(crate) fn with_max_batch(mut self, max_batch: NonZeroUsize) -> Self {
        self.max_batch = max_batch;
        self
    }

    pub(crate) fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.settings.lock_timeout = timeout;
        self
    }

    pub(crate) fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.settings.statement_timeout = timeout;
        self
    }

    pub(crate) fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    pub(crate) fn with_root_certificates(mut self, pem: &[u8]) -> Self {
        self.settings.root_certificates = pem.to_vec();
        self
    }

    pub(crate) fn with_retention(mut self, retention: Duration) -> Self {
        self.terms.retention = Some(retention);
        self
    }

    /// Connects, checks the server, makes or upgrades the tables. Start-ups at the same time make them once.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub(crate) async fn connect(&self) -> Result<ServerStore<E>, ConnectError> {
        ServerStore::connect_with(self).await
    }
}

impl<E> fmt::Debug for ServerBuilder<E> {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, pool_size) = (&self.settings.prefix, &self.pool_size);
        f.debug_struct("ServerBuilder")
            .field("prefix", prefix)
            .field("pool_size", pool_size)
            .field("lanes", &self.lanes)
            .field("max_batch", &self.max_batch)
            .finish_non_exhaustive()
    }
}
