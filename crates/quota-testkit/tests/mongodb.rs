//! The conformance suite on MongoDB, each case with collections of its own, for a pruning concerns every client.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_servers::Server;
use quota_store_mongo::MongoStore;
use quota_testkit::StoreFactory;

struct Collections {
    url: String,
    prefix: String,
}

impl Collections {
    /// None where no server was declared, which is said then.
    fn new() -> Option<Self> {
        let url = quota_servers::url(Server::Mongodb)?;
        Some(Self { url, prefix: format!("t{:08x}_", fastrand::u32(..)) })
    }
}

impl StoreFactory for Collections {
    type Store = MongoStore;

    async fn open(&self) -> MongoStore {
        let builder = MongoStore::builder(&self.url).with_prefix(&self.prefix);
        builder.connect().await.expect("the server is there")
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
