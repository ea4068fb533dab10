//! A commit that a cluster's node does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_core::{Answer, Credits, Decision, Detail, EntryId, Operation, OperationId, Window};
use quota_servers::Node;
use quota_service::UsageStore;
use redis::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::requests::{PLENTY, agreed_usage, allowed, charge, charge_as, client, credits, is_unknown, one, request};
use crate::servers::{private_cluster, tell, url_of};

/// What stands between stores and a node.
#[derive(Default)]
struct Between {
    /// The next commit is passed on, and its answer is not.
    is_armed: AtomicBool,
    /// It was passed on.
    passed: Notify,
    /// Its connection is to be cut.
    cut: Notify,
}

impl Between {
    /// Listens before a node; the port.
    async fn listen(self: &Arc<Self>, node: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let between = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", node)).await else { return };
                tokio::spawn(Arc::clone(&between).pass(near, far));
            }
        });
        port
    }

    async fn pass(self: Arc<Self>, near: TcpStream, far: TcpStream) {
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let is_silent = Arc::new(AtomicBool::new(false));
        let answers = tokio::spawn(answer(from_far, to_near, Arc::clone(&is_silent)));
        self.ask(from_near, to_far, &is_silent).await;
        answers.abort();
    }

    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_silent: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let some = &buffer[..count];
            let is_commit = some.windows(7).any(|word| word == b"HINCRBY");
            let is_held = is_commit && self.is_armed.swap(false, Ordering::SeqCst);
            is_silent.fetch_or(is_held, Ordering::SeqCst);
            if to.write_all(some).await.is_err() {
                return;
            }
            if is_held {
                self.passed.notify_one();
                return self.cut.notified().await;
            }
        }
    }
}

/// Passes on what a server says, until it is to be silent. The connection stays.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_silent: Arc<AtomicBool>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Whether an answer names the port of one of these nodes.
fn names_any(answer: &Value, nodes: &[Node]) -> bool {
    match answer {
        Value::Array(values) => values.iter().any(|value| names_any(value, nodes)),
        Value::Int(number) => nodes.iter().any(|node| i64::from(node.port()) == *number),
        _ => false,
    }
}

/// A charge of a caller who gave no id, as a service asks for it.
fn plain(id: &str) -> Operation {
    let id = EntryId::Made(OperationId::new(id).unwrap());
    Operation::Charge { credits: Credits::ONE, id, label: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_not_sent_again() {
    for detail in [Detail::Quarters, Detail::Entries] {
        let Some((server, place)) = private_cluster() else { return };
        let between = Arc::new(Between::default());
        for node in server.nodes() {
            let port = between.listen(node.port()).await;
            tell(&url_of(node), &format!("CONFIG SET cluster-announce-port {port}")).await.unwrap();
            // A busy machine is no dead node: what is asked of them stays where it is.
            tell(&url_of(node), "CONFIG SET cluster-node-timeout 60000").await.unwrap();
        }
        // Every node has to have heard of it from the others.
        for node in server.nodes() {
            while names_any(&tell(&url_of(node), "CLUSTER SLOTS").await.unwrap(), server.nodes()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let (ours, theirs) = (Arc::new(place.store(detail).await), place.store(detail).await);
        assert!(allowed(&one(&ours, request("a", charge_as("old", "1"), PLENTY)).await));
        // The answer of each is lost, and another process commits before the connection ends.
        let void = Operation::Void { id: OperationId::new("old").unwrap() };
        for (operation, with_id, lost, both) in
            [(plain("1"), charge_as("1", "1"), "2", "3"), (void.clone(), void, "2", "3")]
        {
            between.is_armed.store(true, Ordering::SeqCst);
            let asks = Arc::clone(&ours);
            let asking = tokio::spawn(async move { one(&asks, request("a", operation, PLENTY)).await });
            between.passed.notified().await;
            // It is done before the other one reads the account.
            while theirs.total(&client("a"), Window::ALL).await.unwrap() != credits(lost) {
                tokio::task::yield_now().await;
            }
            assert!(allowed(&one(&theirs, request("a", charge("1"), PLENTY)).await));
            between.cut.notify_one();
            let answer = asking.await.unwrap();
            assert!(is_unknown(&answer), "{answer:?}");
            assert_eq!(agreed_usage(&ours, "a").await, credits(both), "{detail:?}");
            // Asked again with the id, it finds what it did.
            let answer = one(&ours, request("a", with_id, PLENTY)).await;
            assert!(matches!(answer, Ok(Answer::Decision(Decision::Allowed(_)) | Answer::Voided(false))), "{answer:?}");
            assert_eq!(agreed_usage(&ours, "a").await, credits(both), "{detail:?}");
        }
    }
}
