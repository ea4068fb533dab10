//! What the service answers where the store cannot, and which of it opens a service that fails open.

use std::sync::Arc;
use std::time::Duration;

use quota_service::quota_core::Operation;
use quota_service::{
    Charge, Credits, Decision, Holding, Instant, ManualClock, OnStoreError, OperationId, PastEntry, PlanRegistry,
    QuotaService, Refusal, ServiceError, StoreError, Ttl,
};

use crate::gated::{Gated, corrupt, newer, not_done, unknown};
use crate::given::{ann, begun, charge, client, clock, credits, daily, guard, hundred_a_day, id, noon, used};
use crate::told::Told;

/// What a charge, a record and a hold are answered.
async fn answers(service: &QuotaService<Gated>) -> [Result<Decision, ServiceError>; 3] {
    let hold = service.hold(&ann(), charge(1, "hold"), Ttl::DEFAULT).await;
    let hold = hold.map(|holding| match holding {
        Holding::Held(guard) | Holding::Unchecked(guard) => guard.decision().clone(),
        Holding::Denied(denied) => Decision::Denied(denied),
    });
    [service.charge(&ann(), Credits::ONE).await, service.record(&ann(), charge(1, "record")).await, hold]
}

fn both_ways() -> [(Gated, OnStoreError); 4] {
    [
        (Gated::batched(), OnStoreError::FailClosed),
        (Gated::direct(), OnStoreError::FailClosed),
        (Gated::batched(), OnStoreError::FailOpen),
        (Gated::direct(), OnStoreError::FailOpen),
    ]
}

