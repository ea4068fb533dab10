//! The conformance suite on SQLite, each case in a file of its own.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_store_diesel::SqliteStore;
use quota_testkit::StoreFactory;
use tempfile::TempDir;

struct SqliteFile(TempDir);

impl SqliteFile {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

impl StoreFactory for SqliteFile {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.0.path().join("quota.db")).expect("the file opens")
    }
}

quota_testkit::conformance!(SqliteFile::new());
