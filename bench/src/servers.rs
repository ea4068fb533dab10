//! Stores with a server, against the bare server: the same machine, connections and durability.

mod engine;
mod mongodb;
mod mysql;
mod postgres;
mod processes;
mod redis;

use std::time::Duration;

use anyhow::Context;
use quota_core::Unit;
use quota_servers::PrivateServer;
use quota_service::{AnyStore, QuotaService};
use tokio::runtime::{Builder, Runtime};

use crate::callers::Callers;
use crate::effort::Effort;
use crate::list::{self, MANY};
use crate::number::{median, median_ratio, percentile};
use crate::ours::{DAY_AND_MONTH, ENOUGH, plan};
use crate::reading::{self, Readers, YEAR};
use crate::row::{self, Goal, Measured, Row};
use crate::servers::engine::Engine;

pub(crate) use crate::servers::processes::child;

const CALLERS: usize = 64;
const CLIENTS: usize = 1_000;

/// What measures some of the rows.
type Part = fn(&Contest, &Effort, &Runtime) -> anyhow::Result<Vec<Row>>;

/// A kind of store on a server, and what it is compared with.
struct Contest {
    group: &'static str,
    durability: &'static str,
    /// What the URL of the store has after the server's.
    options: &'static str,
    server: PrivateServer,
    engine: Box<dyn Engine>,
    many: Goal,
    /// None where the bare server's own figure for one row is not asked for.
    hot: Option<Goal>,
    /// Clients of the long list.
    listed: usize,
}

pub(crate) fn redis(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let contest = |group, options, many| {
        let server = start(quota_servers::Server::Redis)?;
        let engine = Box::new(redis::Redis::new(&server)?);
        let hot = Some(Goal::AtLeast(3.0));
        let durability = "Redis: appendfsync everysec";
        anyhow::Ok(Contest { group, durability, options, server, engine, many: Goal::AtLeast(many), hot, listed: MANY })
    };
    let mut rows = contest("Redis with quarters, 64 callers", "", 0.7)?.rows(effort)?;
    rows.extend(contest("Redis with entries, 64 callers", "?detail=entries", 0.5)?.rows(effort)?);
    Ok(rows)
}

pub(crate) fn postgres(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Postgres)?;
    let engine = Box::new(postgres::Postgres::new(&server)?);
    let (many, hot) = (Goal::AtLeast(4.0), Some(Goal::AtLeast(20.0)));
    let (group, durability) = ("PostgreSQL, 64 callers", "power loss: synchronous_commit=on");
    Contest { group, durability, options: "", server, engine, many, hot, listed: MANY }.rows(effort)
}

pub(crate) fn mysql(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Mysql)?;
    let engine = Box::new(mysql::Mysql::new(&server)?);
    let (group, durability) = ("MySQL, 64 callers", "power loss: innodb_flush_log_at_trx_commit=1");
    Contest { group, durability, options: "", server, engine, many: Goal::AtLeast(4.0), hot: None, listed: MANY }
        .rows(effort)
}

pub(crate) fn mongodb(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Mongodb)?;
    let engine = Box::new(mongodb::Mongodb::new(&server)?);
    let (many, hot) = (Goal::AtLeast(1.0), Some(Goal::AtLeast(10.0)));
    let (group, durability) =
        ("MongoDB (where no mongod is, a stand-in), 64 callers", "power loss: journaled majority");
    // A list of 100,000 takes the stand-in many minutes to fill.
    Contest { group, durability, options: "", server, engine, many, hot, listed: MANY / 10 }.rows(effort)
}

fn start(server: quota_servers::Server) -> anyhow::Result<PrivateServer> {
    PrivateServer::start(server).with_context(|| format!("{server} does not start"))
}

