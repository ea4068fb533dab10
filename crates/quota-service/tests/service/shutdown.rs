//! The end of a service.

use futures_util::FutureExt;
use futures_util::future::join_all;
use quota_service::{Charge, Credits, Holding, PastEntry, ServiceError, Ttl};
use quota_store_memory::MemoryStore;

use crate::gated::Gated;
use crate::given::{ann, begun, charge, credits, daily, guard, held, hundred_a_day, id, noon};

fn is_shut_down<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::ShutDown))
}

#[tokio::test]
async fn a_shutdown_sends_what_is_queued_and_takes_nothing_more() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let mut queued = vec![begun(service.charge(&ann, Credits::ONE)).await];
    store.came(1).await;
    for _ in 0..5 {
        queued.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    let ending = begun(service.shutdown()).await;
    assert!(is_shut_down(&service.charge(&ann, Credits::ONE).await));
    store.open();
    ending.await;
    for answer in join_all(queued).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(store.ledger(&ann).await, credits(6));
}

#[tokio::test]
async fn whoever_else_shuts_down_waits_too_and_goes_on_where_the_first_gave_up() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let sent = begun(service.charge_with(&ann, charge(1, "sent"))).await;
    store.came(1).await;
    let first = begun(service.shutdown()).await;
    let mut second = begun(service.shutdown()).await;
    drop(first);
    assert!((&mut second).now_or_never().is_none(), "a batch is still in flight");
    store.open();
    second.await;
    assert!(sent.await.unwrap().is_allowed());
}

#[tokio::test]
async fn every_operation_after_a_shutdown_says_so() {
    for store in [Gated::batched(), Gated::direct()] {
        let service = hundred_a_day(store.clone()).build();
        service.shutdown().await;
        service.shutdown().await;
        assert!(is_shut_down(&service.charge(&ann(), Credits::ONE).await));
        assert!(is_shut_down(&service.charge_with(&ann(), charge(1, "a")).await));
        assert!(is_shut_down(&service.record(&ann(), charge(1, "a")).await));
        assert!(is_shut_down(&service.hold(&ann(), charge(1, "a"), Ttl::DEFAULT).await));
        assert!(is_shut_down(&service.settle(&ann(), &id("a"), Credits::ONE).await));
        assert!(is_shut_down(&service.status(&ann()).await));
        assert!(is_shut_down(&service.void(&ann(), &id("a")).await));
        assert!(is_shut_down(&service.set_plan(&ann(), daily(1)).await));
        let entry = PastEntry { id: id("b"), at: noon(), credits: Credits::ONE, label: None };
        assert!(is_shut_down(&service.backfill(&ann(), vec![entry]).await));
        assert!(store.requests().is_empty());
    }
    let service = hundred_a_day(MemoryStore::new()).build();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    service.shutdown().await;
    assert!(is_shut_down(&service.charge(&ann(), Credits::ONE).await), "the plan at hand does not help");
}

#[tokio::test]
async fn a_shutdown_releases_the_holds_of_guards_that_live() {
    for store in [Gated::batched(), Gated::direct()] {
        let service = hundred_a_day(store.clone()).build();
        let ann = ann();
        let live = guard(service.hold(&ann, charge(10, "live"), Ttl::DEFAULT).await.unwrap());
        let detached = guard(service.hold(&ann, charge(20, "detached"), Ttl::DEFAULT).await.unwrap()).detach();
        let settled = guard(service.hold(&ann, charge(30, "settled"), Ttl::DEFAULT).await.unwrap());
        settled.settle(credits(5)).await.unwrap();
        service.shutdown().await;
        let after = hundred_a_day(store.clone()).build();
        assert_eq!(held(&after, &ann).await, credits(20), "the detached one is not a guard's");
        assert_eq!(store.ledger(&ann).await, credits(5));
        assert!(after.settle(&ann, &detached, Credits::ONE).await.unwrap().is_allowed());
        assert!(is_shut_down(&live.settle(Credits::ONE).await));
    }
}

#[tokio::test]
async fn a_hold_that_is_queued_at_a_shutdown_is_released() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let sent = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(1).await;
    let kept = begun(service.hold(&ann, Charge::new(credits(10)), Ttl::DEFAULT)).await;
    let lost = begun(service.hold(&ann, Charge::new(credits(20)), Ttl::DEFAULT)).await;
    let ending = begun(service.shutdown()).await;
    store.pass_one();
    assert!(sent.await.unwrap().is_allowed());
    store.came(2).await;
    // Both are in flight; one caller goes away.
    drop(lost);
    store.open();
    ending.await;
    let kept = kept.await.unwrap();
    assert!(matches!(kept, Holding::Held(_)));
    let after = hundred_a_day(store.clone()).build();
    assert_eq!(held(&after, &ann).await, Credits::ZERO, "neither is left to its ttl");
    drop(kept);
    assert_eq!(held(&after, &ann).await, Credits::ZERO);
}

/// Its release is made when the batch lands, and that is after nothing else is taken in any more.
#[tokio::test]
async fn a_hold_in_flight_that_nobody_waits_for_is_released_before_the_end() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let hold = begun(service.hold(&ann, charge(5, "hold"), Ttl::DEFAULT)).await;
    store.came(1).await;
    drop(hold);
    let ended = begun(service.shutdown()).await;
    store.open();
    ended.await;
    assert_eq!(store.batches(), [["hold hold"], ["release hold"]]);
    assert!(matches!(service.charge(&ann, Credits::ONE).await, Err(ServiceError::ShutDown)));
}
