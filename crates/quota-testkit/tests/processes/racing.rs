//! Processes racing for one limit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quota_core::Credits;
use quota_testkit::scale;

use crate::ground::{Ground, agreed, plan, used};
use crate::worker::Worker;

pub(crate) fn two(ground: &Ground) {
    Race { processes: 2, callers: 16, clients: 1, limit: 500, requests: 400 }.run(ground);
}

/// The predecessor let 731 of 1,200 through.
pub(crate) fn four(ground: &Ground) {
    Race { processes: 4, callers: 16, clients: 1, limit: 200, requests: 300 }.run(ground);
}

pub(crate) fn eight_on_one(ground: &Ground) {
    let limit = scale(800, 8_000);
    Race { processes: 8, callers: 16, clients: 1, limit, requests: limit / 4 }.run(ground);
}

pub(crate) fn eight_on_many(ground: &Ground) {
    let limit = scale(10, 100);
    Race { processes: 8, callers: 16, clients: 100, limit, requests: limit * 25 }.run(ground);
}

struct Race {
    processes: usize,
    callers: usize,
    clients: usize,
    /// Of each client.
    limit: usize,
    /// Of each process, over all clients.
    requests: usize,
}

impl Race {
    /// Each client is admitted exactly its limit.
    fn run(&self, ground: &Ground) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(ground.set_plans(self.clients, &self.limit.to_string()));
        let [clients, requests, callers] = [self.clients, self.requests, self.callers].map(|count| count.to_string());
        let admitted = together(ground, self.processes, &["race", &clients, &requests, &callers]);
        runtime.block_on(async {
            let service = ground.service().await;
            for number in 0..self.clients {
                let client = ground.client(number);
                assert_eq!(admitted.get(client.as_str()), Some(&self.limit), "{client}");
                assert_eq!(agreed(&service, &client).await, self.limit);
            }
        });
    }
}

/// What the processes say of each client, added up.
fn together(ground: &Ground, processes: usize, arguments: &[&str]) -> BTreeMap<String, usize> {
    let workers: Vec<Worker> = (0..processes).map(|_| Worker::start(ground, arguments)).collect();
    let mut sums = BTreeMap::new();
    for line in workers.into_iter().flat_map(Worker::finish) {
        let (client, count) = line.split_once(' ').unwrap();
        *sums.entry(client.to_owned()).or_default() += count.parse::<usize>().unwrap();
    }
    sums
}

/// Every process charges the same ids.
pub(crate) fn ids(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let count = scale(200, 2_000);
    runtime.block_on(ground.set_plans(2, "unlimited"));
    let new = together(ground, 8, &["repeat", "2", &count.to_string(), "16"]);
    runtime.block_on(async {
        let service = ground.service().await;
        for number in 0..2 {
            let client = ground.client(number);
            assert_eq!(new.get(client.as_str()), Some(&count), "each id is new once");
            assert_eq!(agreed(&service, &client).await, count);
        }
    });
}

/// The limit is lowered and raised while processes race for it: all of them stop, and go on until the new one.
pub(crate) fn plans(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(1, "100"));
    let limit = scale(500, 3_000);
    let arguments = ["until", &limit.to_string(), "16"];
    // A file's lock is fair to nobody.
    let processes = if ground.url().starts_with("sqlite:") { 4 } else { 8 };
    let workers: Vec<Worker> = (0..processes).map(|_| Worker::start(ground, &arguments)).collect();
    let client = ground.client(0);
    runtime.block_on(async {
        let service = ground.service().await;
        let reaches = async |count: usize| {
            let began = Instant::now();
            while used(&service, &client).await < Credits::new(count.try_into().unwrap()).unwrap() {
                assert!(workers.iter().all(|worker| !worker.is_done()), "a worker ended before the limit was reached");
                assert!(began.elapsed() < Duration::from_secs(60), "{count} are not admitted in a minute");
                tokio::task::yield_now().await;
            }
        };
        reaches(100).await;
        service.set_plan(&client, plan(&(limit / 2).to_string())).await.unwrap();
        reaches(150).await;
        let lowered = service.set_plan(&client, plan("120")).await.unwrap().quotas().as_slice()[0].used();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(used(&service, &client).await, lowered, "more were admitted by a plan that has gone");
        service.set_plan(&client, plan(&limit.to_string())).await.unwrap();
    });
    let said = workers.into_iter().flat_map(Worker::finish);
    let admitted: usize = said.map(|line| line.parse::<usize>().unwrap()).sum();
    assert_eq!(admitted, limit);
    runtime.block_on(async { assert_eq!(agreed(&ground.service().await, &client).await, limit) });
}
