//! The metrics that are documented.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use quota_service::{
    Charge, Clock, Credits, Holding, OnStoreError, PlanRegistry, QuotaService, QuotaServiceBuilder, SystemClock, Ttl,
    UsageStore,
};
use quota_store_memory::MemoryStore;

use crate::gated::{Gated, not_done};
use crate::given::{ann, begun, charge, client, clock, credits, daily, noon};

pub(crate) fn observed<S: UsageStore>(builder: QuotaServiceBuilder<S>) -> (QuotaService<S>, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    (metrics::with_local_recorder(&recorder, || builder.build()), snapshotter)
}

pub(crate) fn ten_a_day<S: UsageStore>(store: S) -> QuotaServiceBuilder<S> {
    QuotaService::builder(store).with_registry(PlanRegistry::new().with(ann(), daily(10))).with_clock(clock())
}

/// Everything that was counted, by name and labels; a snapshot takes histograms out.
pub(crate) fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
    let written = |key: &metrics::Key| {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        format!("{}{{{}}}", key.name(), labels.join(","))
    };
    let all = snapshotter.snapshot().into_vec();
    all.into_iter().map(|(key, _, _, value)| (written(key.key()), value)).collect()
}

pub(crate) fn count(snapshot: &BTreeMap<String, DebugValue>, name: &str) -> u64 {
    match snapshot.get(name) {
        Some(DebugValue::Counter(count)) => *count,
        other => panic!("{name}: {other:?}"),
    }
}

async fn use_all_outcomes<S: UsageStore>(service: &QuotaService<S>) {
    let one = Charge::new(Credits::ONE);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    assert!(service.record(&ann(), one.clone()).await.unwrap().is_allowed());
    assert!(service.charge(&ann(), credits(7)).await.unwrap().is_denied());
    assert!(matches!(service.hold(&ann(), Charge::new(credits(7)), Ttl::DEFAULT).await, Ok(Holding::Denied(_))));
    assert!(service.charge(&client("stranger"), Credits::ONE).await.is_err());
    let ahead = one.with_at(noon().saturating_add(Duration::from_secs(3_600)));
    assert!(service.charge_with(&ann(), ahead).await.is_err());
}

#[tokio::test]
async fn charges_are_counted_by_outcome() {
    async fn counted<S: UsageStore>(store: S) {
        let (service, snapshotter) = observed(ten_a_day(store));
        use_all_outcomes(&service).await;
        let seen = snapshot(&snapshotter);
        for (outcome, expected) in
            [("allowed", 4), ("replayed", 1), ("denied", 2), ("refused", 2), ("unchecked", 0), ("failed", 0)]
        {
            assert_eq!(count(&seen, &format!("quota_charges_total{{outcome={outcome}}}")), expected, "{outcome}");
        }
        assert_eq!(count(&seen, "quota_clock_ahead_total{}"), 1);
    }
    counted(MemoryStore::new()).await;
    counted(Gated::direct()).await;
    counted(Gated::batched()).await;
}

#[tokio::test]
async fn failures_and_unchecked_are_counted() {
    for (choice, outcome) in [(OnStoreError::FailClosed, "failed"), (OnStoreError::FailOpen, "unchecked")] {
        let store = Gated::batched();
        let (service, snapshotter) = observed(ten_a_day(store.clone()).with_on_store_error(choice));
        store.fail(Some(not_done));
        let _ = service.charge(&ann(), Credits::ONE).await;
        let _ = service.record(&ann(), Charge::new(Credits::ONE)).await;
        let _ = service.hold(&ann(), Charge::new(Credits::ONE), Ttl::DEFAULT).await.map(drop);
        let seen = snapshot(&snapshotter);
        assert_eq!(count(&seen, &format!("quota_charges_total{{outcome={outcome}}}")), 3);
        assert_eq!(count(&seen, "quota_charges_total{outcome=allowed}"), 0);
    }
}

#[tokio::test]
async fn batches_are_measured() {
    let store = Gated::batched();
    let (service, snapshotter) = observed(ten_a_day(store.clone()));
    let ann = ann();
    store.close();
    let first = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(1).await;
    let second = begun(service.charge(&ann, Credits::ONE)).await;
    let third = begun(service.charge(&ann, Credits::ONE)).await;
    store.open();
    for answer in futures_util::future::join_all([first, second, third]).await {
        assert!(answer.unwrap().is_allowed());
    }
    let seen = snapshot(&snapshotter);
    let Some(DebugValue::Histogram(sizes)) = seen.get("quota_batch_size{}") else { panic!("{seen:?}") };
    assert_eq!(sizes.iter().map(|size| size.0).collect::<Vec<_>>(), [1.0, 2.0]);
    let Some(DebugValue::Histogram(times)) = seen.get("quota_store_seconds{}") else { panic!("{seen:?}") };
    assert_eq!(times.len(), 2);
}

#[tokio::test]
async fn changed_plans_are_counted_as_conflicts() {
    let store = Gated::direct();
    let other = QuotaService::builder(store.clone()).with_stored_plans().with_clock(clock()).build();
    let (service, snapshotter) = observed(QuotaService::builder(store).with_stored_plans().with_clock(clock()));
    for limit in 1..=3 {
        other.set_plan(&ann(), daily(limit)).await.unwrap();
        assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    }
    assert_eq!(count(&snapshot(&snapshotter), "quota_conflicts_total{kind=plan}"), 2, "the first was read, not known");
}

#[tokio::test]
async fn the_clocks_offset_is_told_when_an_instant_is_refused() {
    let own = clock();
    let server = clock();
    let (service, snapshotter) =
        observed(ten_a_day(MemoryStore::new()).with_clock(own.clone()).with_reference_clock(server.clone()));
    own.advance(Duration::from_millis(90_500));
    assert!(service.charge(&ann(), Credits::ONE).await.is_err());
    let seen = snapshot(&snapshotter);
    let Some(DebugValue::Gauge(offset)) = seen.get("quota_clock_offset_seconds{}") else { panic!("{seen:?}") };
    assert_eq!(offset.0, 90.5);
}

#[tokio::test]
async fn health_tells_how_far_the_machines_clock_is_off() {
    let store = Gated::batched();
    store.tell_time(|| Ok(SystemClock.now().saturating_sub(Duration::from_secs(3_600))));
    let (service, snapshotter) = observed(QuotaService::builder(store));
    service.health().await.unwrap();
    let seen = snapshot(&snapshotter);
    let Some(DebugValue::Gauge(offset)) = seen.get("quota_clock_offset_seconds{}") else { panic!("{seen:?}") };
    assert!((3_600.0..3_660.0).contains(&offset.0), "{offset}");
    // Nor does it once the service goes by the server's clock.
    let _ = service.charge(&ann(), Credits::ONE).await;
    service.health().await.unwrap();
    let seen = snapshot(&snapshotter);
    let Some(DebugValue::Gauge(offset)) = seen.get("quota_clock_offset_seconds{}") else { panic!("{seen:?}") };
    assert!((3_600.0..3_660.0).contains(&offset.0), "{offset}");
}

#[tokio::test]
async fn every_metric_is_described() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let service = metrics::with_local_recorder(&recorder, || ten_a_day(Gated::batched()).build());
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    for (key, _, description, _) in snapshotter.snapshot().into_vec() {
        assert!(description.is_some_and(|text| !text.is_empty()), "{key:?}");
        assert!(key.kind() != MetricKind::Counter || key.key().name().ends_with("_total"), "{key:?}");
    }
}
