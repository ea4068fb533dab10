//! Plans that are kept in the store, and services that share one.

use quota_service::{
    AnyStore, Charge, Credits, Decision, HoldGuard, Holding, Limit, OnStoreError, Plan, PlanRegistry, QuotaService,
    Refusal, ServiceError, StoreError, Ttl, UsageStore, Window,
};
use quota_store_memory::MemoryStore;

use crate::gated::Gated;
use crate::given::{ann, begun, charge, clock, credits, daily, out_of_range, used};
use crate::told::Told;

fn two_processes() -> (QuotaService<AnyStore>, QuotaService<AnyStore>) {
    let store = AnyStore::new(MemoryStore::new());
    let service = |store| QuotaService::builder(store).with_stored_plans().with_clock(clock()).build();
    (service(store.clone()), service(store))
}

fn is_unknown_client<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::UnknownClient)))
}

#[tokio::test]
async fn a_plan_set_through_one_binds_the_others_next_operation() {
    let (one, other) = two_processes();
    one.set_plan(&ann(), daily(1)).await.unwrap();
    assert!(other.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    one.set_plan(&ann(), daily(2)).await.unwrap();
    assert!(other.charge_with(&ann(), charge(1, "b")).await.unwrap().is_allowed());
    one.set_plan(&ann(), daily(1)).await.unwrap();
    let status = other.status(&ann()).await.unwrap();
    assert_eq!(status.lowest().unwrap().balance().unwrap().to_string(), "-1");
    other.set_plan(&ann(), daily(3)).await.unwrap();
    assert!(one.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(one.charge(&ann(), Credits::ONE).await.unwrap().is_denied());
    assert_eq!(one.plan(&ann()).await.unwrap(), other.plan(&ann()).await.unwrap());
}

#[tokio::test]
async fn a_client_known_as_unknown_is_bound_by_a_plan_set_through_another() {
    let (one, other) = two_processes();
    assert!(is_unknown_client(&other.charge(&ann(), Credits::ONE).await));
    assert!(is_unknown_client(&other.charge_with(&ann(), charge(1, "a")).await));
    one.set_plan(&ann(), daily(1)).await.unwrap();
    assert!(other.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    assert_eq!(used(&one, &ann()).await, Credits::ONE);
}

#[tokio::test]
async fn a_plan_removed_through_one_is_gone_for_the_others_next_operation() {
    let (one, other) = two_processes();
    one.set_plan(&ann(), daily(5)).await.unwrap();
    assert!(other.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(other.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    one.remove_plan(&ann()).await.unwrap();
    assert!(is_unknown_client(&other.charge(&ann(), Credits::ONE).await));
    assert!(is_unknown_client(&other.charge_with(&ann(), charge(1, "b")).await));
    assert!(is_unknown_client(&other.status(&ann()).await));
    assert_eq!(other.plan(&ann()).await.unwrap(), None);
    one.set_plan(&ann(), daily(5)).await.unwrap();
    assert_eq!(used(&other, &ann()).await, credits(2), "entries outlive the plan");
}

#[tokio::test]
async fn a_stored_plan_without_a_window_now_is_refused_and_the_old_one_stays() {
    let (one, other) = two_processes();
    one.set_plan(&ann(), daily(2)).await.unwrap();
    let refused = one.set_plan(&ann(), out_of_range()).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::WindowOutOfRange(_)))), "{refused:?}");
    for service in [&one, &other] {
        assert_eq!(service.plan(&ann()).await.unwrap().as_deref(), Some(&daily(2)));
        assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn a_hold_is_settled_under_another_plan_than_was_known_and_tells_of_the_new_one() {
    let (one, other) = two_processes();
    for (known, expected) in [(daily(10), 2), (Plan::default(), 4)] {
        one.set_plan(&ann(), known).await.unwrap();
        let guard = held(&other).await;
        one.set_plan(&ann(), daily(7)).await.unwrap();
        let settled = guard.settle(credits(2)).await.unwrap();
        let Decision::Allowed(allowed) = settled.decision() else { panic!("{settled:?}") };
        let quota = &allowed.quotas().as_slice()[0];
        assert_eq!((quota.used(), quota.limit()), (credits(expected), Limit::Finite(credits(7))));
        assert!(!allowed.plan_changed());
    }
    one.set_plan(&ann(), daily(20)).await.unwrap();
    let guard = held(&one).await;
    other.remove_plan(&ann()).await.unwrap();
    let settled = guard.settle(credits(1)).await.unwrap();
    assert!(settled.decision().quotas().unwrap().as_slice().is_empty());
    assert_eq!(one.total_usage(&ann(), Window::ALL).await.unwrap(), credits(5));
}

/// Nobody is there to ask again.
#[tokio::test]
async fn a_settlement_that_was_sent_is_done_though_the_plan_was_changed_and_its_caller_goes_away() {
    let store = Gated::batched();
    let service = || QuotaService::builder(store.clone()).with_stored_plans().with_clock(clock()).build();
    let (one, other) = (service(), service());
    one.set_plan(&ann(), daily(10)).await.unwrap();
    let guard = held(&other).await;
    one.set_plan(&ann(), daily(7)).await.unwrap();
    store.close();
    let sent = store.batches().len();
    let settling = begun(guard.settle(credits(2))).await;
    store.came(sent + 1).await;
    drop(settling);
    store.open();
    assert_eq!(used(&other, &ann()).await, credits(2));
    assert_eq!(store.ledger(&ann()).await, credits(2));
}

async fn held<S: UsageStore>(service: &QuotaService<S>) -> HoldGuard {
    match service.hold(&ann(), Charge::new(credits(5)), Ttl::DEFAULT).await.unwrap() {
        Holding::Held(guard) => guard,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_plan_that_changes_at_every_try_ends_in_an_error() {
    let store = Gated::batched();
    let builder = QuotaService::builder(store.clone()).with_stored_plans().with_clock(clock());
    let service = builder.with_on_store_error(OnStoreError::FailOpen).build();
    service.set_plan(&ann(), daily(9)).await.unwrap();
    store.fail(Some(|| StoreError::PlanChanged(None)));
    let answer = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(answer, Err(ServiceError::PlanKeepsChanging)), "{answer:?}");
    store.fail(None);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(store.ledger(&ann()).await, Credits::ONE);
}

#[tokio::test]
async fn a_plan_that_changes_once_is_fetched_and_the_operation_done_once() {
    let store = Gated::batched();
    let service = |store| QuotaService::builder(store).with_stored_plans().with_clock(clock()).build();
    let (one, other) = (service(store.clone()), service(store.clone()));
    one.set_plan(&ann(), daily(1)).await.unwrap();
    assert!(other.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    one.set_plan(&ann(), daily(2)).await.unwrap();
    let before = store.requests().len();
    assert!(other.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(store.requests().len() - before, 2, "sent with the old plan, then with the new one");
    assert_eq!(store.ledger(&ann()).await, credits(2));
}

#[tokio::test]
async fn services_with_plans_of_their_own_over_one_store_decide_each_by_its_own() {
    let store = AnyStore::new(MemoryStore::new());
    let registry = |limit| {
        let plans = PlanRegistry::new().with(ann(), daily(limit));
        QuotaService::builder(store.clone()).with_registry(plans).with_clock(clock()).build()
    };
    let source = |limit| {
        let told = Told::new();
        told.set(ann(), daily(limit));
        QuotaService::builder(store.clone()).with_plan_source(told).with_clock(clock()).build()
    };
    for (generous, strict) in [(registry(1_000), registry(0)), (source(1_000), source(0))] {
        for _ in 0..3 {
            assert!(generous.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
            assert!(strict.charge(&ann(), Credits::ONE).await.unwrap().is_denied());
        }
    }
}
