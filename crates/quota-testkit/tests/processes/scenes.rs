//! What a process has under way when it is stopped or killed, and what is true then whatever it had done.

use std::time::Duration;

use quota_core::{Instant, OperationId, Window, quarter_of};

use crate::stage::Stage;

/// One operation of a process, done again and again; and what another process does while it does not go on.
pub(crate) trait Scene {
    /// Only every so many pieces of it something happens at.
    fn stride(&self) -> usize {
        1
    }

    /// Prepares a round; gives what the process is told.
    async fn begin(&mut self, stage: &Stage) -> String;

    async fn meanwhile(&mut self, stage: &Stage);

    /// What is there fits what both were answered, and is there once when it was asked for again. A process that was killed has
    /// not answered; what it has sent may still come to pass, until it is asked for again. Gives how many entries the round has
    /// left for good.
    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize;
}

/// Of so many entries so many are left: as many were taken as was answered; where that is not known, one of these numbers.
fn assert_taken((there, left): (usize, usize), answer: Option<&str>, possible: &[usize]) {
    let taken = there.checked_sub(left).expect("no more are left than there can be");
    match answer {
        None | Some("unknown") => assert!(possible.contains(&taken), "{answer:?}: {taken} were taken"),
        Some("not_done") => assert_eq!(taken, 0, "not done"),
        Some(count) => assert_eq!(count.parse(), Ok(taken), "{count:?} was answered"),
    }
}

/// Whether nobody can say yet what becomes of it.
pub(crate) fn is_open(answer: Option<&str>) -> bool {
    matches!(answer, None | Some("unknown"))
}

/// What is there is there: nobody was answered otherwise.
pub(crate) fn assert_there(is_there: bool, answer: Option<&str>) {
    match answer {
        None | Some("unknown") => {}
        Some("allowed" | "replayed") => assert!(is_there, "it is not there"),
        Some("not_done" | "hold_not_active") => assert!(!is_there, "it is there"),
        Some(other) => panic!("{other}"),
    }
}

/// A charge, or usage that is recorded, beside a charge.
#[derive(Default)]
pub(crate) struct AsCharge {
    beside: usize,
}

impl Scene for AsCharge {
    async fn begin(&mut self, stage: &Stage) -> String {
        self.beside = 0;
        let word = if fastrand::bool() { "charge" } else { "record" };
        format!("{word} {}", stage.id("charge"))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let id = stage.id("charge");
        let is_there = stage.known(std::slice::from_ref(&id)).await == 1;
        assert_there(is_there, answer);
        let was_there = stage.charge(&id).await;
        assert!(is_open(answer) || was_there == is_there, "asked again it is new");
        assert_eq!(stage.known(&[id, stage.id("beside")]).await, 1 + self.beside);
        1 + self.beside
    }
}

/// An entry taken out, while another process takes it out, and charges with its id again.
#[derive(Default)]
pub(crate) struct AsVoid {
    voided: bool,
    charged: bool,
    beside: usize,
}

impl Scene for AsVoid {
    async fn begin(&mut self, stage: &Stage) -> String {
        *self = Self::default();
        assert!(!stage.charge(&stage.id("void")).await);
        format!("void {}", stage.id("void"))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        let id = stage.id("void");
        self.voided = stage.void(&id).await;
        self.charged = !stage.charge(&id).await;
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let id = stage.id("void");
        let is_there = stage.known(std::slice::from_ref(&id)).await == 1;
        let there = 1 + usize::from(self.charged) - usize::from(self.voided);
        assert_taken((there, is_there.into()), answer, &[0, 1]);
        let was_there = stage.void(&id).await;
        assert!(is_open(answer) || was_there == is_there, "asked again it is another");
        assert_eq!(stage.known(&[id, stage.id("beside")]).await, self.beside);
        self.beside
    }
}

/// A hold settled, while another process releases it, or settles it too.
#[derive(Default)]
pub(crate) struct AsSettlement {
    other: Option<&'static str>,
}

impl Scene for AsSettlement {
    async fn begin(&mut self, stage: &Stage) -> String {
        self.other = None;
        assert!(!stage.hold(&stage.id("hold")).await);
        format!("settle {}", stage.id("hold"))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        let id = stage.id("hold");
        self.other = Some(if stage.rivals() { stage.settle(&id).await } else { stage.release(&id).await });
        assert!(!stage.charge(&stage.id("beside")).await);
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let id = stage.id("hold");
        let is_there = stage.known(std::slice::from_ref(&id)).await == 1;
        let is_settled = stage.rivals() && self.other == Some("allowed");
        if !is_settled || answer != Some("not_done") {
            assert_there(is_there, answer);
        }
        let is_released = !stage.rivals() && self.other == Some("allowed");
        assert!(!(is_there && is_released), "released, and settled after that");
        assert!(is_there || is_released || self.other.is_none(), "ended, and not by anybody");
        assert!(!is_settled || answer != Some("allowed"), "settled by both");
        // Whoever comes last finds it so.
        let again = stage.settle(&id).await;
        match again {
            "replayed" => assert!(is_there || is_open(answer)),
            "hold_not_active" => assert!(is_released, "it is lost"),
            other => assert_eq!((other, self.other, is_there), ("allowed", None, false), "settled again"),
        }
        assert_eq!(stage.held().await.to_string(), "0");
        usize::from(!is_released) + usize::from(self.other.is_some())
    }
}

