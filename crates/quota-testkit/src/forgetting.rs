//! Sums past a retention, which are forgotten in steps; windows that would need them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use quota_core::{Credits, Plan, Refusal, Unit, Window};
use quota_service::{ServiceError, UsageStore};

use crate::{Harness, StoreFactory, at, past_entry, per_day, quota};

/// Of two days and two hours.
pub const RETENTION: Duration = QUARTER.saturating_mul(KEPT);

const QUARTER: Duration = Duration::from_secs(900);
const KEPT: u32 = 200;

/// As many quarters have a sum, of one credit: two steps are too few to forget them.
const SUMS: u32 = 5_000;

/// A case for stores that are made with a retention: `forgetting` is another handle on the data of `factory`, made with
/// [`RETENTION`]. The factory's own have none.
///
/// A pruning with which nobody goes on has forgotten some sums, and its client is charged. When it has ended, what is within
/// the retention is there, and nothing older.
///
/// # Panics
/// Where the store does otherwise.
pub async fn sums_past_a_retention_are_forgotten_in_steps<F: StoreFactory>(factory: F, forgetting: F::Store) {
    let harness = Harness::new(Arc::new(factory));
    let client = harness.subject_of(&harness.builder_over(forgetting).build(), "a");
    let other = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let first = at("2024-01-01T00:00:00Z");
    let quarter = |number| first.saturating_add(QUARTER.saturating_mul(number));
    let entries: Vec<_> =
        (0..SUMS).map(|number| past_entry(&format!("i{number}"), quarter(number), Credits::ONE)).collect();
    for some in entries.chunks(500) {
        other.service().backfill(other.client(), some.to_vec()).await.expect("a backfill");
    }
    // What has no retention folds them, and forgets nothing.
    other.service().store().prune(quarter(SUMS)).await.expect("a pruning");
    assert_eq!(other.total().await, SUMS.to_string());

    let mut pruning = pin!(client.service().store().prune(quarter(SUMS)));
    // A poll ends at the latest where a step waits for its answer.
    while other.total().await == SUMS.to_string() {
        assert!(poll!(pruning.as_mut()).is_pending(), "the pruning ended before one of its steps was seen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Not every server takes the sums of a step out at once. When it is through, nobody asks for another.
    let (mut before, mut left) = (String::new(), other.total().await);
    while before != left {
        tokio::time::sleep(Duration::from_millis(100)).await;
        before = std::mem::replace(&mut left, other.total().await);
    }
    assert_ne!(left, KEPT.to_string(), "all were forgotten in one step");
    assert_eq!(client.charge("1").await, "allowed");
    pruning.await.expect("a pruning");
    assert_eq!(client.charge("2").await, "allowed");
    let kept = Window::new(quarter(SUMS - KEPT), quarter(SUMS)).expect("a range");
    let kept = other.service().total_usage(other.client(), kept).await.expect("a sum");
    assert_eq!(kept.to_string(), KEPT.to_string());
    assert_eq!(other.total().await, (KEPT + 3).to_string());
    assert_eq!(other.used().await, "3");
}

/// The same for stores that forget whole days of UTC: what is within the retention is there, and no day that ended before it.
///
/// # Panics
/// Where the store does otherwise.
pub async fn days_past_a_retention_are_forgotten<F: StoreFactory>(factory: F, forgetting: F::Store) {
    const DAYS: u32 = 100;
    let harness = Harness::new(Arc::new(factory));
    let client = harness.subject_of(&harness.builder_over(forgetting).build(), "a");
    let other = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let day = |number: u32| at("2023-11-01T00:00:00Z").saturating_add(QUARTER.saturating_mul(96 * number));
    let noon = |number| day(number).saturating_add(QUARTER.saturating_mul(48));
    let entries: Vec<_> =
        (0..DAYS).map(|number| past_entry(&format!("i{number}"), noon(number), Credits::ONE)).collect();
    client.service().backfill(client.client(), entries).await.expect("a backfill");
    other.service().store().prune(day(DAYS)).await.expect("a pruning");
    assert_eq!(other.total().await, DAYS.to_string(), "what has no retention forgets nothing");
    client.service().store().prune(day(DAYS)).await.expect("a pruning");
    // Two days and two hours: the third day is begun.
    assert_eq!(other.total().await, "3");
    let kept = Window::new(day(DAYS - 3), day(DAYS)).expect("a range");
    assert_eq!(other.service().total_usage(other.client(), kept).await.expect("a sum").to_string(), "3");
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.charge("1").await, "denied");
}

/// A case for stores that are made with a retention, as [`sums_past_a_retention_are_forgotten_in_steps`]: a plan with a window that may
/// outlast what is kept is not taken, and decides nothing where somebody else has set it.
///
/// # Panics
/// Where the store does otherwise.
pub async fn windows_past_a_retention_are_refused<F: StoreFactory>(factory: F, forgetting: F::Store) {
    const REFUSED: &str = "window_exceeds_retention";
    let harness = Harness::new(Arc::new(factory));
    let client = harness.subject_of(&harness.builder_over(forgetting).build(), "a");
    let other = harness.subject("a").await;
    let three_days = Plan::new([quota(Unit::Day, 3, "9")]).expect("a plan");
    client.plan(&[per_day("2")]).await;
    let set = client.service().set_plan(client.client(), three_days.clone()).await;
    assert!(matches!(set, Err(ServiceError::Refused(Refusal::WindowExceedsRetention { .. }))), "{set:?}");
    for expected in ["allowed", "denied"] {
        assert_eq!(client.charge("2").await, expected, "by the plan that was there before");
    }

    // Who keeps everything takes it.
    other.service().set_plan(other.client(), three_days).await.expect("a plan");
    assert_eq!(client.charge_as("c", "1").await, REFUSED);
    assert_eq!(client.record_as("r", "1").await, REFUSED);
    assert_eq!(client.hold("h", "1", crate::seconds(60)).await, REFUSED);
    let status = client.service().status(client.client()).await;
    assert!(matches!(status, Err(ServiceError::Refused(Refusal::WindowExceedsRetention { .. }))), "{status:?}");
    assert_eq!(other.stands().await, ("2".to_owned(), "0".to_owned(), "7".to_owned()), "nothing was changed");
    assert_eq!(other.charge("7").await, "allowed");
}
