//! The server's time.

use std::time::Duration;

use quota_core::{Credits, Instant, Plan, Refusal, Window};
use quota_service::{
    Clock, EntriesQuery, ManualClock, PlanRegistry, QuotaService, QuotaServiceBuilder, ServiceError, SystemClock,
    UsageStore,
};
use quota_store_mongo::MongoStore;

use crate::collections::run;
use crate::requests::{client, per_year};

/// A server may be on another machine, whose clock is another.
const A_MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_servers_time_is_the_present_of_services() {
    run(async |collections| {
        let store = collections.store().await;
        let asked = SystemClock.now();
        let told = store.server_time().await.unwrap().unwrap();
        assert_now(told, asked);
        let service = over(store).build();
        let name = client("a");
        assert!(service.charge(&name, Credits::ONE).await.unwrap().is_allowed());
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
        assert_now(service.entries(&name, query).await.unwrap().entries[0].at, asked);
        // Whoever is far ahead of it is refused.
        let ahead = ManualClock::new(told.saturating_add(A_MINUTE * 60));
        let ahead = over(collections.store().await).with_clock(ahead).build();
        let refused = ahead.charge(&name, Credits::ONE).await;
        assert!(matches!(refused, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{refused:?}");
    });
}

/// An instant that was told after `asked`.
fn assert_now(told: Instant, asked: Instant) {
    let (from, to) = (asked.saturating_sub(A_MINUTE), SystemClock.now().saturating_add(A_MINUTE));
    assert!((from..=to).contains(&told), "{told} is not between {from} and {to}");
}

fn over(store: MongoStore) -> QuotaServiceBuilder<MongoStore> {
    let plan = Plan::clone(&per_year("10"));
    QuotaService::builder(store).with_registry(PlanRegistry::new().with_default(plan))
}
