//! What a charge allocates once its client is known.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use quota_service::{
    Anchor, Charge, ClientId, Credits, Decision, Label, Limit, Period, Plan, PlanRegistry, Quota, QuotaService,
};
use quota_store_memory::MemoryStore;

/// Decided in the first poll, without a runtime: nothing else allocates here.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the store waits"),
    }
}

fn service(limit: u64) -> QuotaService<MemoryStore> {
    let anchor = Anchor::in_zone("2024-01-31T00:00:00Z".parse().unwrap(), "Europe/Berlin").unwrap();
    let quota = |period| Quota::new(period, Limit::Finite(Credits::new(limit).unwrap()), anchor);
    let plan = Plan::new([quota(Period::MONTH), quota(Period::YEAR)]).unwrap();
    QuotaService::builder(MemoryStore::new()).with_registry(PlanRegistry::new().with_default(plan)).build()
}

/// Allocations of a thousand charges of a client that is known. A quarter of an hour that ends meanwhile costs a few.
fn allocations(service: &QuotaService<MemoryStore>, charge: impl Fn(&ClientId) -> Decision) -> u64 {
    let client = ClientId::new("client-1").unwrap();
    let _ = (charge(&client), charge(&client));
    let counted = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            let _ = std::hint::black_box(charge(&client));
        }
    });
    assert!(at_once(service.status(&client)).is_ok());
    counted.count_total
}

#[test]
fn a_charge_in_the_steady_state_allocates_nothing() {
    let service = service(1_000_000);
    assert!(allocations(&service, |client| at_once(service.charge(client, Credits::ONE)).unwrap()) <= 8);
}

#[test]
fn a_denial_allocates_nothing() {
    let service = service(1);
    assert!(allocations(&service, |client| at_once(service.charge(client, Credits::ONE)).unwrap()) <= 8);
}

#[test]
fn a_label_allocates_nothing() {
    let service = service(1_000_000);
    let label = Label::new("/api/fetch-data").unwrap();
    let charge = Charge::new(Credits::ONE).with_label(label);
    assert!(allocations(&service, |client| at_once(service.charge_with(client, charge.clone())).unwrap()) <= 8);
}
