//! Holds in the hands of callers.

use std::time::Duration;

use quota_service::quota_core::Operation;
use quota_service::{
    Charge, Clock, Credits, Decision, Holding, Instant, OnStoreError, PlanRegistry, QuotaService, Refusal,
    ServiceError, Settled, Ttl, UsageStore,
};
use quota_store_memory::MemoryStore;

use crate::gated::{Fault, Gated, not_done, unknown};
use crate::given::{
    ann, begun, charge, client, clock, credits, daily, guard, held, hundred_a_day, id, is_replayed, noon, used,
};

/// Goes with tokio's time, which a test can pause.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        noon().saturating_add(self.0.elapsed())
    }
}

fn in_tokio_time<S: UsageStore>(store: S) -> QuotaService<S> {
    let clock = TokioClock(tokio::time::Instant::now());
    let plans = PlanRegistry::new().with_default(daily(100));
    QuotaService::builder(store).with_registry(plans).with_clock(clock).build()
}

fn seconds(count: u64) -> Ttl {
    Ttl::new(Duration::from_secs(count)).unwrap()
}

fn extensions(store: &Gated) -> usize {
    store.count(|operation| matches!(operation, Operation::Extend { .. }))
}

#[tokio::test]
async fn a_guard_that_is_dropped_releases_its_hold() {
    async fn drop_releases<S: UsageStore>(service: QuotaService<S>) {
        let guard = guard(service.hold(&ann(), Charge::new(credits(60)), Ttl::DEFAULT).await.unwrap());
        assert_eq!(guard.credits(), credits(60));
        assert!(guard.decision().is_allowed());
        assert_eq!(held(&service, &ann()).await, credits(60));
        assert!(service.charge(&ann(), credits(41)).await.unwrap().is_denied());
        drop(guard);
        assert_eq!(held(&service, &ann()).await, Credits::ZERO);
        assert!(service.charge(&ann(), credits(100)).await.unwrap().is_allowed());
    }
    drop_releases(hundred_a_day(MemoryStore::new()).build()).await;
    drop_releases(hundred_a_day(Gated::direct()).build()).await;
    drop_releases(hundred_a_day(Gated::batched()).build()).await;
}

#[tokio::test]
async fn a_denied_hold_leaves_nothing() {
    let service = hundred_a_day(Gated::batched()).build();
    let holding = service.hold(&ann(), charge(101, "a"), Ttl::DEFAULT).await.unwrap();
    assert!(matches!(holding, Holding::Denied(_)));
    assert!(matches!(
        service.release(&ann(), &id("a")).await,
        Err(ServiceError::Refused(Refusal::HoldNotActive { .. }))
    ));
    drop(guard(service.hold(&ann(), charge(100, "a"), Ttl::DEFAULT).await.unwrap()));
}

