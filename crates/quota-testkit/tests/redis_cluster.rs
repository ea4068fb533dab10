//! The conformance suite on a cluster of Redis, with entries and with quarters, each case under a prefix of its own, for a
//! pruning concerns every client.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use quota_core::Detail;
use quota_servers::Server;

use quota_store_redis::{KeyPrefix, RedisStore};
use quota_testkit::StoreFactory;

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
}

impl StoreFactory for Keys {
    type Store = RedisStore;

    async fn open(&self) -> RedisStore {
        let builder = RedisStore::builder(&self.url).with_prefix(self.prefix.clone()).with_detail(self.detail);
        builder.connect().await.expect("the server is there")
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
