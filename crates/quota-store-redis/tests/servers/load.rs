//! Callers that go on charging until they are told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::Credits;
use quota_service::UsageStore;
use quota_store_redis::RedisStore;
use tokio::task::JoinHandle;

use crate::requests::{PLENTY, allowed, charge, charge_as, request, used};

/// Callers that go on charging one credit with an id, each several clients in a batch.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Sent>>,
}

/// The ids that were sent for each client, those without an answer too.
pub(crate) type Sent = BTreeMap<String, Vec<String>>;

impl Load {
    /// Two callers a store, each of which is a process of its own to the servers.
    pub(crate) fn begin(stores: &[Arc<RedisStore>], names: &[String]) -> Self {
        Self::by(stores.iter().chain(stores), names)
    }

    /// A caller for each of these.
    pub(crate) fn by<'a>(stores: impl IntoIterator<Item = &'a Arc<RedisStore>>, names: &[String]) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let caller = |number: usize, store: &Arc<RedisStore>| {
            let (store, ended, names) = (Arc::clone(store), Arc::clone(&ended), names.to_vec());
            tokio::spawn(async move { go_on(&store, &ended, &names, number).await })
        };
        let callers = stores.into_iter().enumerate().map(|(number, store)| caller(number, store)).collect();
        Self { ended, callers }
    }

    pub(crate) async fn end(self) -> Sent {
        self.ended.store(true, Ordering::Relaxed);
        let mut sent = Sent::new();
        for caller in self.callers {
            for (name, ids) in caller.await.unwrap() {
                sent.entry(name).or_default().extend(ids);
            }
        }
        sent
    }
}

async fn go_on(store: &RedisStore, ended: &AtomicBool, names: &[String], caller: usize) -> Sent {
    let (mut sent, mut number) = (Sent::new(), 0);
    while !ended.load(Ordering::Relaxed) {
        number += 1;
        let id = format!("{caller}-{number}");
        let batch: Vec<_> = names.iter().map(|name| request(name, charge_as(&id, "1"), PLENTY)).collect();
        let answers = store.apply(batch).await;
        for (name, answer) in names.iter().zip(answers) {
            sent.entry(name.clone()).or_default().push(id.clone());
            // An error is no answer; what is answered has to be true.
            if answer.is_ok() {
                assert!(allowed(&answer), "{answer:?}");
                assert!(used(&answer) >= Credits::ONE, "its own is part of it: {answer:?}");
            }
        }
        // A machine with little to spare has other tests to run.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    sent
}

/// Servers that are not themselves for so long will not be.
const HEALED_WITHIN: Duration = Duration::from_secs(120);

/// Charges every client once more, and again until each is charged: the servers may need seconds to be themselves.
pub(crate) async fn charge_until_allowed(store: &RedisStore, names: &[String]) {
    let mut waiting = names.to_vec();
    let mut failed = None;
    let began = tokio::time::Instant::now();
    while began.elapsed() < HEALED_WITHIN {
        let batch: Vec<_> = waiting.iter().map(|name| request(name, charge("1"), PLENTY)).collect();
        let answers = store.apply(batch).await;
        failed = answers.iter().find_map(|answer| answer.as_ref().err()).map(|error| format!("{error:?}"));
        waiting =
            waiting.into_iter().zip(&answers).filter(|(_, answer)| answer.is_err()).map(|(name, _)| name).collect();
        if waiting.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not charged: {waiting:?}: {failed:?}");
}

/// Asks again with ids that were sent, a batch of them at a time.
pub(crate) async fn ask_again(store: &RedisStore, name: &str, ids: &[String]) {
    for ids in ids.chunks(200) {
        let batch: Vec<_> = ids.iter().map(|id| request(name, charge_as(id, "1"), PLENTY)).collect();
        for answer in store.apply(batch).await {
            assert!(allowed(&answer));
        }
    }
}
