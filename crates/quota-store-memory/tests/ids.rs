//! The ids that a store with quarters remembers.

use std::time::Duration;

use quota_service::{
    Charge, ClientId, Clock, Credits, Decision, Holding, ManualClock, OperationId, Plan, PlanRegistry, QuotaService,
    Refusal, ServiceError, Ttl,
};
use quota_store_memory::MemoryStore;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn service(clock: std::sync::Arc<ManualClock>) -> (QuotaService<MemoryStore>, ClientId) {
    service_over(MemoryStore::new(), clock)
}

fn service_over(store: MemoryStore, clock: std::sync::Arc<ManualClock>) -> (QuotaService<MemoryStore>, ClientId) {
    let plans = PlanRegistry::new().with_default(Plan::default());
    let service = QuotaService::builder(store).with_registry(plans).with_clock(clock).build();
    (service, ClientId::new("client").unwrap())
}

fn noon() -> std::sync::Arc<ManualClock> {
    std::sync::Arc::new(ManualClock::new("2024-03-01T12:00:00Z".parse().unwrap()))
}

fn charge(id: &str) -> Charge {
    Charge::new(Credits::ONE).with_id(OperationId::new(id).unwrap())
}

async fn is_replayed(service: &QuotaService<MemoryStore>, client: &ClientId, charge: Charge) -> bool {
    match service.charge_with(client, charge).await.unwrap() {
        Decision::Allowed(allowed) => allowed.replayed(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_id_is_remembered_for_a_day_from_when_it_was_written() {
    let clock = noon();
    let (service, client) = service(clock.clone());
    assert!(!is_replayed(&service, &client, charge("a")).await);
    clock.advance(DAY - Duration::from_millis(1));
    assert!(is_replayed(&service, &client, charge("a")).await);
    clock.advance(Duration::from_millis(1));
    assert!(!is_replayed(&service, &client, charge("a")).await);
}

#[tokio::test]
async fn an_id_is_remembered_for_as_long_as_was_chosen() {
    const LONG: Duration = Duration::from_secs(3 * 24 * 3_600);
    for ids_for in [Duration::from_secs(3_600), LONG] {
        let clock = noon();
        let (service, client) = service_over(MemoryStore::builder().with_ids_for(ids_for).build(), clock.clone());
        assert!(!is_replayed(&service, &client, charge("a")).await);
        clock.advance(ids_for - Duration::from_millis(1));
        assert!(is_replayed(&service, &client, charge("a")).await, "{ids_for:?}");
        clock.advance(Duration::from_millis(1));
        assert!(!is_replayed(&service, &client, charge("a")).await, "{ids_for:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_written_for_long_ago_is_remembered_for_a_day_as_well() {
    let clock = noon();
    let (service, client) = service(clock.clone());
    // Its account's time is no later than that, or it is.
    for id in ["a", "b"] {
        let long_ago = clock.now().saturating_sub(2 * DAY);
        assert!(!is_replayed(&service, &client, charge(id).with_at(long_ago)).await);
        let _ = service.charge(&client, Credits::ONE).await.unwrap();
        assert!(is_replayed(&service, &client, charge(id)).await);
        clock.advance(DAY - Duration::from_millis(1));
        assert!(is_replayed(&service, &client, charge(id)).await);
        clock.advance(Duration::from_millis(1));
        assert!(!is_replayed(&service, &client, charge(id)).await);
        clock.advance(DAY);
    }
}

#[tokio::test]
async fn held_ids_have_the_same_bound_and_a_settlement_is_never_refused_for_it() {
    let (service, client) = service(noon());
    let mut settled = 0;
    loop {
        let hold = service.hold(&client, Charge::new(Credits::ONE), Ttl::DEFAULT).await;
        match hold {
            Ok(Holding::Held(guard)) => {
                guard.settle(Credits::ONE).await.unwrap();
                settled += 1;
            }
            Err(ServiceError::Refused(Refusal::TooManyIds)) => break,
            other => panic!("{other:?}"),
        }
        assert!(settled <= 100_000);
    }
    assert_eq!(settled, 100_000);
}

#[tokio::test]
async fn a_hold_keeps_room_for_its_settlement_whatever_is_charged_meanwhile() {
    let (service, client) = service(noon());
    let hold = service.hold(&client, Charge::new(Credits::ONE), Ttl::DEFAULT).await.unwrap();
    let Holding::Held(guard) = hold else { panic!("{hold:?}") };
    let mut charged = 0;
    while service.charge_with(&client, charge(&charged.to_string())).await.is_ok() {
        charged += 1;
    }
    assert_eq!(charged, 99_999);
    guard.settle(Credits::ONE).await.unwrap();
    let answer = service.charge_with(&client, charge("one more")).await;
    assert!(matches!(answer, Err(ServiceError::Refused(Refusal::TooManyIds))), "{answer:?}");
}

#[tokio::test]
async fn pruning_leaves_the_ids_of_the_last_day() {
    let clock = noon();
    let (service, client) = service(clock.clone());
    assert!(!is_replayed(&service, &client, charge("a")).await);
    service.prune(clock.now()).await.unwrap();
    assert!(is_replayed(&service, &client, charge("a")).await);
}