/// A quarter's entries deleted, while another process adds some, one of them again, and sometimes deletes as well.
pub(crate) struct AsDeletion {
    entries: usize,
    start: Instant,
    deleted: usize,
    added: usize,
    beside: usize,
}

/// A service takes out the rows of as many entries in more than one step.
const MANY: usize = 2_100;

impl AsDeletion {
    pub(crate) fn of_few(now: Instant) -> Self {
        Self::of(3, now)
    }

    pub(crate) fn of_many(now: Instant) -> Self {
        Self::of(MANY, now)
    }

    fn of(entries: usize, now: Instant) -> Self {
        let start = quarter_of(now.saturating_sub(Duration::from_secs(1_800)));
        Self { entries, start, deleted: 0, added: 0, beside: 0 }
    }

    /// Not the same each round: what a store keeps of what is deleted, to know it again, would be gone through by all later
    /// ones.
    fn range(&self, stage: &Stage) -> Window {
        quarters(self.start.saturating_sub(Duration::from_secs(900) * (stage.round() % 64)), 1)
    }

    fn id(stage: &Stage, number: usize) -> OperationId {
        stage.id(format_args!("old {number}"))
    }

    fn past(stage: &Stage, numbers: impl Iterator<Item = usize>) -> Vec<(OperationId, u64)> {
        numbers.map(|number| (Self::id(stage, number), 100 * u64::try_from(number).unwrap())).collect()
    }
}

impl Scene for AsDeletion {
    fn stride(&self) -> usize {
        if self.entries == MANY { quota_testkit::scale(3, 1) } else { 1 }
    }

    async fn begin(&mut self, stage: &Stage) -> String {
        (self.deleted, self.added, self.beside) = (0, 0, 0);
        let range = self.range(stage);
        let added = stage.backfill(range.start(), &Self::past(stage, 0..self.entries)).await;
        assert_eq!(added, self.entries);
        format!("delete {} {}", range.start(), range.end())
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        let range = self.range(stage);
        if stage.rivals() {
            self.deleted = stage.delete(range).await;
        }
        self.added = stage.backfill(range.start(), &Self::past(stage, [1, self.entries].into_iter())).await;
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let all: Vec<OperationId> = (0..=self.entries).map(|number| Self::id(stage, number)).collect();
        let range = self.range(stage);
        let left = stage.total(range).await;
        let there = self.entries + self.added - self.deleted;
        assert_taken((there, left), answer, &[0, self.entries, there]);
        assert!(is_open(answer) || stage.known(&all).await == left, "other ids than entries");
        let again = stage.delete(range).await;
        assert!(is_open(answer) || again == left, "{again} of {left} were there again");
        assert_eq!((stage.total(range).await, stage.known(&all).await), (0, 0), "deleted, and there");
        assert_eq!(stage.known(&[stage.id("beside")]).await, self.beside);
        self.beside
    }
}

/// Old entries folded into sums, while another process takes one out and adds it again, and sometimes prunes as well. The
/// store has no other clients.
pub(crate) struct AsPruning {
    start: Instant,
    taken_out: bool,
    added: usize,
    folded: usize,
    beside: usize,
}

impl AsPruning {
    const ENTRIES: usize = 6;

    pub(crate) fn new(now: Instant) -> Self {
        let start = quarter_of(now.saturating_sub(Duration::from_secs(60 * 86_400)));
        Self { start, taken_out: false, added: 0, folded: 0, beside: 0 }
    }

    /// Each round has two quarters of its own, which nobody has folded yet.
    fn range(&self, stage: &Stage) -> Window {
        let rounds = Duration::from_secs(1_800) * stage.round();
        quarters(self.start.saturating_add(rounds), 2)
    }

    fn past(stage: &Stage) -> Vec<(OperationId, u64)> {
        let after = |number: usize| 300_000 * u64::try_from(number).unwrap();
        (0..Self::ENTRIES).map(|number| (stage.id(format_args!("old {number}")), after(number))).collect()
    }
}

impl Scene for AsPruning {
    async fn begin(&mut self, stage: &Stage) -> String {
        *self = Self { start: self.start, taken_out: false, added: 0, folded: 0, beside: 0 };
        let range = self.range(stage);
        assert_eq!(stage.backfill(range.start(), &Self::past(stage)).await, Self::ENTRIES);
        format!("prune {}", range.end())
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        let (range, old) = (self.range(stage), Self::past(stage));
        self.taken_out = stage.void(&old[0].0).await;
        self.added = stage.backfill(range.start(), &old[..2]).await;
        if stage.rivals() {
            self.folded = stage.prune(range.end()).await;
        }
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let range = self.range(stage);
        let there = Self::ENTRIES + self.added - usize::from(self.taken_out);
        assert!(self.added <= usize::from(self.taken_out), "added again, and not taken out");
        assert_eq!(stage.total(range).await, there, "a pruning gives nothing back");
        let again = stage.prune(range.end()).await;
        match answer.and_then(|answer| answer.parse::<usize>().ok()) {
            Some(folded) => assert_eq!(folded + self.folded + again, there, "folded twice, or lost"),
            None => assert!(self.folded + again <= there, "folded twice"),
        }
        let old: Vec<OperationId> = Self::past(stage).into_iter().map(|(id, _)| id).collect();
        assert_eq!((stage.total(range).await, stage.known(&old).await), (there, 0));
        there + self.beside
    }
}

/// So many quarters of an hour.
fn quarters(start: Instant, count: u32) -> Window {
    Window::new(start, start.saturating_add(Duration::from_secs(900) * count)).unwrap()
}
