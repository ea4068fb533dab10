//! What an operator has to hear of: it is logged and counted.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quota_service::{
    Charge, Credits, Decision, OnStoreError, QuotaServiceBuilder, Refusal, ServiceError, Ttl, UsageStore,
};
use quota_store_memory::MemoryStore;
use tracing::subscriber::DefaultGuard;

use crate::gated::{Gated, not_done};
use crate::given::{ann, charge, id, noon};
use crate::metrics::{count, observed, snapshot, ten_a_day};

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// What this thread logs until the guard is dropped.
fn logged() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_passes_unchecked_is_warned_of_and_counted_whatever_it_is() {
    let store = Gated::batched();
    let (service, snapshotter) = observed(ten_a_day(store.clone()).with_on_store_error(OnStoreError::FailOpen));
    let (log, _logged) = logged();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(log.lines().is_empty(), "{:?}", log.lines());
    store.fail(Some(not_done));
    let (ann, a) = (ann(), id("a"));
    for (number, passed) in [
        service.charge(&ann, Credits::ONE).await,
        service.charge_with(&ann, charge(1, "b")).await,
        service.record(&ann, charge(1, "c")).await,
        service.extend(&ann, &a, Ttl::DEFAULT).await,
        service.settle(&ann, &a, Credits::ONE).await,
        service.release(&ann, &a).await,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(passed.unwrap(), Decision::Unchecked, "{number}");
    }
    let holding = service.hold(&ann, charge(1, "d"), Ttl::DEFAULT).await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 7, "{lines:?}");
    for line in lines {
        assert!(line.contains("WARN") && line.contains("unchecked: the store could not answer"), "{line}");
        assert!(line.contains("the store is down"), "it says why: {line}");
    }
    assert_eq!(count(&snapshot(&snapshotter), "quota_unchecked_total{}"), 7);
    drop(holding);
}

#[tokio::test]
async fn nothing_passes_unchecked_where_the_service_fails_closed() {
    let store = Gated::batched();
    let (service, snapshotter) = observed(ten_a_day(store.clone()));
    let (log, _logged) = logged();
    store.fail(Some(not_done));
    assert!(service.charge(&ann(), Credits::ONE).await.is_err());
    assert!(service.settle(&ann(), &id("a"), Credits::ONE).await.is_err());
    assert!(!log.lines().iter().any(|line| line.contains("unchecked")), "{:?}", log.lines());
    assert_eq!(count(&snapshot(&snapshotter), "quota_unchecked_total{}"), 0);
}

#[tokio::test]
async fn an_instant_ahead_is_an_error_in_the_log_and_counted() {
    async fn told<S: UsageStore>(builder: QuotaServiceBuilder<S>) {
        let (service, snapshotter) = observed(builder);
        let (log, _logged) = logged();
        let after = |millis| Charge::new(Credits::ONE).with_at(noon().saturating_add(Duration::from_millis(millis)));
        // By default a minute is not too far.
        assert!(service.charge_with(&ann(), after(60_000)).await.unwrap().is_allowed());
        assert!(log.lines().is_empty(), "{:?}", log.lines());
        let refused = [
            service.charge_with(&ann(), after(60_001)).await,
            service.record(&ann(), after(60_001)).await,
            service.hold(&ann(), after(60_001), Ttl::DEFAULT).await.map(|holding| panic!("{holding:?}")),
        ];
        for answer in refused {
            assert!(matches!(answer, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{answer:?}");
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in lines {
            let says = |text: &str| line.contains(text);
            // Whose clock it was can be told from both.
            assert!(
                says("ERROR") && says("at=2024-03-01T12:01:00.001Z") && says("server=2024-03-01T12:00:00.000Z"),
                "{line}"
            );
        }
        assert_eq!(count(&snapshot(&snapshotter), "quota_clock_ahead_total{}"), 3);
    }
    told(ten_a_day(MemoryStore::new())).await;
    told(ten_a_day(Gated::batched())).await;
    // It is no failure of the store.
    told(ten_a_day(Gated::batched()).with_on_store_error(OnStoreError::FailOpen)).await;
}
