//! The conformance suite on a cluster of Redis, with entries and with quarters, each case under a prefix of its own, for a
//! pruning concerns every client.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_core::Detail;
use quota_servers::Server;

use quota_store_redis::{KeyPrefix, RedisBuilder, RedisStore};
use quota_testkit::{RETENTION, StoreFactory, windows_past_a_retention_are_refused};

struct Keys {
    url: String,
    prefix: KeyPrefix,
    detail: Detail,
}

impl Keys {
    /// None where no server was declared, which is said then.
    fn new(detail: Detail) -> Option<Self> {
        let url = quota_servers::url(Server::RedisCluster)?;
        let prefix = KeyPrefix::new(&format!("t{}", quota_servers::own_name())).expect("a prefix");
        Some(Self { url, prefix, detail })
    }

    fn builder(&self) -> RedisBuilder {
        RedisStore::builder(&self.url).with_prefix(self.prefix.clone()).with_detail(self.detail)
    }
}

impl StoreFactory for Keys {
    type Store = RedisStore;

    async fn open(&self) -> RedisStore {
        self.builder().connect().await.expect("the server is there")
    }
}

#[cfg(test)]
mod entries {
    use super::*;

    quota_testkit::conformance!(match Keys::new(Detail::Entries) {
        Some(keys) => keys,
        None => return,
    });
}

#[cfg(test)]
mod quarters {
    use super::*;

    quota_testkit::conformance!(match Keys::new(Detail::Quarters) {
        Some(keys) => keys,
        None => return,
    });
}

#[tokio::test]
async fn longer_windows_are_refused_with_a_retention() {
    for detail in [Detail::Entries, Detail::Quarters] {
        let Some(keys) = Keys::new(detail) else { return };
        let store = keys.builder().with_retention(RETENTION).connect().await.expect("the server is there");
        windows_past_a_retention_are_refused(keys, store).await;
    }
}

#[tokio::test]
async fn days_past_a_retention_are_forgotten() {
    for detail in [Detail::Entries, Detail::Quarters] {
        let Some(keys) = Keys::new(detail) else { return };
        let store = keys.builder().with_retention(RETENTION).connect().await.expect("the server is there");
        quota_testkit::days_past_a_retention_are_forgotten(keys, store).await;
    }
}
