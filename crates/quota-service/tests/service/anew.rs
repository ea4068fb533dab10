//! Holds that were made anew under an id whose hold has expired, and the guards of both.

use std::sync::Arc;
use std::time::Duration;

use quota_service::quota_core::Operation;
use quota_service::{Credits, ManualClock, QuotaService, Refusal, ServiceError, Ttl};

use crate::gated::{Fault, Gated, unknown};
use crate::given::{ann, begun, charge, clock, credits, guard, held, hundred_a_day, used};

/// What two processes have in common.
struct Shared {
    store: Gated,
    clock: Arc<ManualClock>,
}

impl Shared {
    fn new() -> Self {
        Self { store: Gated::batched(), clock: clock() }
    }

    fn process(&self) -> QuotaService<Gated> {
        hundred_a_day(self.store.clone()).with_clock(self.clock.clone()).build()
    }

    /// As long as a hold lasts, and a little longer.
    fn wait(&self) {
        self.clock.advance(Duration::from_secs(61));
    }

    fn releases(&self) -> usize {
        self.store.count(|operation| matches!(operation, Operation::Release { .. }))
    }
}

fn minute() -> Ttl {
    Ttl::new(Duration::from_secs(60)).unwrap()
}

async fn hold(service: &QuotaService<Gated>, id: &str) -> quota_service::HoldGuard {
    guard(service.hold(&ann(), charge(30, id), minute()).await.unwrap())
}

fn is_not_active<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::HoldNotActive { .. })))
}

/// Whoever was stopped for so long that its hold has expired, neither ends nor prolongs the one that another holds by now under
/// the same id.
#[tokio::test]
async fn a_hold_of_another_process_outlives_the_guards_of_the_one_that_expired() {
    let shared = Shared::new();
    let (stopped, other) = (shared.process(), shared.process());
    let (dropped, released) = (hold(&stopped, "a").await, hold(&stopped, "b").await);
    // A replay is of the same hold.
    let again = hold(&stopped, "a").await;
    shared.wait();
    let (anew, second) = (hold(&other, "a").await, hold(&other, "b").await);
    assert!(is_not_active(&dropped.extend(Ttl::DEFAULT).await));
    // What is told of the other's hold is none of the old guard's.
    hold(&stopped, "a").await.disown();
    drop((dropped, again));
    assert!(is_not_active(&released.release().await));
    assert_eq!((held(&stopped, &ann()).await, shared.releases()), (credits(60), 2));
    assert!(!anew.settle(credits(25)).await.unwrap().is_late());
    drop(second);
    assert_eq!((held(&stopped, &ann()).await, used(&stopped, &ann()).await), (Credits::ZERO, credits(25)));
}

#[tokio::test]
async fn a_shutdown_ends_no_hold_of_another_process() {
    let shared = Shared::new();
    let (stopped, other) = (shared.process(), shared.process());
    let old = hold(&stopped, "a").await;
    shared.wait();
    let anew = hold(&other, "a").await;
    // It is told of, and nobody has taken the answer.
    let ann = ann();
    let untaken = begun(stopped.hold(&ann, charge(30, "a"), minute())).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    stopped.shutdown().await;
    assert_eq!(held(&other, &ann).await, credits(30));
    drop((old, untaken));
    assert!(!anew.settle(credits(25)).await.unwrap().is_late());
}

#[tokio::test]
async fn in_one_process_the_newest_is_released_in_whatever_order_the_guards_go() {
    let shared = Shared::new();
    let service = shared.process();
    for is_first in [true, false] {
        let old = hold(&service, "a").await;
        shared.wait();
        let new = hold(&service, "a").await;
        let (first, last) = if is_first { (old, new) } else { (new, old) };
        drop(first);
        assert_eq!(held(&service, &ann()).await, credits(30));
        drop(last);
        assert_eq!(held(&service, &ann()).await, Credits::ZERO);
    }
    let old = hold(&service, "a").await;
    shared.wait();
    drop(hold(&service, "a").await);
    assert!(is_not_active(&old.release().await));
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

/// It may be there, and the guard of the one before says nothing of it.
#[tokio::test]
async fn a_hold_whose_answer_was_lost_is_released_when_the_guard_of_the_one_before_goes() {
    for is_shut_down in [false, true] {
        let shared = Shared::new();
        let (service, other) = (shared.process(), shared.process());
        let old = hold(&service, "a").await;
        shared.wait();
        shared.store.next(Fault::Done(unknown));
        let lost = service.hold(&ann(), charge(30, "a"), minute()).await;
        assert!(matches!(&lost, Err(ServiceError::Unknown { .. })), "{lost:?}");
        assert_eq!(held(&other, &ann()).await, credits(30));
        if is_shut_down {
            service.shutdown().await;
        }
        drop(old);
        assert_eq!(held(&other, &ann()).await, Credits::ZERO, "{is_shut_down}");
    }
}
