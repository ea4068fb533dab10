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
use crate::effort::{Effort, ServerPart};
use crate::list::{self, MANY};
use crate::number::{median, median_ratio, percentile};
use crate::ours::{DAY_AND_MONTH, ENOUGH, plan};
use crate::reading::{self, Readers, YEAR};
use crate::row::{self, Goal, Measured, Row};
use crate::servers::engine::Engine;
use crate::servers::processes::Work;

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
    many: Option<Goal>,
    /// None where the bare server's own figure for one row is not asked for.
    hot: Option<Goal>,
    /// Clients of the long list.
    listed: usize,
    /// What is measured at all.
    parts: &'static [ServerPart],
}

pub(crate) fn redis(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let contest = |group, options, many| {
        let server = start(quota_servers::Server::Redis)?;
        let engine = Box::new(redis::Redis::new(&server)?);
        let hot = Some(Goal::AtLeast(3.0));
        let durability = "Redis: appendfsync everysec";
        let many = Some(Goal::AtLeast(many));
        anyhow::Ok(Contest {
            group,
            durability,
            options,
            server,
            engine,
            many,
            hot,
            listed: MANY,
            parts: &ServerPart::ALL,
        })
    };
    let mut rows = contest("Redis with quarters, 64 callers", "", 0.7)?.rows(effort)?;
    rows.extend(contest("Redis with entries, 64 callers", "?detail=entries", 0.5)?.rows(effort)?);
    Ok(rows)
}

/// Three primaries with a replica each, which share this machine's processors: there is no goal for what they do against the bare ones.
pub(crate) fn redis_cluster(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::RedisCluster)?;
    let engine = Box::new(redis::Redis::of_cluster(&server)?);
    let (many, hot) = (None, None);
    let (group, durability) = ("Redis Cluster with quarters, 64 callers", "Redis: appendfsync everysec");
    let parts = &[ServerPart::Throughput, ServerPart::Processes];
    Contest { group, durability, options: "", server, engine, many, hot, listed: MANY, parts }.rows(effort)
}

pub(crate) fn postgres(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Postgres)?;
    let engine = Box::new(postgres::Postgres::new(&server)?);
    let (many, hot) = (Some(Goal::AtLeast(4.0)), Some(Goal::AtLeast(20.0)));
    let (group, durability) = ("PostgreSQL, 64 callers", "power loss: synchronous_commit=on");
    Contest { group, durability, options: "", server, engine, many, hot, listed: MANY, parts: &ServerPart::ALL }
        .rows(effort)
}

pub(crate) fn mysql(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Mysql)?;
    let engine = Box::new(mysql::Mysql::new(&server)?);
    let (group, durability) = ("MySQL (MariaDB), 64 callers", "power loss: innodb_flush_log_at_trx_commit=1");
    let many = Some(Goal::AtLeast(4.0));
    Contest { group, durability, options: "", server, engine, many, hot: None, listed: MANY, parts: &ServerPart::ALL }
        .rows(effort)
}

pub(crate) fn mongodb(effort: &Effort) -> anyhow::Result<Vec<Row>> {
    let server = start(quota_servers::Server::Mongodb)?;
    let engine = Box::new(mongodb::Mongodb::new(&server)?);
    let (many, hot) = (Some(Goal::AtLeast(1.0)), Some(Goal::AtLeast(10.0)));
    let durability = "power loss: journaled majority";
    let group = if quota_servers::has_mongod() {
        "MongoDB, 64 callers"
    } else {
        "MongoDB's stand-in (secantus-mdb), 64 callers"
    };
    // A list of 100,000 takes the stand-in many minutes to fill.
    let listed = MANY / 10;
    Contest { group, durability, options: "", server, engine, many, hot, listed, parts: &ServerPart::ALL }.rows(effort)
}

fn start(server: quota_servers::Server) -> anyhow::Result<PrivateServer> {
    PrivateServer::start(server).with_context(|| format!("{server} does not start"))
}

