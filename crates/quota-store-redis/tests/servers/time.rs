//! The server's time.

use std::time::Duration;

use quota_core::{Anchor, Credits, Detail, Instant, Limit, Period, Plan, Quota, Refusal, Tz, Window};
use quota_servers::Server;
use quota_service::{
    Clock, EntriesQuery, ManualClock, PlanRegistry, QuotaService, QuotaServiceBuilder, ServiceError, SystemClock,
    UsageStore,
};
use quota_store_redis::RedisStore;

use crate::requests::client;
use crate::servers::Place;

/// A server may be on another machine, whose clock is another.
const A_MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_servers_time_is_the_present_of_services() {
    if let Some(place) = Place::shared() {
        tells_time(&place).await;
    }
}

#[tokio::test]
async fn a_clusters_time_is_the_present_of_services() {
    if let Some(url) = quota_servers::url(Server::RedisCluster) {
        tells_time(&Place::at(url)).await;
    }
}

async fn tells_time(place: &Place) {
    let store = place.store(Detail::Entries).await;
    let asked = SystemClock.now();
    let told = store.server_time().await.unwrap().unwrap();
    assert_now(told, asked);
    let service = over(store).build();
    let name = client("a");
    assert!(service.charge(&name, Credits::ONE).await.unwrap().is_allowed());
    let page = service.entries(&name, EntriesQuery { range: Window::ALL, after: None, limit: 10 }).await.unwrap();
    assert_now(page.entries[0].at, asked);
    // Whoever is far ahead of it is refused.
    let ahead = ManualClock::new(told.saturating_add(A_MINUTE * 60));
    let ahead = over(place.store(Detail::Entries).await).with_clock(ahead).build();
    let refused = ahead.charge(&name, Credits::ONE).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{refused:?}");
}

/// An instant that was told after `asked`.
fn assert_now(told: Instant, asked: Instant) {
    let (from, to) = (asked.saturating_sub(A_MINUTE), SystemClock.now().saturating_add(A_MINUTE));
    assert!((from..=to).contains(&told), "{told} is not between {from} and {to}");
}

fn over(store: RedisStore) -> QuotaServiceBuilder<RedisStore> {
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let plan = Plan::new([Quota::new(Period::YEAR, Limit::Unlimited, anchor)]).unwrap();
    QuotaService::builder(store).with_registry(PlanRegistry::new().with_default(plan))
}
