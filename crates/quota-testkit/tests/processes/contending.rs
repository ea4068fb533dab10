//! Processes that never let up on one client.

use std::time::Duration;

use quota_testkit::scale;

use crate::dialogue::Dialogue;
use crate::ground::{Ground, agreed};

const PROCESSES: usize = 8;
const CALLERS: usize = 16;

/// While the caller who waits longest is charged once, all others are charged less than a hundred times each.
const UNFAIR: usize = 100 * PROCESSES * CALLERS;

/// How often each caller of each process was charged, and how often one was told that nothing was done.
struct Told {
    charged: [[usize; CALLERS]; PROCESSES],
    not_done: usize,
}

/// Every caller is charged again and again while all others go on: none of them ends before the last has had its share. How
/// long that takes is not measured, only how much more often others are charged meanwhile.
///
/// On servers nobody is told that nothing was done. The lock of a file has no queue: who looks at the wrong moments until the
/// busy timeout is told so and asks again, and how unfair that may be is SQLite's.
#[expect(clippy::print_stderr, reason = "what was seen")]
pub(crate) fn all(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ground.set_plans(1, "unlimited"));
    let (share, is_file) = (scale(5, 50), ground.url().starts_with("sqlite:"));
    let callers = CALLERS.to_string();
    let mut workers: Vec<Dialogue> =
        (0..PROCESSES).map(|_| Dialogue::begin(ground, ground.url(), &["contend", &callers])).collect();
    workers.iter_mut().for_each(|worker| worker.tell("go"));
    let mut told = Told { charged: [[0; CALLERS]; PROCESSES], not_done: 0 };
    while told.least() < share {
        for (process, worker) in workers.iter().enumerate() {
            std::iter::from_fn(|| worker.overhear()).take(1_000).for_each(|line| told.note(process, &line));
        }
        assert!(is_file || told.not_done == 0, "somebody waited in vain: {}", told.report());
        assert!(is_file || told.sum() < share * UNFAIR, "somebody is starved: {}", told.report());
        std::thread::sleep(Duration::from_millis(1));
    }
    for (process, worker) in workers.iter_mut().enumerate() {
        worker.end().iter().for_each(|line| told.note(process, line));
    }
    eprintln!("{}", told.report());
    // A caller that was killed had one charge on its way at most.
    let there = runtime.block_on(async { agreed(&ground.service().await, &ground.client(0)).await });
    assert!((told.sum()..=told.sum() + PROCESSES * CALLERS).contains(&there), "{there}: {}", told.report());
}

impl Told {
    fn note(&mut self, process: usize, line: &str) {
        match line.parse::<usize>() {
            Ok(caller) => self.charged[process][caller] += 1,
            Err(_) => self.not_done += 1,
        }
    }

    fn least(&self) -> usize {
        self.charged.iter().flatten().copied().min().unwrap_or_default()
    }

    fn sum(&self) -> usize {
        self.charged.iter().flatten().sum()
    }

    /// Of each process, the least and the most that a caller was charged.
    fn report(&self) -> String {
        let of_process = |callers: &[usize; CALLERS]| (callers.iter().copied().min(), callers.iter().copied().max());
        let each: Vec<_> = self.charged.iter().map(of_process).map(|(least, most)| least.zip(most).unwrap()).collect();
        format!("{} charges, least and most of each process's callers {each:?}, {} not done", self.sum(), self.not_done)
    }
}