impl Contest {
    fn rows(&self, effort: &Effort) -> anyhow::Result<Vec<Row>> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let parts: [(ServerPart, Part); 5] = [
            (ServerPart::Throughput, Self::throughput),
            (ServerPart::OneCaller, Self::one_caller),
            (ServerPart::Processes, Self::processes),
            (ServerPart::Reading, Self::reading),
            (ServerPart::List, Self::list),
        ];
        let mut rows = Vec::new();
        let is_wanted = |part| self.parts.contains(&part) && effort.part.is_none_or(|only| only == part);
        for (part, measure) in parts.into_iter().filter(|(part, _)| is_wanted(*part)) {
            eprint!(" {part:?} ...");
            let measured = measure(self, effort, &runtime);
            rows.extend(measured.with_context(|| format!("{part:?}, after\n{}", row::table(&rows)))?);
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

    /// The same callers three times: without ids, with a fresh id each, and denied.
    async fn three(
        &self,
        [plain, ids, denied]: [&'static str; 3],
        clients: usize,
        callers: usize,
    ) -> anyhow::Result<[Callers<AnyStore>; 3]> {
        // Long windows: at midnight, a day would admit again.
        let strict = plan(&[Unit::Month, Unit::Year], 1)?;
        Ok([
            self.callers(plain, clients, callers).await?,
            self.callers(ids, clients, callers).await?.with_ids(),
            Callers::new(denied, self.store().await?, clients, callers, strict)?.denied().await?,
        ])
    }

    /// Charges a second, all in one store each, in turns with the bare server.
    fn throughput(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let slice = Duration::from_millis(effort.slice_millis);
        let many = ["1,000 clients", "1,000 clients, an id each", "1,000 clients, denied"];
        let hot = ["one hot client", "one hot client, an id each", "one hot client, denied"];
        let mut rows = Vec::new();
        for (names, clients, goal) in [(many, CLIENTS, self.many), (hot, 1, self.hot)] {
            let cases = runtime.block_on(self.three(names, clients, CALLERS))?;
            let (mut speeds, mut bare) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
            for round in 0..=effort.rounds {
                let theirs = self.engine.commits(clients, slice)?;
                bare.extend((round > 0).then_some(theirs));
                for (case, speeds) in cases.iter().zip(&mut speeds) {
                    let speed = runtime.block_on(case.charges_a_second(slice))?;
                    speeds.extend((round > 0).then_some(speed));
                }
            }
            for case in &cases {
                runtime.block_on(case.shutdown());
            }
            rows.extend(self.three_rows(
                names,
                "charges/s",
                &speeds,
                (&self.engine.name(clients), &bare),
                (goal, Goal::AtLeast(0.8)),
            ));
        }
        Ok(rows)
    }

    /// The first against the bare server, an id each and denied against the first.
    fn three_rows(
        &self,
        names: [&str; 3],
        unit: &'static str,
        [plain, ids, denied]: &[Vec<f64>; 3],
        (engine, bare): (&str, &[f64]),
        (goal, goal_with_ids): (Option<Goal>, Goal),
    ) -> [Row; 3] {
        let against = |name: &str, ours: &[f64], base_name: &str, base: &[f64]| {
            let row = self.row(name, median(ours.to_vec()), unit);
            row.against(base_name, median(base.to_vec()), median_ratio(ours, base))
        };
        let row = against(names[0], plain, engine, bare);
        [
            match goal {
                Some(goal) => row.goal(goal),
                None => row,
            },
            against(names[1], ids, "without ids", plain).goal(goal_with_ids),
            against(names[2], denied, "allowed", plain),
        ]
    }

    /// One caller on an idle system: the median wait.
    fn one_caller(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let slice = Duration::from_millis(effort.slice_millis);
        let names = ["one caller, p50", "one caller, an id each, p50", "one caller, denied, p50"];
        let cases = runtime.block_on(self.three(names, CLIENTS, 1))?;
        let (mut ours, mut bare) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
        for round in 0..=effort.rounds {
            let theirs = self.engine.waits(slice)?;
            bare.extend((round > 0).then(|| percentile(&theirs, 50)));
            for (case, ours) in cases.iter().zip(&mut ours) {
                let (waits, _) = runtime.block_on(case.charges(slice))?;
                ours.extend((round > 0).then(|| percentile(&waits, 50)));
            }
        }
        for case in &cases {
            runtime.block_on(case.shutdown());
        }
        let goals = (Some(Goal::AtMost(1.5)), Goal::AtMost(1.0 / 0.8));
        Ok(self.three_rows(names, "us", &ours, (self.engine.step(), &bare), goals).into())
    }

    /// Eight processes on one client against one of them: without ids, with a fresh id each, and denied.
    fn processes(&self, effort: &Effort, runtime: &Runtime) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (work, what) in [(Work::Plain, ""), (Work::Ids, ", an id each"), (Work::Denied, ", denied")] {
            rows.extend(self.race(effort, work, what)?);
        }
        let over = runtime.block_on(processes::over_the_limit(&self.url()))?;
        let name = "8 processes x 16 callers, admitted over the limit";
        rows.push(self.row(name, over, "charges").goal(Goal::AtMost(0.0)));
        Ok(rows)
    }

    fn race(&self, effort: &Effort, work: Work, what: &str) -> anyhow::Result<[Row; 2]> {
        let slice = Duration::from_millis(effort.slice_millis.saturating_mul(2));
        let (mut one, mut eight, mut tails) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds.min(5) {
            one.push(processes::race(&self.url(), 1, slice, work)?.speed);
            let together = processes::race(&self.url(), 8, slice, work)?;
            eight.push(together.speed);
            tails.push(together.tail);
        }
        let ratio = median_ratio(&eight, &one);
        Ok([
            self.row(&format!("8 processes x 16 callers, one hot client{what}"), median(eight), "charges/s")
                .against("one process x 16", median(one), ratio)
                .goal(Goal::AtLeast(1.0)),
            self.row(&format!("their p99 by their p50{what}"), median(tails), "times").goal(Goal::AtMost(20.0)),
        ])
    }
}
