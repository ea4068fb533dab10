//! When a cost is charged that depends on the answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

type Holds = dyn Fn(StatusCode) -> bool + Send + Sync;

/// Which answers are charged.
#[derive(Clone)]
pub(crate) struct Condition {
    number: u64,
    holds: Arc<Holds>,
}

impl Condition {
    /// Any answer of 200 to 299, and 101: an upgrade over HTTP/1.1 is the 200 that it is over HTTP/2.
    pub(crate) fn success() -> Self {
        let holds = |status: StatusCode| status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS;
        Self { number: 0, holds: Arc::new(holds) }
    }

    pub(crate) fn new(holds: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        Self { number: next_number(), holds: Arc::new(holds) }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn holds(&self, status: StatusCode) -> bool {
        (self.holds)(status)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}

/// A number by which a function is told from others.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_a_success_over_whatever_version() {
        let charged = |status: u16| Condition::success().holds(StatusCode::from_u16(status).unwrap());
        assert!([101, 200, 201, 204, 299].into_iter().all(charged));
        assert!(![100, 103, 304, 400, 405, 500].into_iter().any(charged));
    }
}
