//! What is true of past usage and of plans, whatever a process that is stopped or killed has done with them.

use std::time::Duration;

use quota_core::{Instant, OperationId, quarter_of};

use crate::scenes::{Scene, is_open};
use crate::stage::Stage;

/// Past usage added, while another process charges, and sometimes adds the same.
pub(crate) struct AsBackfill {
    at: Instant,
    added: usize,
    beside: usize,
}

impl AsBackfill {
    const ENTRIES: usize = 3;

    pub(crate) fn new(now: Instant) -> Self {
        Self { at: quarter_of(now.saturating_sub(Duration::from_secs(1_800))), added: 0, beside: 0 }
    }

    fn ids(stage: &Stage) -> Vec<OperationId> {
        (0..Self::ENTRIES).map(|number| stage.id(format_args!("past.{number}"))).collect()
    }

    /// All of it or nothing: how many were new.
    async fn add(&self, stage: &Stage) -> usize {
        let past: Vec<(OperationId, u64)> = Self::ids(stage).into_iter().map(|id| (id, 0)).collect();
        let added = stage.backfill(self.at, &past).await;
        assert!([0, Self::ENTRIES].contains(&added), "a part of it was there: {added} were new");
        added
    }
}

impl Scene for AsBackfill {
    async fn begin(&mut self, stage: &Stage) -> String {
        (self.added, self.beside) = (0, 0);
        let ids: Vec<String> = Self::ids(stage).iter().map(ToString::to_string).collect();
        format!("backfill {} {}", self.at, ids.join(" "))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        if stage.rivals() {
            self.added = self.add(stage).await;
        }
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let ids = Self::ids(stage);
        let there = stage.known(&ids).await;
        match answer {
            None | Some("unknown") => {}
            Some("not_done") => assert_eq!(there, self.added, "not done"),
            Some(added) => {
                assert_eq!(there, Self::ENTRIES, "it is not there");
                assert_eq!(added.parse(), Ok(there - self.added), "added by both, or by neither");
            }
        }
        let again = self.add(stage).await;
        assert!(is_open(answer) || there + again == Self::ENTRIES, "asked again it is another");
        assert_eq!(stage.known(&ids).await, Self::ENTRIES);
        assert_eq!(stage.known(&[stage.id("beside")]).await, self.beside);
        Self::ENTRIES + self.beside
    }
}

/// A plan set, while another process charges, and sometimes sets another one.
#[derive(Default)]
pub(crate) struct AsPlan {
    is_rivalled: bool,
    beside: usize,
}

impl AsPlan {
    /// More than all rounds charge, and another one each time.
    fn limits(stage: &Stage) -> [String; 2] {
        [1_000_000, 2_000_000].map(|least| (least + stage.round()).to_string())
    }
}

impl Scene for AsPlan {
    async fn begin(&mut self, stage: &Stage) -> String {
        *self = Self::default();
        assert!(stage.has_limit(Some("unlimited")).await, "a plan of an earlier round is back");
        format!("plan {}", Self::limits(stage)[0])
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        if stage.rivals() {
            stage.limit(&Self::limits(stage)[1]).await;
            self.is_rivalled = true;
        }
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let [own, others] = Self::limits(stage);
        let is_own = stage.has_limit(Some(&own)).await;
        let is_as_without = stage.has_limit(Some(if self.is_rivalled { &others } else { "unlimited" })).await;
        match answer {
            // Which of the two was set last is not known.
            Some("done") => assert!(is_own || (self.is_rivalled && is_as_without), "it is not stored"),
            Some("not_done") => assert!(is_as_without, "it is stored, or no plan that was set"),
            None | Some("unknown") => {}
            Some(other) => panic!("{other}"),
        }
        stage.limit(&own).await;
        assert!(stage.has_limit(Some(&own)).await);
        stage.limit("unlimited").await;
        self.beside
    }
}
