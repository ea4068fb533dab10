//! The conformance suite on SQLite, each case in a file of its own.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_store_diesel::{SqliteBuilder, SqliteStore};
use quota_testkit::{
    RETENTION, StoreFactory, sums_past_a_retention_are_forgotten_in_steps, windows_past_a_retention_are_refused,
};
use tempfile::TempDir;

struct SqliteFile(TempDir);

impl SqliteFile {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn builder(&self) -> SqliteBuilder {
        SqliteStore::builder(self.0.path().join("quota.db"))
    }
}

impl StoreFactory for SqliteFile {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        self.builder().open().expect("the file opens")
    }
}

quota_testkit::conformance!(SqliteFile::new());

#[tokio::test]
async fn sums_past_a_retention_are_forgotten() {
    let file = SqliteFile::new();
    let store = file.builder().with_retention(RETENTION).open().expect("the file opens");
    sums_past_a_retention_are_forgotten_in_steps(file, store).await;
}

#[tokio::test]
async fn longer_windows_are_refused_with_a_retention() {
    let file = SqliteFile::new();
    let store = file.builder().with_retention(RETENTION).open().expect("the file opens");
    windows_past_a_retention_are_refused(file, store).await;
}
