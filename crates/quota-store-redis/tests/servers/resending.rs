//! A commit that a cluster's node does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use quota_core::{Answer, Credits, Decision, Detail, EntryId, Operation, OperationId};
use quota_servers::{Node, PrivateServer};
use redis::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::requests::{
    PLENTY, agreed_usage, allowed, charge, charge_as, credits, is_not_done, is_unknown, one, put_in_place, request,
    wait_for_total,
};
use crate::servers::{Place, is_primary, keep_parts, private_cluster, tell, url_of};

/// So soon the rest of a command comes that has begun.
const A_PIECE: Duration = Duration::from_millis(20);

/// What stands between stores and nodes.
struct Between {
    /// The next commit is passed on, and its answer is not.
    is_armed: AtomicBool,
    /// It was passed on.
    passed: Notify,
    /// Its connection is to be cut.
    cut: Notify,
    /// Who asks where slots are is not heard.
    is_mute: AtomicBool,
    /// Somebody has asked.
    asked: Notify,
    /// How often connections were cut, all of them.
    cuts: watch::Sender<usize>,
    /// So many more connections are refused.
    refuses: AtomicUsize,
}

impl Between {
    fn new() -> Arc<Self> {
        let (is_armed, is_mute) = (AtomicBool::new(false), AtomicBool::new(false));
        let (passed, cut, asked) = (Notify::new(), Notify::new(), Notify::new());
        Arc::new(Self {
            is_armed,
            passed,
            cut,
            is_mute,
            asked,
            cuts: watch::Sender::new(0),
            refuses: AtomicUsize::new(0),
        })
    }

    /// Listens before a node; the port.
    async fn listen(self: &Arc<Self>, node: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let between = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&between).pass(near, node));
            }
        });
        port
    }

    async fn pass(self: Arc<Self>, near: TcpStream, node: u16) {
        let mut cuts = self.cuts.subscribe();
        if self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return;
        }
        tokio::select! {
            _ = cuts.changed() => {}
            () = self.serve(near, node) => {}
        }
    }

    async fn serve(&self, near: TcpStream, node: u16) {
        let Ok(far) = TcpStream::connect(("127.0.0.1", node)).await else { return };
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let is_silent = AtomicBool::new(false);
        tokio::select! {
            () = answer(from_far, to_near, &is_silent) => {}
            () = self.ask(from_near, to_far, &is_silent) => {}
        }
    }

    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_silent: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        let mut may_begin_one = false;
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let some = &buffer[..count];
            let has = |word: &[u8]| some.windows(word.len()).any(|part| part == word);
            if has(b"SLOTS") && self.is_mute.load(Ordering::SeqCst) {
                self.asked.notify_one();
                continue;
            }
            // Not the script itself, whose text has all its words. It may come in two pieces.
            let is_of_script = (has(b"EVALSHA") || may_begin_one) && (has(b"ACCOUNT") || has(b"ADDED"));
            may_begin_one = has(b"EVALSHA") && !is_of_script;
            let is_commit = is_of_script || has(b"LINSERT");
            let is_held = is_commit && self.is_armed.swap(false, Ordering::SeqCst);
            is_silent.fetch_or(is_held, Ordering::SeqCst);
            if to.write_all(some).await.is_err() {
                return;
            }
            if is_held {
                while let Ok(Ok(count @ 1..)) = timeout(A_PIECE, from.read(&mut buffer)).await {
                    to.write_all(&buffer[..count]).await.unwrap();
                }
                self.passed.notify_one();
                return tokio::select! {
                    () = self.cut.notified() => {}
                    () = self.hear(from) => {}
                };
            }
        }
    }

    /// Passes nothing on any more.
    async fn hear(&self, mut from: OwnedReadHalf) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if buffer[..count].windows(5).any(|part| part == b"SLOTS") {
                self.asked.notify_one();
            }
        }
    }
}

/// Passes on what a server says, until it is to be silent. The connection stays.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_silent: &AtomicBool) {
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

