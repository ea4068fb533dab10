//! What the headers of a request's answer tell of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use quota_core::{Decision, Status};

use crate::answers::Answers;
use crate::quota_headers::HeadersMut;

/// What the headers of a request's answer tell of.
pub(crate) struct Shown(Mutex<Telling>);

enum Telling {
    Nothing,
    /// The last decision in this request.
    Decision(Decision),
    Status(Status),
    /// The service could not answer, or refused: it is not asked once more for the headers, which would take as long again.
    Unknown,
}

impl Shown {
    pub(crate) fn new(decision: Option<Decision>) -> Self {
        Self(Mutex::new(decision.map_or(Telling::Nothing, Telling::Decision)))
    }

    /// The last decision in the request.
    pub(crate) fn decision(&self) -> Option<Decision> {
        match &*self.lock() {
            Telling::Decision(decision) => Some(decision.clone()),
            Telling::Nothing | Telling::Status(_) | Telling::Unknown => None,
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(*self.lock(), Telling::Nothing)
    }

    pub(crate) fn set_decision(&self, decision: &Decision) {
        *self.lock() = Telling::Decision(decision.clone());
    }

    pub(crate) fn set_status(&self, status: Status) {
        *self.lock() = Telling::Status(status);
    }

    pub(crate) fn set_nothing(&self) {
        *self.lock() = Telling::Nothing;
    }

    pub(crate) fn set_unknown(&self) {
        *self.lock() = Telling::Unknown;
    }

    /// The same where nothing was decided before.
    pub(crate) fn set_unknown_if_nothing(&self) {
        let mut telling = self.lock();
        if matches!(*telling, Telling::Nothing) {
            *telling = Telling::Unknown;
        }
    }

    pub(crate) fn write(&self, answers: &Answers, headers: &mut impl HeadersMut) {
        match &*self.lock() {
            Telling::Nothing => {}
            Telling::Unknown => answers.write_decision(&Decision::Unchecked, headers),
            Telling::Decision(decision) => answers.write_decision(decision, headers),
            Telling::Status(status) => answers.write_status(status, headers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Telling> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
