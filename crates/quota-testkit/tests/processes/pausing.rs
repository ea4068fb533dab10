//! Processes stopped at any step, and woken when others have gone on.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quota_testkit::scale;
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::Ground;
use crate::killing::sums_agree;

const CLIENTS: usize = 3;
const PROCESSES: usize = 3;

/// Of processes that do everything that writes, one after the other is stopped, wherever it is between reading,
/// deciding and writing, while the others commit, delete and prune; then it wakes with what it knew.
pub(crate) fn stopped(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(CLIENTS, "unlimited"));
    let clients = CLIENTS.to_string();
    let mut workers: Vec<Worker> = (0..PROCESSES).map(|_| Worker::start(ground, &clients)).collect();
    for round in 0..scale(12, 200) {
        let stopped = round % PROCESSES;
        workers[stopped].signal(Signal::STOP);
        // The others go on, unless it was stopped with a lock in its hands; then they wait, for less than their deadline.
        workers[(stopped + 1) % PROCESSES].has_done(20, Duration::from_millis(fastrand::u64(50..500)));
        workers[stopped].signal(Signal::CONT);
        workers[stopped].goes_on(20);
    }
    workers.iter_mut().for_each(Worker::end);
    runtime.block_on(async {
        for number in 0..CLIENTS {
            sums_agree(ground, &ground.client(number)).await;
        }
    });
}

/// A process that works, and how much it has done.
struct Worker {
    child: Child,
    done: Arc<AtomicUsize>,
}

impl Worker {
    fn start(ground: &Ground, clients: &str) -> Self {
        let mut child = ground.worker(&["churn", clients, "8"]);
        let output = BufReader::new(child.stdout.take().unwrap());
        let done = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&done);
        std::thread::spawn(move || {
            for line in output.lines() {
                if line.is_err() {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let worker = Self { child, done };
        worker.goes_on(1);
        worker
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).expect("the worker lives");
    }

    fn goes_on(&self, more: usize) {
        assert!(self.has_done(more, Duration::from_secs(60)), "a worker does not go on");
    }

    /// Waits until it has done so much more, but no longer than this; whether it has.
    fn has_done(&self, more: usize, patience: Duration) -> bool {
        let until = self.done.load(Ordering::SeqCst) + more;
        let began = std::time::Instant::now();
        while self.done.load(Ordering::SeqCst) < until {
            if began.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