/// A cluster whose nodes every client, and they themselves, reach through what stands between.
async fn cluster_behind(between: &Arc<Between>) -> Option<(PrivateServer, Place)> {
    let (server, _) = private_cluster()?;
    let mut ports = Vec::new();
    for node in server.nodes() {
        let port = between.listen(node.port()).await;
        ports.push(format!("127.0.0.1:{port}"));
        tell(&url_of(node), &format!("CONFIG SET cluster-announce-port {port}")).await.unwrap();
    }
    // Every node has to have heard of it from the others.
    for node in server.nodes() {
        while names_any(&tell(&url_of(node), "CLUSTER SLOTS").await.unwrap(), server.nodes()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    keep_parts(&server).await;
    let place = Place::at(format!("redis+cluster://{}", ports.join(",")));
    Some((server, place))
}

/// Gives the slot of a client to another primary.
async fn move_slot(server: &PrivateServer, place: &Place, name: &str) {
    let key = place.key(&format!("{{{name}}}:a"));
    let mut primaries = Vec::new();
    for node in server.nodes() {
        let url = url_of(node);
        let Value::BulkString(id) = tell(&url, "CLUSTER MYID").await.unwrap() else { panic!("no id") };
        if is_primary(node).await {
            let is_owner = tell(&url, &format!("EXISTS {key}")).await.is_ok();
            primaries.push((url, String::from_utf8(id).unwrap(), is_owner));
        }
    }
    let Value::Int(slot) = tell(&primaries[0].0, &format!("CLUSTER KEYSLOT {key}")).await.unwrap() else {
        panic!("no slot")
    };
    let (to, id, _) = primaries.iter().find(|(_, _, is_owner)| !is_owner).unwrap().clone();
    for url in std::iter::once(&to).chain(primaries.iter().map(|(url, _, _)| url)) {
        tell(url, &format!("CLUSTER SETSLOT {slot} NODE {id}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_not_sent_again() {
    for detail in [Detail::Quarters, Detail::Entries] {
        let between = Between::new();
        let Some((_server, place)) = cluster_behind(&between).await else { return };
        let (ours, theirs) = (Arc::new(place.store(detail).await), place.store(detail).await);
        assert!(allowed(&one(&ours, request("a", charge_as("old", "1"), PLENTY)).await));
        // The answer of each is lost, and another process commits before the connection ends.
        let void = Operation::Void { id: OperationId::new("old").unwrap(), at: None };
        for (operation, with_id) in [(plain("1"), charge_as("1", "1")), (void.clone(), void)] {
            // What takes something out does so at once.
            put_in_place(&ours, "a", 0).await;
            between.is_armed.store(true, Ordering::SeqCst);
            let asks = Arc::clone(&ours);
            let asking = tokio::spawn(async move { one(&asks, request("a", operation, PLENTY)).await });
            between.passed.notified().await;
            // It is done before the other one reads the account.
            wait_for_total(&theirs, "a", "2").await;
            assert!(allowed(&one(&theirs, request("a", charge("1"), PLENTY)).await));
            between.cut.notify_one();
            let answer = asking.await.unwrap();
            assert!(is_unknown(&answer), "{answer:?}");
            assert_eq!(agreed_usage(&ours, "a").await, credits("3"), "{detail:?}");
            // Asked again with the id, it finds what it did.
            let answer = one(&ours, request("a", with_id, PLENTY)).await;
            assert!(matches!(answer, Ok(Answer::Decision(Decision::Allowed(_)) | Answer::Voided(false))), "{answer:?}");
            assert_eq!(agreed_usage(&ours, "a").await, credits("3"), "{detail:?}");
        }
    }
}

/// What stands beside the account is put into its keys before something is taken out.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_without_an_answer_leaves_the_request_undone() {
    for detail in [Detail::Quarters, Detail::Entries] {
        let between = Between::new();
        let Some((_server, place)) = cluster_behind(&between).await else { return };
        let (ours, theirs) = (Arc::new(place.store(detail).await), place.store(detail).await);
        for id in ["1", "2"] {
            assert!(allowed(&one(&ours, request("a", charge_as(id, "1"), PLENTY)).await));
        }
        let void = || request("a", Operation::Void { id: OperationId::new("1").unwrap(), at: None }, PLENTY);
        between.is_armed.store(true, Ordering::SeqCst);
        let (asks, asked) = (Arc::clone(&ours), void());
        let asking = tokio::spawn(async move { one(&asks, asked).await });
        between.passed.notified().await;
        between.cut.notify_one();
        let answer = asking.await.unwrap();
        assert!(is_not_done(&answer), "{answer:?}");
        assert_eq!(agreed_usage(&theirs, "a").await, credits("2"), "{detail:?}");
        assert!(matches!(one(&ours, void()).await, Ok(Answer::Voided(true))));
        assert_eq!(agreed_usage(&theirs, "a").await, credits("1"), "{detail:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_sent_again_where_slots_cannot_be_learnt() {
    let between = Between::new();
    let Some((server, place)) = cluster_behind(&between).await else { return };
    let ours = Arc::new(place.store(Detail::Quarters).await);
    let theirs = place.store(Detail::Quarters).await;
    assert!(allowed(&one(&ours, request("a", charge("1"), PLENTY)).await));
    between.is_armed.store(true, Ordering::SeqCst);
    let asks = Arc::clone(&ours);
    let asking = tokio::spawn(async move { one(&asks, request("a", plain("ours"), PLENTY)).await });
    between.passed.notified().await;
    wait_for_total(&theirs, "a", "2").await;
    assert!(allowed(&one(&theirs, request("a", charge("1"), PLENTY)).await));
    // A redirection lets the store learn the slots anew.
    move_slot(&server, &place, "b").await;
    between.is_mute.store(true, Ordering::SeqCst);
    let asks = Arc::clone(&ours);
    let beside = tokio::spawn(async move { one(&asks, request("b", charge("1"), PLENTY)).await });
    between.asked.notified().await;
    // Nobody tells it, at each node twice, and all that is on its way is lost.
    between.refuses.store(2 * server.nodes().len(), Ordering::SeqCst);
    between.is_mute.store(false, Ordering::SeqCst);
    between.cuts.send_modify(|cuts| *cuts += 1);
    let answer = asking.await.unwrap();
    assert!(is_unknown(&answer), "{answer:?}");
    beside.await.unwrap().ok();
    wait_for_total(&ours, "a", "3").await;
    while one(&ours, request("a", Operation::Status, PLENTY)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(agreed_usage(&ours, "a").await, credits("3"));
}
