//! How long what a large deletion has left may hold somebody back.

use std::time::{Duration, Instant};

use quota_service::Batch;

/// How long what a large deletion has left may be taken out, before requests that it is in the way of are given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    began: Instant,
    lasts: Duration,
}

impl Grace {
    /// So long the others of a batch wait for one whose requests meet the rows of a large deletion.
    const FOR_OTHERS: Duration = Duration::from_millis(500);

    /// From now on: for as long as others can wait for that, or for so long where the batch has no other clients.
    pub(crate) fn begin(batch: &Batch, alone: Duration) -> Self {
        let lasts = if batch.clients().len() == 1 { alone } else { Self::FOR_OTHERS };
        Self { began: Instant::now(), lasts }
    }

    /// What is left of it.
    pub(crate) fn left(self) -> Duration {
        self.lasts.saturating_sub(self.began.elapsed())
    }
}
