//! How a store is to be opened.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quota_core::Terms;

use crate::open_error::OpenError;
use crate::prefix::TablePrefix;
use crate::sqlite::store::SqliteStore;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Until the disk has it: what was answered survives a loss of power.
    #[default]
    Full,
    /// Until the system has it: what was answered survives the death of the process; a loss of power may take the
    /// last seconds with it, but never leaves anything half done.
    Normal,
}

/// How a store is to be opened.
///
/// ```no_run
/// use std::time::Duration;
/// use quota_store_diesel::{SqliteBuilder, TablePrefix};
///
/// let store = SqliteBuilder::new("app.db")
///     .with_prefix(TablePrefix::new("billing_")?)
///     .with_busy_timeout(Duration::from_secs(2))
///     .open()?;
/// # Ok::<(), quota_store_diesel::OpenError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteBuilder {
    pub(super) path: PathBuf,
    pub(super) prefix: TablePrefix,
    pub(super) synchronous: Synchronous,
    pub(super) busy_timeout: Duration,
    pub(super) readers: NonZeroUsize,
    pub(super) max_batch: NonZeroUsize,
    pub(super) max_pages: Option<NonZeroU32>,
    pub(super) terms: Terms,
}

impl SqliteBuilder {
    /// The greatest number of operations in a batch, by default.
    pub const MAX_BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    /// The number of connections that read, by default.
    pub const READERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    /// How long another process's lock is waited for, by default.
    pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

    /// The file at `path`, made if there is none, with the defaults: tables named `quota_…`,
    /// [`Synchronous::Full`], 5 s for locks, 2 readers, batches of 256.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            prefix: TablePrefix::default(),
            synchronous: Synchronous::default(),
            busy_timeout: Self::BUSY_TIMEOUT,
            readers: Self::READERS,
            max_batch: Self::MAX_BATCH,
            max_pages: None,
            terms: Terms::ENTRIES,
        }
    }

    /// Names the tables with this prefix. Stores with different prefixes share a file without seeing each other.
    pub fn with_prefix(mut self, prefix: TablePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// What a commit waits for.
    pub fn with_synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long another process's lock is waited for, in whole milliseconds; after that nothing was done.
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections (and threads) read usage back. Charges are not read by them.
    pub fn with_readers(mut self, readers: NonZeroUsize) -> Self {
        self.readers = readers;
        self
    }

    /// The greatest number of operations in one commit.
    pub fn with_max_batch(mut self, max_batch: NonZeroUsize) -> Self {
        self.max_batch = max_batch;
        self
    }

    /// Lets the file grow to this many pages (of 4 KiB in a file that this crate made), so that usage cannot fill the
    /// disk. Beyond it nothing is done, as on a full disk, until entries are deleted or pruned.
    pub fn with_max_pages(mut self, pages: NonZeroU32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// For how long the sums of quarters are kept; for ever by default. A pruning forgets older ones, and what was used
    /// then is read back as nothing. A plan with a window that may last longer ([`quota_core::Period::longest`]) is
    /// refused. Every store on one file should be given the same.
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.terms.retention = Some(retention);
        self
    }

    /// Opens the file, makes or upgrades its tables, starts the threads. Blocks on the disk, and on another
    /// process's lock up to the busy timeout: open a store before serving.
    ///
    /// # Errors
    /// [`OpenError`]; the file is as it was before.
    pub fn open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_with(self)
    }
}
