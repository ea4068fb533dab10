//! Processes stopped at any step, and woken when others have gone on.

use std::collections::BTreeSet;
use std::time::Duration;

use quota_service::{Clock, SystemClock};
use quota_testkit::{Cut, scale};
use rustix::process::Signal;

use crate::cutting::{MOST_PIECES, Network};
use crate::dialogue::Dialogue;
use crate::ground::{Ground, agreed, known};
use crate::killing::sums_agree;
use crate::pieces::{Fate, Pieces};
use crate::restarting::charge;
use crate::scenes::{AsDeletion, AsPruning, AsSettlement, AsVoid};
use crate::worker::Worker;

const CLIENTS: usize = 3;
const PROCESSES: usize = 3;

/// Of processes that do everything that writes, one after the other is stopped, wherever it is between reading,
/// deciding and writing, while the others commit, delete and prune; then it wakes with what it knew.
pub(crate) fn stopped(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    let clients = CLIENTS.to_string();
    let workers: Vec<Worker> = (0..PROCESSES).map(|_| Worker::start(ground, &["churn", &clients, "8"])).collect();
    workers.iter().for_each(|worker| worker.goes_on(1));
    let (mut passed, wanted) = (0, scale(12, 200));
    // Where the server is busy, others may have to wait for a lock each time for a while.
    for round in 0..10 * wanted {
        if round >= wanted && passed > 0 {
            break;
        }
        let stopped = round % PROCESSES;
        workers[stopped].signal(Signal::STOP);
        // The others go on, unless it was stopped with a lock in its hands; then they wait, for less than their deadline.
        // More than it has callers is more than was under way.
        let patience = Duration::from_millis(fastrand::u64(50..500));
        passed += usize::from(workers[(stopped + 1) % PROCESSES].has_said(9, patience));
        workers[stopped].signal(Signal::CONT);
        workers[stopped].goes_on(20);
    }
    assert!(passed > 0, "whoever is stopped stops the others each time");
    workers.into_iter().for_each(|worker| drop(worker.kill()));
    runtime.block_on(async {
        for number in 0..CLIENTS {
            sums_agree(ground, &ground.client(number)).await;
        }
    });
}

/// How long a process that is stopped in a charge gives it.
const DEADLINE: Duration = Duration::from_secs(1);

/// A process is stopped where it waits for the server to answer a piece of its charge, whichever of them, and woken when its
/// deadline has passed and another one has charged the same client. Where it was stopped with the account's lock in its
/// hands, the server takes that away before others give up waiting for it. It wakes with an answer that is not true any more,
/// and says what is: a charge that it calls done is there, one that it calls not done is not, and asked again it is there
/// once.
pub(crate) fn stopped_in_a_charge(ground: &mut Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(1, "unlimited"));
    let (network, other) = runtime.block_on(async { (Network::before(ground).await, ground.service().await) });
    let (client, deadline) = (ground.client(0), DEADLINE.as_millis().to_string());
    let mut worker = Dialogue::begin(ground, &network.url, &["--deadline", &deadline, "ask"]);
    let mut expected = BTreeSet::new();
    for piece in 0..MOST_PIECES {
        let (id, beside) = (format!("{piece}"), format!("beside {piece}"));
        network.plan(Some(Cut::HeldAnswer(piece)));
        worker.tell(&format!("charge {id}"));
        if worker.overhear_until(|| network.has_cut()).is_some() {
            // It has no such piece.
            break;
        }
        worker.signal(Signal::STOP);
        network.plan(None);
        runtime.block_on(charge(&other, &client, &beside));
        std::thread::sleep(DEADLINE);
        worker.signal(Signal::CONT);
        let answer = worker.hear();
        let is_there = !runtime.block_on(known(&other, &client, [&id])).is_empty();
        match answer.as_str() {
            "allowed" | "replayed" => assert!(is_there, "piece {piece}: it is not there"),
            "not_done" => assert!(!is_there, "piece {piece}: it is there"),
            _ => assert_eq!(answer, "unknown", "piece {piece}"),
        }
        let again = asked_again(&mut worker, &id);
        assert!(["unknown", "not_done"].contains(&answer.as_str()) || again == "replayed", "piece {piece}: {again}");
        expected.extend([id, beside]);
        assert_eq!(runtime.block_on(known(&other, &client, &expected)), expected, "piece {piece}");
        assert_eq!(runtime.block_on(agreed(&other, &client)), expected.len(), "piece {piece}");
    }
    assert!(!expected.is_empty(), "it was never stopped");
}

/// What the worker says in the end, asked again with an id until it can tell.
fn asked_again(worker: &mut Dialogue, id: &str) -> String {
    for _ in 0..20 {
        worker.tell(&format!("charge {id}"));
        let answer = worker.hear();
        if !["unknown", "not_done"].contains(&answer.as_str()) {
            return answer;
        }
    }
    panic!("it does not heal");
}

/// A process is stopped at any piece of what it takes out, settles, holds, releases, adds or sets, while another one takes out,
/// settles, holds, releases, adds, sets or deletes the same. It wakes with what it knew before, and has done what it answers, once.
pub(crate) fn stopped_in_any_operation(ground: &mut Ground) {
    let (now, keeps_entries) = (SystemClock.now(), ground.keeps_entries());
    let mut pieces = Pieces::new(ground, Fate::Stopped);
    pieces.each(&mut AsVoid::default());
    pieces.each(&mut AsSettlement::default());
    pieces.each(&mut AsDeletion::of_few(now));
    if keeps_entries {
        pieces.each(&mut AsDeletion::of_many(now));
    }
    pieces.each_of_the_rest();
}

/// The same while it prunes: nothing is folded twice or lost, and what is taken out is not in the sums.
pub(crate) fn stopped_in_a_pruning(ground: &mut Ground) {
    Pieces::new(ground, Fate::Stopped).each(&mut AsPruning::new(SystemClock.now()));
}
