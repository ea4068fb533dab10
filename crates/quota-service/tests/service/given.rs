//! The values that the tests are made of.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use quota_service::{
    Anchor, Charge, ClientId, Credits, Decision, Holding, Instant, Limit, ManualClock, OperationId, Period, Plan,
    PlanRegistry, Quota, QuotaService, QuotaServiceBuilder, Tz, Unit, UsageStore,
};

pub(crate) fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

/// The client of tests that need but one.
pub(crate) fn ann() -> ClientId {
    client("ann")
}

pub(crate) fn id(text: &str) -> OperationId {
    OperationId::new(text).unwrap()
}

pub(crate) fn credits(whole: u64) -> Credits {
    Credits::new(whole).unwrap()
}

pub(crate) fn charge(whole: u64, name: &str) -> Charge {
    Charge::new(credits(whole)).with_id(id(name))
}

pub(crate) fn noon() -> Instant {
    "2024-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(noon()))
}

fn plan(period: Period, limit: Limit) -> Plan {
    let anchor = Anchor::new("2024-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    Plan::new([Quota::new(period, limit, anchor)]).unwrap()
}

pub(crate) fn daily(limit: u64) -> Plan {
    plan(Period::DAY, Limit::Finite(credits(limit)))
}

pub(crate) fn monthly(limit: u64) -> Plan {
    plan(Period::MONTH, Limit::Finite(credits(limit)))
}

/// Its window would end in 2224, where no time zone table reaches.
pub(crate) fn out_of_range() -> Plan {
    plan(Period::new(Unit::Year, 200).unwrap(), Limit::Unlimited)
}

/// Every client may use 100 a day.
pub(crate) fn hundred_a_day<S: UsageStore>(store: S) -> QuotaServiceBuilder<S> {
    QuotaService::builder(store).with_registry(PlanRegistry::new().with_default(daily(100))).with_clock(clock())
}

pub(crate) async fn used<S: UsageStore>(service: &QuotaService<S>, client: &ClientId) -> Credits {
    service.status(client).await.unwrap().quotas().as_slice()[0].used()
}

pub(crate) async fn held<S: UsageStore>(service: &QuotaService<S>, client: &ClientId) -> Credits {
    service.status(client).await.unwrap().quotas().as_slice()[0].held()
}

pub(crate) fn is_replayed(decision: &Decision) -> bool {
    matches!(decision, Decision::Allowed(allowed) if allowed.replayed())
}

pub(crate) fn guard(holding: Holding) -> quota_service::HoldGuard {
    match holding {
        Holding::Held(guard) => guard,
        other => panic!("not held: {other:?}"),
    }
}

/// Polls a future once, which must not end it: what it asks for is queued or in flight from then on.
pub(crate) async fn begun<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let ended = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
    assert!(!ended, "it ended at once");
    future
}
