//! What a service does where nothing else is said.

use std::sync::Arc;
use std::time::Duration;

use quota_service::{ManualClock, QuotaService};
use quota_store_memory::MemoryStore;

use crate::given::{ann, client, clock, daily};
use crate::told::Told;

fn service(source: &Told, clock: &Arc<ManualClock>) -> QuotaService<MemoryStore> {
    QuotaService::builder(MemoryStore::new()).with_plan_source(source.clone()).with_clock(clock.clone()).build()
}

/// When the source is asked again for what it said.
async fn assert_asked_again_after(source: &Told, seconds: u64) {
    let clock = clock();
    let service = service(source, &clock);
    for (millis, asked) in [(0, 1), (seconds * 1_000 - 1, 1), (1, 2)] {
        clock.advance(Duration::from_millis(millis));
        service.plan(&ann()).await.unwrap();
        assert_eq!(source.asked(), asked, "after {millis} ms more");
    }
}

#[tokio::test]
async fn a_plan_is_asked_again_after_thirty_seconds() {
    let source = Told::new();
    source.set(ann(), daily(1));
    assert_asked_again_after(&source, 30).await;
}

#[tokio::test]
async fn an_unknown_client_is_asked_again_after_five_seconds() {
    assert_asked_again_after(&Told::new(), 5).await;
}

#[tokio::test]
async fn a_hundred_thousand_clients_are_remembered_and_no_more() {
    let source = Told::new();
    let service = service(&source, &clock());
    let ask = async |number: usize| {
        service.plan(&client(&number.to_string())).await.unwrap();
        source.asked()
    };
    for number in 0..100_000 {
        assert_eq!(ask(number).await, number + 1);
    }
    assert_eq!(ask(0).await, 100_000, "none is forgotten yet");
    // One more takes the place of the one that was not asked for the longest.
    assert_eq!(ask(100_000).await, 100_001);
    assert_eq!(ask(1).await, 100_002);
}
