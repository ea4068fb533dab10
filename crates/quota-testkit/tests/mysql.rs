//! The conformance suite on MySQL or MariaDB, each case in tables of its own, for a pruning concerns every client.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use mysql_async::prelude::Queryable;
use quota_servers::Server;
use quota_store_diesel::{MysqlBuilder, MysqlStore, TablePrefix};
use quota_testkit::{
    RETENTION, StoreFactory, sums_past_a_retention_are_forgotten_in_steps, windows_past_a_retention_are_refused,
};

const TABLES: [&str; 5] = ["schema", "accounts", "entries", "quarters", "plans"];

struct Tables {
    url: String,
    prefix: TablePrefix,
}

impl Tables {
    /// None where no server was declared, which is said then.
    fn new() -> Option<Self> {
        let url = quota_servers::url(Server::Mysql)?;
        let prefix = TablePrefix::new(&format!("t{}_", quota_servers::own_name())).expect("a prefix");
        Some(Self { url, prefix })
    }

    fn builder(&self) -> MysqlBuilder {
        MysqlStore::builder(&self.url).with_prefix(self.prefix.clone())
    }
}

impl StoreFactory for Tables {
    type Store = MysqlStore;

    async fn open(&self) -> MysqlStore {
        self.builder().connect().await.expect("the server is there")
    }
}

impl Drop for Tables {
    /// What cannot be dropped stays: it may be what a failed case left locked.
    fn drop(&mut self) {
        let tables: Vec<String> = TABLES.map(|table| format!("DROP TABLE IF EXISTS {}{table}", self.prefix)).into();
        let (url, statements) = (self.url.clone(), format!("SET lock_wait_timeout = 1; {}", tables.join("; ")));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = mysql_async::Conn::from_url(&url).await?;
                connection.query_drop(statements).await?;
                connection.disconnect().await
            })
        });
        let _: Option<mysql_async::Result<()>> = dropping.join().ok();
    }
}

quota_testkit::conformance!(match Tables::new() {
    Some(tables) => tables,
    None => return,
});

#[tokio::test]
async fn sums_past_a_retention_are_forgotten() {
    let Some(tables) = Tables::new() else { return };
    let store = tables.builder().with_retention(RETENTION).connect().await.expect("the server is there");
    sums_past_a_retention_are_forgotten_in_steps(tables, store).await;
}

#[tokio::test]
async fn longer_windows_are_refused_with_a_retention() {
    let Some(tables) = Tables::new() else { return };
    let store = tables.builder().with_retention(RETENTION).connect().await.expect("the server is there");
    windows_past_a_retention_are_refused(tables, store).await;
}
