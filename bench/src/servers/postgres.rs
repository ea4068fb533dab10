//! Bare PostgreSQL.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use quota_servers::PrivateServer;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::engine::Engine;

const TABLES: &str = "
    CREATE TABLE bare_accounts (client INTEGER PRIMARY KEY, used BIGINT NOT NULL);
    CREATE TABLE bare_entries (id BIGSERIAL PRIMARY KEY, client INTEGER NOT NULL, at BIGINT NOT NULL, credits BIGINT NOT NULL);
    INSERT INTO bare_accounts SELECT client, 0 FROM generate_series(1, 1000) client;";

pub(super) struct Postgres {
    url: String,
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Postgres {
    pub(super) fn new(server: &PrivateServer) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let bare = Self { url: server.url().to_owned(), folder: tempfile::tempdir()?, runtime };
        bare.runtime.block_on(async { bare.client().await?.batch_execute(TABLES).await.context("tables") })?;
        Ok(bare)
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Engine for Postgres {
    fn name(&self, rows: usize) -> String {
        if rows == 1 { "pgbench, 16 connections, one row".to_owned() } else { "pgbench, 16 connections".to_owned() }
    }

    fn step(&self) -> &'static str {
        "begin, update, insert, commit"
    }

    fn commits(&self, rows: usize, slice: Duration) -> anyhow::Result<f64> {
        let script = self.folder.path().join("charge.sql");
        let text = format!(
            "\\set client random(1, {rows})\nBEGIN;\nUPDATE bare_accounts SET used = used + 1 WHERE client = :client;\n\
             INSERT INTO bare_entries (client, at, credits) VALUES (:client, 0, 1);\nCOMMIT;\n"
        );
        std::fs::write(&script, text)?;
        let seconds = slice.as_secs().max(1).to_string();
        let mut pgbench = Command::new("pgbench");
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--client=16", "--jobs=2", "--time", &seconds, "--file"]);
        let output = pgbench.arg(&script).arg(&self.url).output().context("pgbench")?;
        let told = String::from_utf8_lossy(&output.stdout);
        let speed = told.lines().find_map(|line| line.strip_prefix("tps = "));
        match speed.and_then(|rest| rest.split(' ').next()).and_then(|text| text.parse().ok()) {
            Some(speed) => Ok(speed),
            None => bail!("pgbench said: {told} {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn scan(&self, rows: i64) -> anyhow::Result<Option<Duration>> {
        self.runtime.block_on(async {
            let client = self.client().await?;
            let made = format!(
                "DROP TABLE IF EXISTS bare_scan;
                 CREATE TABLE bare_scan (client INTEGER, at BIGINT, label TEXT, credits BIGINT, entries BIGINT,
                     PRIMARY KEY (client, at, label));
                 INSERT INTO bare_scan SELECT client, at, '', 1, 1
                     FROM generate_series(1, 3) client, generate_series(1, {rows}) at;
                 ANALYZE bare_scan"
            );
            client.batch_execute(&made).await?;
            let scan = "SELECT at, label, credits, entries FROM bare_scan WHERE client = 2 AND at >= 0 ORDER BY at";
            let scan = client.prepare(scan).await?;
            let mut waits = Vec::new();
            for _ in 0..20 {
                let asked = Instant::now();
                let found = client.query(&scan, &[]).await?;
                waits.push(asked.elapsed());
                anyhow::ensure!(i64::try_from(found.len())? == rows, "the scan found {} rows", found.len());
            }
            waits.sort_unstable();
            Ok(waits.get(waits.len() / 2).copied())
        })
    }

    fn waits(&self, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        self.runtime.block_on(async {
            let client = self.client().await?;
            let update = client.prepare("UPDATE bare_accounts SET used = used + 1 WHERE client = $1").await?;
            let insert = client.prepare("INSERT INTO bare_entries (client, at, credits) VALUES ($1, 0, 1)").await?;
            let (began, mut waits) = (Instant::now(), Vec::new());
            while began.elapsed() < slice {
                let row = fastrand::i32(1..=1_000);
                let asked = Instant::now();
                client.batch_execute("BEGIN").await?;
                client.execute(&update, &[&row]).await?;
                client.execute(&insert, &[&row]).await?;
                client.batch_execute("COMMIT").await?;
                waits.push(asked.elapsed());
            }
            Ok(waits)
        })
    }
}
