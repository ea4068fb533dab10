//! A store that keeps sums for a bounded time.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use quota_service::{
    Anchor, Charge, ClientId, Clock, Credits, Decision, Holding, Instant, Limit, ManualClock, OperationId, Period,
    Plan, PlanRegistry, Quota, QuotaService, Refusal, ServiceError, Ttl, Tz, Window,
};
use quota_store_memory::MemoryStore;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn client() -> ClientId {
    ClientId::new("client").unwrap()
}

fn plan(period: Period) -> Plan {
    let anchor = Anchor::new("2024-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    Plan::new([Quota::new(period, Limit::Finite(Credits::ONE), anchor)]).unwrap()
}

fn is_refused<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::WindowExceedsRetention { .. })))
}

#[tokio::test]
async fn a_plan_with_a_window_that_may_outlast_the_sums_is_refused() {
    let store = || MemoryStore::builder().with_retention(32 * DAY).build();
    let month = QuotaService::builder(store()).with_stored_plans().build();
    month.set_plan(&client(), plan(Period::MONTH)).await.unwrap();
    assert!(is_refused(&month.set_plan(&client(), plan(Period::YEAR)).await));
    // The plan before stays.
    assert!(month.charge(&client(), Credits::ONE).await.unwrap().is_allowed());
    assert!(month.charge(&client(), Credits::ONE).await.unwrap().is_denied());

    // Where nobody sets it through the store, no operation is decided by it.
    let registry = PlanRegistry::new().with_default(plan(Period::YEAR));
    let year = QuotaService::builder(store()).with_registry(registry).build();
    for _ in 0..2 {
        assert!(is_refused(&year.charge(&client(), Credits::ONE).await));
        assert!(is_refused(&year.record(&client(), Charge::new(Credits::ONE)).await));
        assert!(is_refused(&year.status(&client()).await));
    }
}

/// A hold can be ended under any plan, and that makes no plan good.
#[tokio::test]
async fn a_plan_that_is_refused_decides_nothing_once_a_hold_was_ended_under_it() {
    for ending in ["extend", "settle", "settle again", "release"] {
        let registry = PlanRegistry::new().with(client(), plan(Period::MONTH));
        let store = MemoryStore::builder().with_retention(32 * DAY).build();
        let service = QuotaService::builder(store).with_registry(registry.clone()).build();
        let id = OperationId::new("held").unwrap();
        let charge = Charge::new(Credits::ZERO).with_id(id.clone());
        let Ok(Holding::Held(guard)) = service.hold(&client(), charge, Ttl::DEFAULT).await else {
            panic!("the month has room")
        };
        if ending == "settle again" {
            assert!(service.settle(&client(), &id, Credits::ZERO).await.unwrap().is_allowed());
        }
        registry.set(client(), plan(Period::YEAR));
        assert!(is_refused(&service.charge(&client(), Credits::ONE).await));
        let ended = match ending {
            "extend" => service.extend(&client(), &id, Ttl::DEFAULT).await,
            "release" => service.release(&client(), &id).await,
            _ => service.settle(&client(), &id, Credits::ZERO).await,
        };
        let Decision::Allowed(allowed) = ended.unwrap() else { panic!("{ending}: it was active") };
        if ending == "extend" {
            assert!(service.release(&client(), &id).await.unwrap().is_allowed());
        }
        let _ = guard.detach();
        for _ in 0..2 {
            assert!(is_refused(&service.charge(&client(), Credits::ONE).await), "{ending}");
        }
        assert!(allowed.quotas().as_slice().is_empty(), "{ending}: nobody knows the sum of a year");
        registry.set(client(), plan(Period::MONTH));
        assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_allowed());
        assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_denied());
    }
}

#[tokio::test]
async fn pruning_forgets_sums_past_the_horizon_and_no_window_misses_them() {
    let clock = std::sync::Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()));
    let store = MemoryStore::builder().with_retention(32 * DAY).build();
    let service = QuotaService::builder(store).with_stored_plans().with_clock(clock.clone()).build();
    service.set_plan(&client(), plan(Period::MONTH)).await.unwrap();
    assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_allowed());

    clock.advance(30 * DAY);
    service.prune(clock.now()).await.unwrap();
    // The window of March goes on.
    assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_denied());
    assert_eq!(service.total_usage(&client(), Window::ALL).await.unwrap(), Credits::ONE);

    clock.advance(4 * DAY);
    service.prune(clock.now()).await.unwrap();
    assert_eq!(service.total_usage(&client(), Window::ALL).await.unwrap(), Credits::ZERO);
    assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_allowed());
}

#[tokio::test]
async fn others_of_the_same_thread_run_while_a_store_is_pruned() {
    let service = QuotaService::builder(MemoryStore::new()).with_stored_plans().build();
    service.set_plan(&client(), plan(Period::MONTH)).await.unwrap();
    let mut pruning = pin!(service.prune(Instant::MAX));
    let mut context = Context::from_waker(Waker::noop());
    assert!(pruning.as_mut().poll(&mut context).is_pending(), "it has shards to go");
    assert!(service.charge(&client(), Credits::ONE).await.unwrap().is_allowed());
    pruning.await.unwrap();
}
