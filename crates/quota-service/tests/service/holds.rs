//! Holds that others have as well, and holds whose plan cannot be told.

use std::time::Duration;

use quota_service::quota_core::Operation;
use quota_service::{
    Charge, Credits, Decision, Holding, OnStoreError, PlanRegistry, QuotaService, QuotaServiceBuilder, Refusal,
    ServiceError, Settled, Ttl,
};

use crate::gated::{Fault, Gated, not_done, unknown};
use crate::given::{ann, begun, charge, clock, credits, daily, guard, held, hundred_a_day, id, out_of_range, used};
use crate::told::Told;

fn releases(store: &Gated) -> usize {
    store.count(|operation| matches!(operation, Operation::Release { .. }))
}

#[tokio::test]
async fn a_hold_of_another_process_outlives_a_caller_who_asked_for_it_again_and_went_away() {
    let store = Gated::batched();
    let (one, other) = (hundred_a_day(store.clone()).build(), hundred_a_day(store.clone()).build());
    let ann = ann();
    let first = guard(one.hold(&ann, charge(60, "a"), Ttl::DEFAULT).await.unwrap());
    store.close();
    let came = store.batches().len();
    let again = begun(other.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    store.came(came + 1).await;
    drop(again);
    store.open();
    assert_eq!(held(&other, &ann).await, credits(60));
    // Nor one whose caller is gone when the answer is there.
    let again = begun(other.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(again);
    assert_eq!(held(&other, &ann).await, credits(60), "nor is it released a little later");
    assert_eq!(releases(&store), 0);
    assert!(!first.settle(credits(55)).await.unwrap().is_late());
}

#[tokio::test]
async fn a_hold_of_another_process_outlives_an_answer_that_was_lost() {
    let (store, clock) = (Gated::batched(), clock());
    let build = || hundred_a_day(store.clone()).with_clock(clock.clone()).build();
    let (one, other) = (build(), build());
    let first = guard(one.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await.unwrap());
    clock.advance(Duration::from_millis(1));
    store.next(Fault::Done(unknown));
    let lost = other.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await;
    assert!(matches!(&lost, Err(ServiceError::Unknown { id: Some(known), .. }) if *known == id("a")), "{lost:?}");
    assert_eq!(held(&other, &ann()).await, credits(60));
    assert!(!first.settle(credits(55)).await.unwrap().is_late());
}

#[tokio::test]
async fn a_hold_whose_answer_was_lost_is_released_also_under_an_id_that_was_given() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    store.next(Fault::Done(unknown));
    let lost = service.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await;
    assert!(matches!(&lost, Err(ServiceError::Unknown { .. })), "{lost:?}");
    assert_eq!(held(&service, &ann()).await, Credits::ZERO);
    assert_eq!(releases(&store), 1);
    // Whoever asks again holds for the first time.
    let again = guard(service.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await.unwrap());
    assert!(matches!(again.decision(), Decision::Allowed(allowed) if !allowed.replayed()));
    assert!(!again.settle(credits(55)).await.unwrap().is_late());
}

/// Whoever is told nothing asks another process for the same, which is told that it holds before the first one gives up what nobody
/// has.
#[tokio::test]
async fn a_hold_that_another_process_was_told_of_outlives_the_first_ones_late_answer() {
    for (is_told, left) in [(false, Credits::ZERO), (true, credits(60))] {
        let store = Gated::batched();
        let service = hundred_a_day(store.clone()).build();
        store.close();
        let ann = ann();
        let gone = begun(service.hold(&ann, charge(60, "a"), Ttl::DEFAULT)).await;
        store.came(1).await;
        drop(gone);
        store.pass_one();
        // The release has come, and is kept back.
        store.came(2).await;
        if is_told {
            store.tell_another(&ann, &id("a"), credits(60)).await;
        }
        store.open();
        assert_eq!(held(&service, &ann).await, left, "{is_told}");
        assert_eq!(releases(&store), 1);
    }
}

#[tokio::test]
async fn a_hold_that_another_process_was_told_of_outlives_a_lost_answer() {
    // Under an id that was made, the caller asks again by that.
    for asked in [charge(60, "a"), Charge::new(credits(60))] {
        for (is_told, left) in [(false, Credits::ZERO), (true, credits(60))] {
            let store = Gated::batched();
            let service = hundred_a_day(store.clone()).build();
            store.close();
            store.pass_one();
            store.next(Fault::Done(unknown));
            let lost = service.hold(&ann(), asked.clone(), Ttl::DEFAULT).await;
            let Err(ServiceError::Unknown { id: Some(id), .. }) = lost else { panic!("{lost:?}") };
            store.came(2).await;
            if is_told {
                store.tell_another(&ann(), &id, credits(60)).await;
            }
            store.open();
            assert_eq!(held(&service, &ann()).await, left, "{is_told}");
            assert_eq!(releases(&store), 1);
        }
    }
}

/// It was not sent in time, its caller was told that it is not known, and has asked another process by the id that was made for it.
#[tokio::test(start_paused = true)]
async fn a_hold_under_a_made_id_that_another_process_was_told_of_outlives_the_first_ones_late_answer() {
    for (is_told, left) in [(false, Credits::ZERO), (true, credits(60))] {
        let store = Gated::batched();
        let service = hundred_a_day(store.clone()).with_deadline(Duration::from_millis(100)).build();
        store.close();
        let lost = service.hold(&ann(), Charge::new(credits(60)), Ttl::DEFAULT).await;
        let Err(ServiceError::Unknown { id: Some(id), .. }) = lost else { panic!("{lost:?}") };
        store.pass_one();
        // The release has come, and is kept back.
        store.came(2).await;
        if is_told {
            store.tell_another(&ann(), &id, credits(60)).await;
        }
        store.open();
        assert_eq!(held(&service, &ann()).await, left, "{is_told}");
        assert_eq!(releases(&store), 1);
    }
}

#[tokio::test]
async fn a_hold_of_which_a_store_without_lanes_does_not_know_whether_it_was_made_is_released() {
    let store = Gated::direct();
    let service = hundred_a_day(store.clone()).build();
    for asked in [charge(60, "a"), Charge::new(credits(60))] {
        store.next(Fault::Done(unknown));
        let lost = service.hold(&ann(), asked, Ttl::DEFAULT).await;
        assert!(matches!(&lost, Err(ServiceError::Unknown { .. })), "{lost:?}");
        assert_eq!(held(&service, &ann()).await, Credits::ZERO);
    }
}

#[tokio::test]
async fn a_hold_is_ended_though_its_plan_has_no_window_any_more() {
    let plans = PlanRegistry::new().with(ann(), daily(100));
    let store = Gated::batched();
    let service = QuotaService::builder(store.clone()).with_registry(plans.clone()).with_clock(clock()).build();
    let hold = async |name| guard(service.hold(&ann(), charge(10, name), Ttl::DEFAULT).await.unwrap());
    let (settled, released, extended) = (hold("settled").await, hold("released").await, hold("extended").await);
    plans.set(ann(), out_of_range());
    let refused = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(refused, Err(ServiceError::Refused(_))), "{refused:?}");
    assert!(matches!(settled.settle(credits(7)).await.unwrap(), Settled::InTime(Decision::Allowed(_))));
    assert!(released.release().await.unwrap().is_allowed());
    assert!(extended.extend(Ttl::DEFAULT).await.unwrap().is_allowed());
    plans.set(ann(), daily(100));
    assert_eq!((used(&service, &ann()).await, held(&service, &ann()).await), (credits(7), credits(10)));
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_ended_though_nobody_answers_what_its_plan_is() {
    let (source, clock) = (Told::new(), clock());
    source.set(ann(), daily(100));
    let builder: QuotaServiceBuilder<Gated> = QuotaService::builder(Gated::batched());
    let service = builder.with_plan_source(source.clone()).with_clock(clock.clone()).build();
    let held = guard(service.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
    clock.advance(Duration::from_secs(31));
    source.wait(true);
    let settled = held.settle(credits(7)).await.unwrap();
    assert!(matches!(settled, Settled::InTime(Decision::Allowed(_))), "{settled:?}");
    source.wait(false);
    assert_eq!(used(&service, &ann()).await, credits(7));
}

#[tokio::test]
async fn a_hold_is_ended_though_its_plan_cannot_be_told() {
    async fn ends(on_error: OnStoreError) {
        let (source, clock) = (Told::new(), clock());
        source.set(ann(), daily(100));
        let builder: QuotaServiceBuilder<Gated> = QuotaService::builder(Gated::batched());
        let builder = builder.with_plan_source(source.clone()).with_clock(clock.clone());
        let service = builder.with_on_store_error(on_error).build();
        let [settled, released, extended] = ["settled", "released", "extended"]
            .map(|name| async { guard(service.hold(&ann(), charge(10, name), Ttl::DEFAULT).await.unwrap()) });
        let (settled, released, extended) = (settled.await, released.await, extended.await);
        clock.advance(Duration::from_secs(31));
        source.fail(true);
        let settled = settled.settle(credits(7)).await.unwrap();
        let Settled::InTime(Decision::Allowed(allowed)) = settled else { panic!("{settled:?}") };
        assert!(allowed.quotas().as_slice().is_empty(), "there are none to show");
        assert!(released.release().await.unwrap().is_allowed());
        assert!(matches!(extended.extend(Ttl::DEFAULT).await, Ok(Decision::Allowed(_))));
        // Of one that is not active nothing can be said without a plan.
        let ended = service.release(&ann(), &id("released")).await;
        match on_error {
            OnStoreError::FailOpen => assert_eq!(ended.unwrap(), Decision::Unchecked),
            _ => assert!(matches!(ended, Err(ServiceError::Plans(_))), "{ended:?}"),
        }
        source.fail(false);
        assert_eq!(used(&service, &ann()).await, credits(7));
        assert_eq!(held(&service, &ann()).await, credits(10));
        drop(extended);
        assert_eq!(held(&service, &ann()).await, Credits::ZERO);
        let ended = service.release(&ann(), &id("released")).await;
        assert!(matches!(ended, Err(ServiceError::Refused(Refusal::HoldNotActive { .. }))), "{ended:?}");
    }
    ends(OnStoreError::FailClosed).await;
    ends(OnStoreError::FailOpen).await;
}

/// Whose store could not be asked holds nothing, though another process does under the same id.
#[tokio::test]
async fn an_unchecked_hold_ends_nobody_elses() {
    let (store, later) = (Gated::batched(), clock());
    later.advance(Duration::from_secs(1));
    let one = hundred_a_day(store.clone()).build();
    let other = hundred_a_day(store.clone()).with_clock(later).with_on_store_error(OnStoreError::FailOpen).build();
    for ended in ["released", "dropped", "shut down"] {
        let theirs = guard(one.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap());
        store.fail(Some(not_done));
        let holding = other.hold(&ann(), charge(10, "a"), Ttl::DEFAULT).await.unwrap();
        let Holding::Unchecked(unchecked) = holding else { panic!("{holding:?}") };
        store.fail(None);
        if ended == "released" {
            let released = unchecked.release().await;
            assert!(matches!(released, Err(ServiceError::Refused(Refusal::HoldNotActive { .. }))), "{released:?}");
        } else if ended == "dropped" {
            drop(unchecked);
        } else {
            other.shutdown().await;
        }
        assert_eq!(held(&one, &ann()).await, credits(10), "{ended}");
        drop(theirs);
        assert_eq!(held(&one, &ann()).await, Credits::ZERO);
    }
}
