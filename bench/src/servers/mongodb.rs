//! Bare MongoDB.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Database};
use quota_servers::PrivateServer;
use tokio::runtime::Runtime;

use super::engine::Engine;
use crate::number::count;

const CALLERS: usize = 64;

pub(super) struct Mongodb {
    database: Database,
    runtime: Runtime,
}

impl Mongodb {
    pub(super) fn new(server: &PrivateServer) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let database = runtime.block_on(async {
            let mut options = ClientOptions::parse(server.url()).await?;
            options.write_concern =
                Some(WriteConcern::builder().w(Some(mongodb::options::Acknowledgment::Majority)).journal(true).build());
            let database = Client::with_options(options)?.database("bare");
            let accounts = (1..=1_000).map(|client| doc! { "_id": client, "used": 0_i64 });
            database.collection::<Document>("accounts").insert_many(accounts).await?;
            anyhow::Ok(database)
        })?;
        Ok(Self { database, runtime })
    }

    async fn charges(database: Database, rows: i32, began: Instant, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        let (accounts, entries) =
            (database.collection::<Document>("accounts"), database.collection::<Document>("entries"));
        let mut waits = Vec::new();
        while began.elapsed() < slice {
            let row = fastrand::i32(1..=rows);
            let asked = Instant::now();
            accounts.find_one_and_update(doc! { "_id": row }, doc! { "$inc": { "used": 1_i64 } }).await?;
            entries.insert_one(doc! { "client": row, "at": 0_i64, "credits": 1_i64 }).await?;
            waits.push(asked.elapsed());
        }
        Ok(waits)
    }
}

impl Engine for Mongodb {
    fn name(&self, rows: usize) -> String {
        let row = if rows == 1 { ", one document" } else { "" };
        format!("findOneAndUpdate + insertOne, {CALLERS} callers{row}")
    }

    fn step(&self) -> &'static str {
        "findOneAndUpdate, insertOne"
    }

    fn commits(&self, rows: usize, slice: Duration) -> anyhow::Result<f64> {
        let (began, rows) = (Instant::now(), i32::try_from(rows)?);
        self.runtime.block_on(async {
            let callers: Vec<_> =
                (0..CALLERS).map(|_| tokio::spawn(Self::charges(self.database.clone(), rows, began, slice))).collect();
            let mut charges = 0;
            for caller in callers {
                charges += caller.await??.len();
            }
            Ok(count(charges) / began.elapsed().as_secs_f64())
        })
    }

    fn scan(&self, rows: i64) -> anyhow::Result<Option<Duration>> {
        self.runtime.block_on(async {
            let scanned = self.database.collection::<Document>("scanned");
            scanned.drop().await?;
            let index = mongodb::IndexModel::builder().keys(doc! { "client": 1, "at": 1 }).build();
            scanned.create_index(index).await?;
            for client in 1..=3 {
                let rows = (1..=rows)
                    .map(|at| doc! { "client": client, "at": at, "label": "", "credits": 1_i64, "entries": 1_i64 });
                scanned.insert_many(rows).await?;
            }
            let mut waits = Vec::new();
            for _ in 0..10 {
                let asked = Instant::now();
                let found = scanned.find(doc! { "client": 2, "at": { "$gte": 0_i64 } }).sort(doc! { "at": 1 }).await?;
                let found: Vec<Document> = found.try_collect().await?;
                waits.push(asked.elapsed());
                anyhow::ensure!(i64::try_from(found.len())? == rows, "the scan found {} documents", found.len());
            }
            waits.sort_unstable();
            Ok(waits.get(waits.len() / 2).copied())
        })
    }

    fn waits(&self, slice: Duration) -> anyhow::Result<Vec<Duration>> {
        self.runtime.block_on(Self::charges(self.database.clone(), 1_000, Instant::now(), slice))
    }
}
