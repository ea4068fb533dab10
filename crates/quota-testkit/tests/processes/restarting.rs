//! A server killed and started again under load.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quota_core::{ClientId, Credits, OperationId};
use quota_service::{AnyStore, Charge, QuotaService, ServiceError};
use quota_testkit::{Server, scale};

use crate::ground::{Ground, agreed, known};

const CLIENTS: usize = 4;
const CALLERS: usize = 16;

/// So many ids of a client at the most are charged at full speed in all runs: a store of quarters remembers 100,000. Who has charged its
/// part of them goes on with pauses.
const QUICK: usize = 70_000;
const PAUSE: Duration = Duration::from_millis(100);

/// What was answered is in the ledger, nothing is there twice, and what got no answer is charged once when it is
/// tried again.
pub(crate) fn killed(ground: &mut Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    let service = runtime.block_on(ground.service());
    let clients: Vec<ClientId> = (0..CLIENTS).map(|number| ground.client(number)).collect();
    let mut answered: Vec<BTreeSet<String>> = vec![BTreeSet::new(); CLIENTS];
    let runs = scale(2, 50);
    for run in 0..runs {
        be_durable(ground);
        let load = Load::start(&runtime, &service, &clients, (run, runs));
        std::thread::sleep(Duration::from_millis(fastrand::u64(50..400)));
        ground.server.as_mut().unwrap().restart().expect("the server starts again");
        for (client, id) in load.end(&runtime) {
            answered[client].insert(id);
        }
        runtime.block_on(async {
            let fresh = ground.service().await;
            for (number, answered) in answered.iter().enumerate() {
                let there = known(&fresh, &clients[number], answered).await;
                let lost: Vec<_> = answered.difference(&there).collect();
                assert!(lost.is_empty(), "answered and not there: {lost:?}");
                let count = agreed(&fresh, &clients[number]).await;
                assert_eq!(count, answered.len(), "there and not answered, although it was tried until it was");
            }
        });
    }
}

/// Redis flushes each second where it is not told otherwise: what it has answered then waits in its memory while a slow
/// disk is busy, and a kill takes it.
fn be_durable(ground: &Ground) {
    let server = ground.server.as_ref().unwrap();
    if !matches!(server.server(), Server::Redis | Server::RedisCluster) {
        return;
    }
    for node in server.nodes() {
        assert_eq!(node.ask_redis("CONFIG SET appendfsync always").unwrap(), "OK");
    }
}

/// Callers that charge until they are told to end, each charge again and again until it is answered.
pub(crate) struct Load {
    tasks: tokio::task::JoinSet<()>,
    ending: Arc<std::sync::atomic::AtomicBool>,
    answered: Arc<Mutex<Vec<(usize, String)>>>,
    /// What somebody was told last who was not answered.
    failed: Arc<Mutex<Option<String>>>,
}

impl Load {
    pub(crate) fn start(
        runtime: &tokio::runtime::Runtime,
        service: &QuotaService<AnyStore>,
        clients: &[ClientId],
        (run, runs): (usize, usize),
    ) -> Self {
        let quick = QUICK / (runs * CALLERS.div_ceil(clients.len()));
        let mut load = Self {
            tasks: tokio::task::JoinSet::new(),
            ending: Arc::default(),
            answered: Arc::default(),
            failed: Arc::default(),
        };
        for caller in 0..CALLERS {
            let number = caller % clients.len();
            let (service, client) = (service.clone(), clients[number].clone());
            let (ending, answered) = (Arc::clone(&load.ending), Arc::clone(&load.answered));
            let failed = Arc::clone(&load.failed);
            let charging = async move {
                for count in 0.. {
                    let id = format!("{run}.{caller}.{count}");
                    charge_telling(&service, &client, &id, |error| {
                        *failed.lock().unwrap() = Some(format!("{error:?}"));
                    })
                    .await;
                    answered.lock().unwrap().push((number, id));
                    if ending.load(std::sync::atomic::Ordering::SeqCst) {
                        return;
                    }
                    if count >= quick {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            load.tasks.spawn_on(charging, runtime.handle());
        }
        load
    }

    /// Which client was charged with which id.
    pub(crate) fn end(mut self, runtime: &tokio::runtime::Runtime) -> Vec<(usize, String)> {
        self.ending.store(true, std::sync::atomic::Ordering::SeqCst);
        runtime.block_on(async {
            let ended = async {
                while let Some(ended) = self.tasks.join_next().await {
                    ended.expect("no caller panics");
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
            assert!(ended.is_ok(), "the store did not heal by itself: {:?}", self.failed.lock().unwrap());
        });
        self.answered.lock().unwrap().clone()
    }
}

/// Asks until there is an answer.
pub(crate) async fn charge(service: &QuotaService<AnyStore>, client: &ClientId, id: &str) {
    charge_telling(service, client, id, |_| {}).await;
}

/// The same, and tells what failed until then.
async fn charge_telling(service: &QuotaService<AnyStore>, client: &ClientId, id: &str, failed: impl Fn(&ServiceError)) {
    loop {
        let charge = Charge::new(Credits::ONE).with_id(OperationId::new(id).unwrap());
        match service.charge_with(client, charge).await {
            Ok(decision) => return assert!(decision.is_allowed()),
            Err(
                error @ (ServiceError::Unknown { .. }
                | ServiceError::NotDone { .. }
                | ServiceError::DeadlineQueued
                | ServiceError::Plans(_)),
            ) => {
                failed(&error);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
