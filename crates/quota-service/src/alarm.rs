//! The timer of a lane.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// Rings when the first of several deadlines has passed.
#[derive(Default)]
pub(crate) struct Alarm {
    /// Set anew rather than made anew.
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    pub(crate) const fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// It rings then, or before.
    pub(crate) fn set_before(&mut self, deadline: Instant) {
        if self.at.is_none_or(|at| deadline < at) {
            self.set(Some(deadline));
        }
    }

    /// It rings then, or not at all.
    pub(crate) fn set(&mut self, at: Option<Instant>) {
        self.at = at;
        match (at, &mut self.sleep) {
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at),
            (Some(at), None) => self.sleep = Some(Box::pin(sleep_until(at))),
            (None, _) => {}
        }
    }

    pub(crate) async fn rings(&mut self) {
        match (self.at, &mut self.sleep) {
            (Some(_), Some(sleep)) => sleep.as_mut().await,
            _ => std::future::pending().await,
        }
        self.at = None;
    }
}
