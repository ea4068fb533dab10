//! Bare MySQL or MariaDB.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use quota_servers::PrivateServer;
use tokio::runtime::Runtime;

use super::engine::Engine;
use crate::number::count;

const CONNECTIONS: usize = 16;

pub(super) struct Mysql {
    options: Opts,
    runtime: Runtime,
}

impl Mysql {
    pub(super) fn new(server: &PrivateServer) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let bare = Self { options: Opts::from_url(server.url())?, runtime };
        bare.runtime.block_on(async {
            let mut connection = Conn::new(bare.options.clone()).await?;
            // What MariaDB takes by itself: servers for tests are smaller, and would only write pages back.
            for setting in ["innodb_buffer_pool_size = 134217728", "innodb_log_file_size = 100663296"] {
                connection.query_drop(format!("SET GLOBAL {setting}")).await?;
            }
            let accounts = "CREATE TABLE bare_accounts (client INT PRIMARY KEY, used BIGINT NOT NULL)";
            let entries = "CREATE TABLE bare_entries (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, \
                at BIGINT NOT NULL, credits BIGINT NOT NULL)";
            connection.query_drop(accounts).await?;
            connection.query_drop(entries).await?;
            let rows = (1..=1_000).map(|client| (client,));
            connection.exec_batch("INSERT INTO bare_accounts VALUES (?, 0)", rows).await
        })?;
        Ok(bare)
    }

    async fn charges(options: Opts, rows: i32, began: Instant, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut connection = Conn::new(options).await?;
        let mut waits = Vec::new();
        while began.elapsed() < slice {
            let row = fastrand::i32(1..=rows);
            let asked = Instant::now();
            connection.query_drop("START TRANSACTION").await?;
            connection.exec_drop("UPDATE bare_accounts SET used = used + 1 WHERE client = ?", (row,)).await?;
            let insert = "INSERT INTO bare_entries (client, at, credits) VALUES (?, 0, 1)";
            connection.exec_drop(insert, (row,)).await?;
            connection.query_drop("COMMIT").await?;
            waits.push(asked.elapsed());
        }
        connection.disconnect().await?;
        Ok(waits)
    }
}

impl Engine for Mysql {
    fn name(&self, rows: usize) -> String {
        let row = if rows == 1 { ", one row" } else { "" };
        format!("a commit each, {CONNECTIONS} connections{row}")
    }

    fn step(&self) -> &'static str {
        "begin, update, insert, commit"
    }

    fn commits(&self, rows: usize, slice: Duration) -> anyhow::Result<f64> {
        let (began, rows) = (Instant::now(), i32::try_from(rows)?);
        self.runtime.block_on(async {
            let connections: Vec<_> = (0..CONNECTIONS)
                .map(|_| tokio::spawn(Self::charges(self.options.clone(), rows, began, slice)))
                .collect();
            let mut charges = 0;
            for connection in connections {
                charges += connection.await??.len();
            }
            Ok(count(charges) / began.elapsed().as_secs_f64())
        })
    }

    fn scan(&self, rows: i64) -> anyhow::Result<Option<Duration>> {
        self.runtime.block_on(async {
            let mut connection = Conn::new(self.options.clone()).await?;
            connection.query_drop("DROP TABLE IF EXISTS bare_scan").await?;
            let table = "CREATE TABLE bare_scan (client INT, at BIGINT, label VARBINARY(255), credits BIGINT, \
                 entries BIGINT, PRIMARY KEY (client, at, label))";
            connection.query_drop(table).await?;
            connection.query_drop("START TRANSACTION").await?;
            let all = (1..=3).flat_map(|client| (1..=rows).map(move |at| (client, at)));
            connection.exec_batch("INSERT INTO bare_scan VALUES (?, ?, '', 1, 1)", all).await?;
            connection.query_drop("COMMIT").await?;
            let mut waits = Vec::new();
            for _ in 0..20 {
                let asked = Instant::now();
                let scan = "SELECT at, label, credits, entries FROM bare_scan WHERE client = ? AND at >= 0 ORDER BY at";
                let found: Vec<(i64, Vec<u8>, i64, i64)> = connection.exec(scan, (2,)).await?;
                waits.push(asked.elapsed());
                anyhow::ensure!(i64::try_from(found.len())? == rows, "the scan found {} rows", found.len());
            }
            waits.sort_unstable();
            Ok(waits.get(waits.len() / 2).copied())
        })
    }

    fn waits(&self, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        self.runtime.block_on(Self::charges(self.options.clone(), 1_000, Instant::now(), slice))
    }
}
