//! The conformance suite on MongoDB, each case with collections of its own, for a pruning concerns every client.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_servers::Server;
use quota_store_mongo::{MongoBuilder, MongoStore};
use quota_testkit::{
    RETENTION, StoreFactory, sums_past_a_retention_are_forgotten_in_steps, windows_past_a_retention_are_refused,
};

struct Collections {
    url: String,
    prefix: String,
}

impl Collections {
    /// None where no server was declared, which is said then.
    fn new() -> Option<Self> {
        let url = quota_servers::url(Server::Mongodb)?;
        Some(Self { url, prefix: format!("t{}_", quota_servers::own_name()) })
    }

    fn builder(&self) -> MongoBuilder {
        MongoStore::builder(&self.url).with_prefix(&self.prefix)
    }
}

impl StoreFactory for Collections {
    type Store = MongoStore;

    async fn open(&self) -> MongoStore {
        self.builder().connect().await.expect("the server is there")
    }
}

impl Drop for Collections {
    /// What cannot be dropped stays: the server may have ended.
    fn drop(&mut self) {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = mongodb::Client::with_uri_str(&url).await?;
                let database = client.default_database().expect("the URL names one");
                for name in ["accounts", "entries", "quarters", "schema"] {
                    database.collection::<mongodb::bson::Document>(&format!("{prefix}{name}")).drop().await?;
                }
                Ok::<(), mongodb::error::Error>(())
            })
        });
        let _ = dropping.join();
    }
}

quota_testkit::conformance!(match Collections::new() {
    Some(collections) => collections,
    None => return,
});

#[tokio::test]
async fn sums_past_a_retention_are_forgotten() {
    let Some(collections) = Collections::new() else { return };
    let store = collections.builder().with_retention(RETENTION).connect().await.expect("the server is there");
    sums_past_a_retention_are_forgotten_in_steps(collections, store).await;
}

#[tokio::test]
async fn longer_windows_are_refused_with_a_retention() {
    let Some(collections) = Collections::new() else { return };
    let store = collections.builder().with_retention(RETENTION).connect().await.expect("the server is there");
    windows_past_a_retention_are_refused(collections, store).await;
}