#[tokio::test]
async fn a_store_that_did_nothing_is_an_error_or_lets_pass_unchecked() {
    for (store, choice) in both_ways() {
        let service = hundred_a_day(store.clone()).with_on_store_error(choice).build();
        store.fail(Some(not_done));
        for answer in answers(&service).await {
            match choice {
                OnStoreError::FailOpen => assert_eq!(answer.unwrap(), Decision::Unchecked),
                OnStoreError::FailClosed => assert!(
                    matches!(answer, Err(ServiceError::NotDone { source: StoreError::NotDone { .. } })),
                    "{answer:?}"
                ),
            }
        }
        store.fail(None);
        assert_eq!(store.ledger(&ann()).await, Credits::ZERO);
        assert!(service.charge(&ann(), credits(100)).await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn a_store_that_may_have_done_it_is_an_error_or_lets_pass_unchecked() {
    for (store, choice) in both_ways() {
        let service = hundred_a_day(store.clone()).with_on_store_error(choice).build();
        store.fail(Some(unknown));
        for answer in answers(&service).await {
            match choice {
                OnStoreError::FailOpen => assert_eq!(answer.unwrap(), Decision::Unchecked),
                OnStoreError::FailClosed => assert!(matches!(answer, Err(ServiceError::Unknown { .. })), "{answer:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_an_error_or_lets_pass_unchecked() {
    for (store, choice) in both_ways() {
        let service = hundred_a_day(store.clone()).with_on_store_error(choice).build();
        store.close();
        for answer in answers(&service).await {
            match choice {
                OnStoreError::FailOpen => assert_eq!(answer.unwrap(), Decision::Unchecked),
                OnStoreError::FailClosed => assert!(
                    matches!(answer, Err(ServiceError::Unknown { source: None, .. } | ServiceError::DeadlineQueued)),
                    "{answer:?}"
                ),
            }
        }
        store.open();
    }
}

#[tokio::test]
async fn a_failing_source_of_plans_is_an_error_or_lets_pass_unchecked() {
    for (store, choice) in both_ways() {
        let source = Told::new();
        source.fail(true);
        let service = QuotaService::builder(store)
            .with_plan_source(source)
            .with_clock(clock())
            .with_on_store_error(choice)
            .build();
        for answer in answers(&service).await {
            match choice {
                OnStoreError::FailOpen => assert_eq!(answer.unwrap(), Decision::Unchecked),
                OnStoreError::FailClosed => assert!(matches!(answer, Err(ServiceError::Plans(_))), "{answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn plans_that_the_store_cannot_tell_let_pass_unchecked_and_corrupt_ones_never() {
    for (store, choice) in both_ways() {
        let service = QuotaService::builder(store.clone())
            .with_stored_plans()
            .with_clock(clock())
            .with_on_store_error(choice)
            .build();
        for failure in [not_done, unknown] {
            store.fail_plans(Some(failure));
            for answer in answers(&service).await {
                match choice {
                    OnStoreError::FailOpen => assert_eq!(answer.unwrap(), Decision::Unchecked),
                    OnStoreError::FailClosed => assert!(matches!(answer, Err(ServiceError::Plans(_))), "{answer:?}"),
                }
            }
        }
        for failure in [corrupt, newer] {
            store.fail_plans(Some(failure));
            for answer in answers(&service).await {
                assert!(matches!(answer, Err(ServiceError::NotDone { .. })), "{choice:?}: {answer:?}");
            }
            assert!(matches!(service.plan(&ann()).await, Err(ServiceError::NotDone { .. })));
        }
    }
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_never_opens() {
    for (store, choice) in both_ways() {
        let service = hundred_a_day(store.clone()).with_on_store_error(choice).build();
        for failure in [corrupt, newer] {
            store.fail(Some(failure));
            for answer in answers(&service).await {
                assert!(matches!(answer, Err(ServiceError::NotDone { .. })), "{choice:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_never_opens() {
    for (store, choice) in both_ways() {
        let plans = PlanRegistry::new().with(ann(), daily(100));
        let service =
            QuotaService::builder(store).with_registry(plans).with_clock(clock()).with_on_store_error(choice).build();
        let stranger = service.charge(&client("stranger"), Credits::ONE).await;
        assert!(matches!(stranger, Err(ServiceError::Refused(Refusal::UnknownClient))), "{stranger:?}");

        assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
        let conflict = service.charge_with(&ann(), charge(2, "a")).await;
        assert!(matches!(conflict, Err(ServiceError::Refused(Refusal::IdConflict { .. }))), "{conflict:?}");
        let conflict = service.hold(&ann(), charge(1, "a"), Ttl::DEFAULT).await;
        assert!(matches!(conflict, Err(ServiceError::Refused(Refusal::IdConflict { .. }))), "{conflict:?}");

        let overflow = service.record(&ann(), Charge::new(Credits::MAX)).await;
        assert!(matches!(overflow, Err(ServiceError::Refused(Refusal::Overflow))), "{overflow:?}");

        let ahead = Charge::new(Credits::ONE).with_at(noon().saturating_add(Duration::from_secs(61)));
        let ahead = service.charge_with(&ann(), ahead).await;
        assert!(matches!(ahead, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{ahead:?}");

        assert!(service.charge(&ann(), credits(100)).await.unwrap().is_denied());
        assert_eq!(used(&service, &ann()).await, Credits::ONE);
    }
}

#[tokio::test]
async fn a_full_queue_never_opens() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_queue_size(0).with_on_store_error(OnStoreError::FailOpen).build();
    for answer in answers(&service).await {
        assert!(matches!(answer, Err(ServiceError::Overloaded)), "{answer:?}");
    }
    assert!(store.requests().is_empty());
}

#[tokio::test]
async fn a_shutdown_never_opens() {
    let service = hundred_a_day(Gated::batched()).with_on_store_error(OnStoreError::FailOpen).build();
    service.shutdown().await;
    for answer in answers(&service).await {
        assert!(matches!(answer, Err(ServiceError::ShutDown)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_not_healthy() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_on_store_error(OnStoreError::FailOpen).build();
    service.health().await.unwrap();
    store.fail(Some(unknown));
    assert!(matches!(service.health().await, Err(ServiceError::NotDone { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_direct_store_that_is_late_is_unknown_after_the_deadline() {
    let store = Gated::direct();
    let service = hundred_a_day(store.clone()).with_deadline(Duration::from_secs(3)).build();
    store.close();
    let asked = tokio::time::Instant::now();
    let answer = service.charge_with(&ann(), charge(1, "a")).await;
    assert!(matches!(&answer, Err(ServiceError::Unknown { id: Some(known), .. }) if *known == id("a")), "{answer:?}");
    assert_eq!(asked.elapsed().as_secs(), 3);
}

fn is_ahead<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::ClockAhead { .. })))
}

fn after_noon(millis: u64) -> Instant {
    noon().saturating_add(Duration::from_millis(millis))
}

#[tokio::test]
async fn an_instant_as_far_ahead_as_is_tolerated_is_taken_and_one_beyond_is_refused() {
    for store in [Gated::batched(), Gated::direct()] {
        let service = hundred_a_day(store.clone()).with_max_ahead(Duration::from_secs(60)).build();
        let at = |name, millis| charge(1, name).with_at(after_noon(millis));
        assert!(is_ahead(&service.charge_with(&ann(), at("a", 60_001)).await));
        assert!(is_ahead(&service.record(&ann(), at("a", 60_001)).await));
        assert!(is_ahead(&service.hold(&ann(), at("a", 60_001), Ttl::DEFAULT).await));
        assert!(store.requests().is_empty(), "nothing was even asked");
        assert!(service.charge_with(&ann(), at("a", 60_000)).await.unwrap().is_allowed());
        assert!(service.record(&ann(), at("b", 60_000)).await.unwrap().is_allowed());
        drop(guard(service.hold(&ann(), at("c", 60_000), Ttl::DEFAULT).await.unwrap()));
        assert!(service.charge_with(&ann(), charge(1, "d").with_at(Instant::MIN)).await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn a_clock_too_far_ahead_of_the_servers_is_refused_and_changes_nothing() {
    let (own, server) = (clock(), Arc::new(ManualClock::new(noon())));
    let store = Gated::batched();
    let service = QuotaService::builder(store.clone())
        .with_registry(PlanRegistry::new().with_default(daily(100)))
        .with_clock(own.clone())
        .with_reference_clock(server.clone())
        .with_max_ahead(Duration::from_secs(10))
        .build();
    own.set(after_noon(10_001));
    assert!(is_ahead(&service.charge(&ann(), Credits::ONE).await));
    assert!(is_ahead(&service.status(&ann()).await));
    assert!(is_ahead(&service.set_plan(&ann(), daily(1)).await));
    assert!(is_ahead(&service.void(&ann(), &id("a")).await));
    assert!(store.requests().is_empty());
    own.set(after_noon(10_000));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    server.advance(Duration::from_secs(3_600));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed(), "a clock behind does no harm");
}

#[tokio::test]
async fn what_is_released_by_itself_moves_no_account_ahead_of_the_server() {
    let (own, server) = (Arc::new(ManualClock::new(noon())), Arc::new(ManualClock::new(noon())));
    let store = Gated::batched();
    let service = QuotaService::builder(store.clone())
        .with_registry(PlanRegistry::new().with_default(daily(100)))
        .with_clock(own.clone())
        .with_reference_clock(server.clone())
        .build();
    let hour = Ttl::new(Duration::from_secs(3_600)).unwrap();
    let holding = service.hold(&ann(), Charge::new(credits(10)), hour).await.unwrap();
    own.advance(Duration::from_secs(3_000));
    drop(holding);
    own.set(noon());
    let status = service.status(&ann()).await.unwrap();
    let ends: Vec<_> =
        store.requests().into_iter().filter(|request| matches!(request.operation, Operation::Release { .. })).collect();
    assert_eq!(ends.iter().map(|request| request.at).collect::<Vec<_>>(), [noon()]);
    assert_eq!(status.lowest().unwrap().held(), Credits::ZERO);
}

#[tokio::test]
async fn a_backfill_reaches_as_far_ahead_as_is_tolerated_and_no_further() {
    let entry = |name: &str, millis| {
        let id: OperationId = id(name);
        PastEntry { id, at: after_noon(millis), credits: Credits::ONE, label: None }
    };
    let service = hundred_a_day(Gated::batched()).with_max_ahead(Duration::from_secs(60)).build();
    let refused = service.backfill(&ann(), vec![entry("a", 0), entry("b", 60_001)]).await;
    assert!(
        matches!(&refused, Err(ServiceError::Refused(Refusal::EntryInFuture { id: known, .. })) if *known == id("b")),
        "{refused:?}"
    );
    assert_eq!(used(&service, &ann()).await, Credits::ZERO, "nor is the other one added");
    let done = service.backfill(&ann(), vec![entry("a", 0), entry("b", 60_000)]).await.unwrap();
    assert_eq!((done.added, done.skipped), (2, 0));
    assert_eq!(used(&service, &ann()).await, credits(2));
}

#[tokio::test]
async fn operations_whose_callers_wait_are_told_apart_from_those_that_have_no_id() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.fail(Some(unknown));
    let status = service.status(&ann).await;
    assert!(matches!(status, Err(ServiceError::Unknown { id: None, .. })), "{status:?}");
    store.fail(None);
    store.close();
    let waiting = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(1).await;
    store.open();
    assert!(waiting.await.unwrap().is_allowed());
    let made = store
        .requests()
        .iter()
        .any(|request| matches!(&request.operation, Operation::Charge { id, .. } if id.as_id().is_some()));
    assert!(made, "a batched charge has an id to ask with");
}
