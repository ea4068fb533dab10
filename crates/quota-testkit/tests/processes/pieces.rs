//! Something happens to a process at each piece of what it does.

use quota_testkit::{Cut, scale};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::cutting::Network;
use crate::dialogue::Dialogue;
use crate::ground::{Ground, sums};
use crate::holding::{AsHold, AsRelease};
use crate::mending::{AsBackfill, AsPlan};
use crate::scenes::Scene;
use crate::stage::Stage;

/// What happens to it, before others go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is woken when they have.
    Stopped,
    /// By a signal that it cannot do anything about.
    Killed,
}

/// A deletion of many entries takes some forty, and more where its process opens connections for it.
const MOST_PIECES: usize = 200;

/// A process that does something, whose network stands still at any piece of it that it sends, or at the answer.
pub(crate) struct Pieces<'a> {
    ground: &'a Ground,
    fate: Fate,
    runtime: Runtime,
    network: Network,
    stage: Stage,
    /// How many entries there are.
    count: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(ground: &'a mut Ground, fate: Fate) -> Self {
        let runtime = Runtime::new().unwrap();
        let network = runtime.block_on(Network::before(ground));
        let stage = runtime.block_on(Stage::new(ground));
        Self { ground, fate, runtime, network, stage, count: 0 }
    }

    /// Once for each piece that is not sent, and once for each whose answer does not come.
    pub(crate) fn each(&mut self, scene: &mut impl Scene) {
        for _ in 0..scale(1, 3) {
            self.through(scene);
        }
    }

    /// Holds, releases, backfills and plans. Where who is stopped holds others up for seconds, a short run takes one of these:
    /// another each time.
    pub(crate) fn each_of_the_rest(&mut self) {
        let (now, one) = (self.stage.service.now(), fastrand::usize(..4));
        let is_taken = |number| is_quick(self.ground.url()) || number == one;
        let taken = [0, 1, 2, 3].map(is_taken);
        if taken[0] {
            self.each(&mut AsHold::default());
        }
        if taken[1] {
            self.each(&mut AsRelease::default());
        }
        if taken[2] {
            self.each(&mut AsBackfill::new(now));
        }
        if taken[3] {
            self.each(&mut AsPlan::default());
        }
    }

    #[expect(clippy::print_stderr, reason = "what was seen")]
    fn through(&mut self, scene: &mut impl Scene) {
        let mut worker = self.worker();
        let cuts = self.cuts(scene);
        for (number, cut) in cuts.into_iter().enumerate() {
            if !self.round(scene, &mut worker, cut) {
                assert!(number > 0, "nothing has happened");
                let (longest, in_vain) = self.stage.waited();
                eprintln!("others took {longest:?} at most, and had to ask again {in_vain} times");
                return;
            }
            if self.fate == Fate::Killed {
                worker = self.worker();
            }
        }
        panic!("it takes more pieces than that");
    }

    /// Where its network stands still, each time one further on. Where who is stopped holds others up for seconds, some are left
    /// out in a short run: others each time.
    fn cuts(&self, scene: &impl Scene) -> Vec<Cut> {
        let is_quick = is_quick(self.ground.url());
        let (first, stride) = match (scene.stride(), is_quick) {
            (stride, true) => (fastrand::usize(..stride), stride),
            // There are two pieces at least.
            (stride, false) => (fastrand::usize(..stride.max(2)), 4 * stride),
        };
        let both = |piece| [Cut::Held(piece), Cut::HeldAnswer(piece)];
        let chosen = |piece| if is_quick { both(piece).to_vec() } else { vec![both(piece)[fastrand::usize(..2)]] };
        (first..MOST_PIECES).step_by(stride).flat_map(chosen).collect()
    }

    fn worker(&self) -> Dialogue {
        Dialogue::begin(self.ground, &self.network.url, &["ask"])
    }

    /// Whether there was such a piece.
    #[expect(clippy::print_stderr, reason = "what was seen")]
    fn round(&mut self, scene: &mut impl Scene, worker: &mut Dialogue, cut: Cut) -> bool {
        self.stage.begin_round();
        let line = self.runtime.block_on(scene.begin(&self.stage));
        self.network.plan(Some(cut));
        worker.tell(&line);
        let done = worker.overhear_until(|| self.network.has_cut());
        let answer = match &done {
            Some(answer) => Some(answer.clone()),
            None => self.interrupted(scene, worker, cut),
        };
        self.network.plan(None);
        eprintln!("{line:?} with {cut:?}, rivalled {}: {answer:?}", self.stage.rivals());
        self.count += self.runtime.block_on(scene.judge(&self.stage, answer.as_deref()));
        let sums = self.runtime.block_on(sums(&self.stage.service, &self.stage.client));
        assert_eq!(sums, self.count, "another sum than what was answered");
        done.is_none()
    }

    /// What it answers in the end, if it can.
    fn interrupted(&mut self, scene: &mut impl Scene, worker: &mut Dialogue, cut: Cut) -> Option<String> {
        self.network.spare_others();
        if self.fate == Fate::Stopped {
            worker.signal(Signal::STOP);
            self.others_go_on(scene);
            // What it hears is what was true before.
            self.network.plan(None);
            worker.signal(Signal::CONT);
            return Some(worker.hear());
        }
        let answer = worker.end().pop();
        let (_, in_vain) = self.stage.waited();
        self.others_go_on(scene);
        // Where the piece is held, the server has not learnt of it: as if the machine had died as well.
        let is_told = matches!(cut, Cut::HeldAnswer(_));
        assert!(!is_told || self.stage.waited().1 == in_vain, "a dead process keeps others out");
        answer
    }

    fn others_go_on(&mut self, scene: &mut impl Scene) {
        self.runtime.block_on(self.stage.timed(async |stage| scene.meanwhile(stage).await));
    }
}

/// Whether all is tried: in a long run, and where a process that does not go on holds nobody up.
pub(crate) fn is_quick(url: &str) -> bool {
    url.starts_with("redis") || scale(0, 1) == 1
}