impl Contest {
    fn rows(&self, effort: &Effort) -> anyhow::Result<Vec<Row>> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let parts: [(&str, Part); 5] = [
            ("throughput", Self::throughput),
            ("one caller", Self::one_caller),
            ("processes", Self::processes),
            ("reading", Self::reading),
            ("list", Self::list),
        ];
        let mut rows = Vec::new();
        for (name, part) in parts {
            eprint!(" {name} ...");
            let measured = part(self, effort, &runtime);
            rows.extend(measured.with_context(|| format!("{name}, after\n{}", row::table(&rows)))?);
        }
        Ok(rows)
    }

    /// The list of clients, beside all that the other rows have left on the server.
    fn list(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let stores = runtime.block_on(async { anyhow::Ok([self.store().await?, self.store().await?]) })?;
        list::rows_of(effort, runtime, stores, self.listed, |what, micros| self.row(what, micros, "us"))
    }

    /// Days read back: of few entries and of many over the same quarters, and of a year.
    fn reading(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let Some(scan) = self.engine.scan(YEAR)? else { return Ok(Vec::new()) };
        let readers = runtime.block_on(async {
            let service = QuotaService::builder(self.store().await?).with_deadline(Duration::from_secs(60)).build();
            Readers::new(service, 10_000, effort.many_entries).await
        })?;
        let [few, many, year] = runtime.block_on(readers.times(Duration::from_millis(effort.slice_millis)))?;
        runtime.block_on(readers.shutdown());
        let row = |name: &str, micros| self.row(name, micros, "us");
        Ok(reading::rows(row, effort, [few, many, year], scan))
    }

    fn url(&self) -> String {
        format!("{}{}", self.server.url(), self.options)
    }

    fn row(&self, name: &str, value: f64, unit: &'static str) -> Row {
        Row::new(self.group, name, self.durability, Measured { value, unit })
    }

    async fn store(&self) -> anyhow::Result<AnyStore> {
        quota_stores::connect(&self.url()).await.context("the store does not open")
    }

    async fn callers(&self, name: &'static str, clients: usize, callers: usize) -> anyhow::Result<Callers<AnyStore>> {
        Callers::new(name, self.store().await?, clients, callers, plan(&DAY_AND_MONTH, ENOUGH)?)
    }

    /// Charges a second, all in one store each, in turns with the bare server.
    fn throughput(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let slice = Duration::from_millis(effort.slice_millis);
        let cases = runtime.block_on(async {
            // Long windows: at midnight, a day would admit again.
            let strict = plan(&[Unit::Month, Unit::Year], 1)?;
            let denying = Callers::new("1,000 clients, denied", self.store().await?, CLIENTS, CALLERS, strict)?;
            anyhow::Ok([
                self.callers("1,000 clients", CLIENTS, CALLERS).await?,
                self.callers("1,000 clients, an id each", CLIENTS, CALLERS).await?.with_ids(),
                denying.denied().await?,
                self.callers("one hot client", 1, CALLERS).await?,
                self.callers("one hot client, an id each", 1, CALLERS).await?.with_ids(),
            ])
        })?;
        let mut speeds = vec![Vec::with_capacity(effort.rounds); cases.len()];
        let (mut bare_many, mut bare_one) = (Vec::new(), Vec::new());
        for round in 0..=effort.rounds {
            let (many, one) = (self.engine.commits(CLIENTS, slice)?, self.engine.commits(1, slice)?);
            if round > 0 {
                bare_many.push(many);
                bare_one.push(one);
            }
            for (case, speeds) in cases.iter().zip(&mut speeds) {
                let speed = runtime.block_on(case.charges_a_second(slice))?;
                if round > 0 {
                    speeds.push(speed);
                }
            }
        }
        for case in &cases {
            runtime.block_on(case.shutdown());
        }
        let [many, ids, denied, hot, hot_ids] = speeds.as_slice() else { return Ok(Vec::new()) };
        let against = |name: &str, speeds: &[f64], base_name: &str, base: &[f64]| {
            self.row(name, median(speeds.to_vec()), "charges/s").against(
                base_name,
                median(base.to_vec()),
                median_ratio(speeds, base),
            )
        };
        let hot_row = against("one hot client", hot, &self.engine.name(1), &bare_one);
        Ok(vec![
            against("1,000 clients", many, &self.engine.name(CLIENTS), &bare_many).goal(self.many),
            against("1,000 clients, an id each", ids, "without ids", many).goal(Goal::AtLeast(0.8)),
            against("1,000 clients, denied", denied, "allowed", many),
            match self.hot {
                Some(goal) => hot_row.goal(goal),
                None => hot_row,
            },
            against("one hot client, an id each", hot_ids, "without ids", hot).goal(Goal::AtLeast(0.8)),
        ])
    }

    /// One caller on an idle system: the median wait.
    fn one_caller(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let slice = Duration::from_millis(effort.slice_millis);
        let caller = runtime.block_on(self.callers("one caller", CLIENTS, 1))?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..=effort.rounds {
            let (waits, _) = runtime.block_on(caller.charges(slice))?;
            let theirs = self.engine.waits(slice)?;
            if round > 0 {
                ours.push(percentile(&waits, 50));
                bare.push(percentile(&theirs, 50));
            }
        }
        runtime.block_on(caller.shutdown());
        let ratio = median_ratio(&ours, &bare);
        let row = self.row("one caller, p50", median(ours), "us");
        Ok(vec![row.against(self.engine.step(), median(bare), ratio).goal(Goal::AtMost(1.5))])
    }

    /// Eight processes on one client against one of them.
    fn processes(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let slice = Duration::from_millis(effort.slice_millis.saturating_mul(2));
        let (mut one, mut eight, mut tails) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds.min(5) {
            one.push(processes::race(&self.url(), 1, slice)?.speed);
            let together = processes::race(&self.url(), 8, slice)?;
            eight.push(together.speed);
            tails.push(together.tail);
        }
        let over = runtime.block_on(processes::over_the_limit(&self.url()))?;
        let ratio = median_ratio(&eight, &one);
        let (value, tail) = (median(eight), median(tails));
        Ok(vec![
            self.row("8 processes x 16 callers, one hot client", value, "charges/s")
                .against("one process x 16", median(one), ratio)
                .goal(Goal::AtLeast(1.0)),
            self.row("their p99 by their p50", tail, "times").goal(Goal::AtMost(20.0)),
            self.row("8 processes x 16 callers, admitted over the limit", over, "charges").goal(Goal::AtMost(0.0)),
        ])
    }
}
