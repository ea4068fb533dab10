//! What is true of a hold, whatever a process that is stopped or killed has done with it.

use quota_core::Credits;

use crate::scenes::{Scene, assert_there, is_open};
use crate::stage::Stage;

/// A hold made, while another process charges, and sometimes asks for the same one.
#[derive(Default)]
pub(crate) struct AsHold {
    beside: usize,
}

impl Scene for AsHold {
    async fn begin(&mut self, stage: &Stage) -> String {
        self.beside = 0;
        format!("hold {}", stage.id("hold"))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        if stage.rivals() {
            stage.hold(&stage.id("hold")).await;
        }
        assert!(!stage.charge(&stage.id("beside")).await);
        self.beside = 1;
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let (id, is_rivalled) = (stage.id("hold"), stage.rivals() && self.beside == 1);
        let is_held = holds_all(stage).await;
        if is_rivalled {
            assert!(is_held, "another process was told that it holds");
        } else {
            assert_there(is_held, answer);
        }
        let was_held = stage.hold(&id).await;
        assert!(is_open(answer) || was_held == is_held, "asked again it is another");
        assert!(holds_all(stage).await, "asked again it is not held once");
        assert_eq!(stage.settle(&id).await, "allowed");
        assert!(!holds_all(stage).await, "settled, and held");
        assert_eq!(stage.known(&[id, stage.id("beside")]).await, 1 + self.beside);
        1 + self.beside
    }
}

/// A hold released, while another process settles it, or releases it too.
#[derive(Default)]
pub(crate) struct AsRelease {
    other: Option<&'static str>,
}

impl Scene for AsRelease {
    async fn begin(&mut self, stage: &Stage) -> String {
        self.other = None;
        assert!(!stage.hold(&stage.id("hold")).await);
        format!("release {}", stage.id("hold"))
    }

    async fn meanwhile(&mut self, stage: &Stage) {
        let id = stage.id("hold");
        self.other = Some(if stage.rivals() { stage.release(&id).await } else { stage.settle(&id).await });
        assert!(!stage.charge(&stage.id("beside")).await);
    }

    async fn judge(&mut self, stage: &Stage, answer: Option<&str>) -> usize {
        let id = stage.id("hold");
        let is_held = holds_all(stage).await;
        match (self.other, answer) {
            (None, Some("allowed")) => assert!(!is_held, "released, and held"),
            (None, Some("not_done")) => assert!(is_held, "not done, and not held"),
            (None, Some("unknown")) | (Some(_), None | Some("unknown")) => {}
            (Some("allowed"), Some("not_done" | "hold_not_active")) => {}
            (Some("hold_not_active"), Some("allowed")) => {}
            (other, answer) => panic!("another was answered {other:?}, this one {answer:?}"),
        }
        assert!(!is_held || self.other.is_none(), "ended, and held");
        let again = stage.release(&id).await;
        assert!(["allowed", "hold_not_active"].contains(&again), "{again}");
        let is_known = self.other.is_some() || !is_open(answer);
        assert!(!is_known || (again == "allowed") == is_held, "asked again it is another");
        assert!(!holds_all(stage).await, "released, and held");
        let is_settled = usize::from(!stage.rivals() && self.other == Some("allowed"));
        let beside = usize::from(self.other.is_some());
        assert_eq!(stage.known(&[id, stage.id("beside")]).await, is_settled + beside);
        is_settled + beside
    }
}

/// Whether the one credit is held that a round holds; else nothing is.
async fn holds_all(stage: &Stage) -> bool {
    let held = stage.held().await;
    assert!([Credits::ZERO, Credits::ONE].contains(&held), "{held} are held, a part of it or twice of it");
    held == Credits::ONE
}