#[tokio::test]
async fn a_hold_whose_caller_goes_away_in_flight_is_released() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let hold = begun(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    store.came(1).await;
    drop(hold);
    store.open();
    store.came(2).await;
    assert_eq!(store.batches(), [["hold a"], ["release a"]]);
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_late_is_unknown_and_released() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    store.close();
    let answer = service.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await;
    assert!(matches!(answer, Err(ServiceError::Unknown { id: Some(known), .. }) if known == id("a")));
    store.open();
    store.came(2).await;
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_tried_again_while_the_first_try_is_in_flight_is_kept() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let answer = service.hold(&ann, charge(60, "a"), Ttl::DEFAULT).await;
    assert!(matches!(answer, Err(ServiceError::Unknown { .. })));
    let again = begun(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    store.open();
    let guard = guard(again.await.unwrap());
    assert_eq!(held(&service, &ann).await, credits(60), "the first try's end does not take it away");
    assert!(service.charge(&ann, credits(41)).await.unwrap().is_denied());
    let settled = guard.settle(credits(50)).await.unwrap();
    assert!(!settled.is_late());
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_disowned_leaves_the_release_to_the_first_try() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let answer = service.hold(&ann, charge(60, "a"), Ttl::DEFAULT).await;
    assert!(matches!(answer, Err(ServiceError::Unknown { .. })));
    let again = begun(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    store.open();
    guard(again.await.unwrap()).disown();
    assert_eq!(held(&service, &ann).await, Credits::ZERO, "the first try's guard went to nobody");

    let first = guard(service.hold(&ann, charge(60, "b"), Ttl::DEFAULT).await.unwrap());
    guard(service.hold(&ann, charge(60, "b"), Ttl::DEFAULT).await.unwrap()).disown();
    assert_eq!(held(&service, &ann).await, credits(60), "it is the first one's");
    assert!(!first.settle(credits(50)).await.unwrap().is_late());
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_nobody_got_in_several_tries_is_released() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    assert!(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT).await.is_err());
    let again = begun(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    store.open();
    store.came(2).await;
    drop(again);
    store.came(3).await;
    assert_eq!(held(&service, &ann).await, Credits::ZERO);

    store.close();
    assert!(service.hold(&ann, charge(60, "b"), Ttl::DEFAULT).await.is_err());
    let queued = begun(service.hold(&ann, charge(60, "b"), Ttl::DEFAULT)).await;
    drop(queued);
    let came = store.requests().len();
    store.open();
    store.came(came).await;
    let release =
        |operation: &Operation| matches!(operation, Operation::Release { id: ended, .. } if *ended == id("b"));
    while store.count(release) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
}

#[tokio::test]
async fn a_guard_settled_in_time_charges_the_cost_at_the_holds_instant() {
    let clock = clock();
    let plans = PlanRegistry::new().with_default(daily(100));
    let service =
        QuotaService::builder(MemoryStore::with_entries()).with_registry(plans).with_clock(clock.clone()).build();
    let guard = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    clock.advance(Duration::from_millis(299_999));
    let settled = guard.settle(credits(25)).await.unwrap();
    assert!(matches!(&settled, Settled::InTime(decision) if !is_replayed(decision)), "{settled:?}");
    assert_eq!(settled.decision().quotas().unwrap().as_slice()[0].used(), credits(25));
    let range = quota_service::Window::new(noon(), noon().saturating_add(Duration::from_millis(1))).unwrap();
    assert_eq!(service.total_usage(&ann(), range).await.unwrap(), credits(25));
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test]
async fn a_guard_settled_late_records_the_cost_under_its_id() {
    let clock = clock();
    let plans = PlanRegistry::new().with_default(daily(100));
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans).with_clock(clock.clone()).build();
    let guard = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    clock.advance(Ttl::DEFAULT.duration());
    assert!(service.charge(&ann(), credits(100)).await.unwrap().is_allowed(), "the hold has expired");
    let settled = guard.settle(credits(25)).await.unwrap();
    assert!(settled.is_late() && settled.decision().is_allowed());
    assert_eq!(used(&service, &ann()).await, credits(125), "a debt: it has happened");
    assert!(is_replayed(&service.record(&ann(), charge(25, "a")).await.unwrap()));
    assert_eq!(used(&service, &ann()).await, credits(125));
}

#[tokio::test]
async fn a_settlement_that_is_dropped_while_queued_releases() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    let guard = guard(service.hold(&ann, charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    store.close();
    let sent = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(2).await;
    drop(begun(guard.settle(credits(5))).await);
    store.open();
    assert!(sent.await.unwrap().is_allowed());
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
    assert_eq!(used(&service, &ann).await, Credits::ONE);
    assert_eq!(store.count(|operation| matches!(operation, Operation::Settle { .. })), 0);
}

#[tokio::test]
async fn a_settlement_that_is_dropped_in_flight_stands() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    let guard = guard(service.hold(&ann, charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    store.close();
    let settling = begun(guard.settle(credits(5))).await;
    store.came(2).await;
    drop(settling);
    store.open();
    assert_eq!(used(&service, &ann).await, credits(5));
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
}

#[tokio::test]
async fn a_cost_whose_settlement_is_unknown_is_recorded_once_under_the_holds_id() {
    for (done, fault) in [(true, Fault::Done(unknown)), (false, Fault::Not(unknown))] {
        let store = Gated::batched();
        let service = hundred_a_day(store.clone()).build();
        let guard = guard(service.hold(&ann(), Charge::new(credits(10)), Ttl::DEFAULT).await.unwrap());
        let hold = guard.id().clone();
        store.next(fault);
        let answer = guard.settle(credits(5)).await;
        let Err(ServiceError::Unknown { id: Some(known), .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(known, hold);
        let again = Charge::new(credits(5)).with_id(known);
        assert_eq!(is_replayed(&service.record(&ann(), again.clone()).await.unwrap()), done);
        assert!(is_replayed(&service.record(&ann(), again).await.unwrap()));
        assert_eq!(used(&service, &ann()).await, credits(5));
        assert_eq!(held(&service, &ann()).await, Credits::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewing_guard_keeps_its_hold_alive_and_another_expires() {
    let store = Gated::batched();
    let service = in_tokio_time(store.clone());
    let ann = ann();
    let renewed = guard(service.hold(&ann, charge(10, "renewed"), seconds(10)).await.unwrap()).renewing();
    let left = guard(service.hold(&ann, charge(10, "left"), seconds(10)).await.unwrap());
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(extensions(&store), 12, "at half the ttl, again and again");
    assert_eq!(held(&service, &ann).await, credits(10));
    assert!(!renewed.settle(credits(3)).await.unwrap().is_late());
    assert!(left.settle(credits(4)).await.unwrap().is_late());
    assert_eq!(used(&service, &ann).await, credits(7));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(extensions(&store), 12, "nothing is renewed any more");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_leaves_a_hold_that_lasts_longer_as_it_is() {
    let store = Gated::batched();
    let service = in_tokio_time(store.clone());
    let own = guard(service.hold(&ann(), charge(10, "own"), seconds(10)).await.unwrap()).renewing();
    assert!(own.extend(seconds(3_600)).await.unwrap().is_allowed());
    let others = guard(service.hold(&ann(), charge(20, "others"), seconds(3_600)).await.unwrap());
    let again = guard(service.hold(&ann(), charge(20, "others"), seconds(10)).await.unwrap()).renewing();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(extensions(&store), 4, "asked for, and renewed: once, twice");
    let _ = (own.detach(), again.detach());
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    assert_eq!(held(&service, &ann()).await, credits(30));
    assert!(!others.settle(credits(3)).await.unwrap().is_late());
}

#[tokio::test(start_paused = true)]
async fn a_renewing_guard_of_a_hold_that_was_there_before_keeps_it_alive() {
    let service = in_tokio_time(Gated::batched());
    let _ = guard(service.hold(&ann(), charge(10, "a"), seconds(60)).await.unwrap()).detach();
    tokio::time::sleep(Duration::from_secs(50)).await;
    let again = guard(service.hold(&ann(), charge(10, "a"), seconds(600)).await.unwrap()).renewing();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(held(&service, &ann()).await, credits(10));
    assert!(!again.settle(credits(3)).await.unwrap().is_late());
}

#[tokio::test]
async fn a_guard_whose_release_is_refused_for_its_clock_releases_when_it_drops() {
    let (store, own) = (Gated::batched(), clock());
    store.tell_time(|| Ok(noon()));
    let service = hundred_a_day(store).with_clock(own.clone()).build();
    let guard = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    own.advance(Duration::from_secs(120));
    let refused = guard.release().await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{refused:?}");
    own.set(noon());
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_renewing_guard_outlives_a_store_that_fails_for_less_than_half_its_ttl() {
    let store = Gated::batched();
    let service = in_tokio_time(store.clone());
    let guard = guard(service.hold(&ann(), charge(10, "a"), seconds(10)).await.unwrap()).renewing();
    tokio::time::sleep(Duration::from_secs(6)).await;
    store.fail(Some(not_done));
    tokio::time::sleep(Duration::from_secs(5)).await;
    store.fail(None);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        assert_eq!(held(&service, &ann()).await, credits(10));
    }
    drop(guard);
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_detached_hold_is_left_to_its_ttl_and_no_longer_renewed() {
    let store = Gated::batched();
    let service = in_tokio_time(store.clone());
    let ann = ann();
    let guard = guard(service.hold(&ann, charge(10, "a"), seconds(10)).await.unwrap());
    // Asked twice, it renews once.
    let id = guard.renewing().renewing().detach();
    tokio::time::sleep(Duration::from_millis(9_999)).await;
    assert_eq!(held(&service, &ann).await, credits(10));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
    assert_eq!(extensions(&store), 0);
    assert!(matches!(service.settle(&ann, &id, Credits::ONE).await, Err(ServiceError::Refused(_))));
}

#[tokio::test]
async fn a_detached_hold_is_settled_by_its_id() {
    let service = hundred_a_day(Gated::batched()).build();
    let id = guard(service.hold(&ann(), Charge::new(credits(10)), Ttl::DEFAULT).await.unwrap()).detach();
    assert!(service.settle(&ann(), &id, credits(4)).await.unwrap().is_allowed());
    assert_eq!(used(&service, &ann()).await, credits(4));
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test]
async fn a_guard_that_is_released_waits_for_it() {
    let service = hundred_a_day(Gated::batched()).build();
    let guard = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    assert!(guard.extend(seconds(1)).await.unwrap().is_allowed());
    let Decision::Allowed(allowed) = guard.release().await.unwrap() else { panic!("not released") };
    assert_eq!(allowed.quotas().as_slice()[0].held(), Credits::ZERO);
}

#[tokio::test]
async fn an_unchecked_hold_is_recorded_when_the_store_is_back() {
    for store in [Gated::batched(), Gated::direct()] {
        let service = hundred_a_day(store.clone()).with_on_store_error(OnStoreError::FailOpen).build();
        store.fail(Some(not_done));
        let holding = service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap();
        let Holding::Unchecked(guard) = holding else { panic!("{holding:?}") };
        assert_eq!(*guard.decision(), Decision::Unchecked);
        store.fail(None);
        let settled = guard.settle(credits(5)).await.unwrap();
        assert!(settled.is_late() && settled.decision().is_allowed());
        assert_eq!(used(&service, &ann()).await, credits(5));
    }
}

#[tokio::test]
async fn a_settlement_that_the_store_cannot_answer_is_unchecked_where_the_service_fails_open() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_on_store_error(OnStoreError::FailOpen).build();
    let guard = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    store.fail(Some(not_done));
    assert_eq!(*guard.settle(credits(5)).await.unwrap().decision(), Decision::Unchecked);
    store.fail(None);
    assert_eq!(
        held(&service, &ann()).await,
        Credits::ZERO,
        "the hold was released, or is as soon as the store answers"
    );
    assert!(service.record(&ann(), charge(5, "a")).await.unwrap().is_allowed());
}

#[tokio::test(start_paused = true)]
async fn an_unchecked_hold_that_was_made_after_all_is_released_with_its_guard() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_on_store_error(OnStoreError::FailOpen).build();
    store.next(Fault::Done(unknown));
    let holding = service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap();
    let Holding::Unchecked(guard) = holding else { panic!("{holding:?}") };
    assert_eq!(held(&service, &ann()).await, credits(10));
    drop(guard);
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test]
async fn a_guard_of_one_client_does_not_touch_anothers_hold_of_the_same_id() {
    let service = hundred_a_day(Gated::batched()).build();
    let bob = client("bob");
    let one = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    let other = guard(service.hold(&bob, charge(20, "a"), Ttl::DEFAULT).await.unwrap());
    drop(one);
    assert_eq!(held(&service, &bob).await, credits(20));
    assert_eq!(other.client(), &bob);
}

#[tokio::test]
async fn a_hold_of_which_nobody_knows_whether_it_was_made_is_released() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    store.next(Fault::Done(unknown));
    let holding = service.hold(&ann(), Charge::new(credits(10)), Ttl::DEFAULT).await;
    assert!(matches!(holding, Err(ServiceError::Unknown { id: Some(_), .. })), "{holding:?}");
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
}

#[tokio::test]
async fn a_deadline_may_be_as_long_as_one_likes() {
    let service = hundred_a_day(Gated::batched()).with_deadline(Duration::MAX).build();
    assert!(service.charge(&ann(), credits(1)).await.unwrap().is_allowed());
}
