//! What the predecessor got wrong, and must not come back. Its processes that counted each for itself are in
//! `processes`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, RunQueryDsl, sql_query, sql_types::BigInt};
use quota_core::{Credits, Instant, Unit};
use quota_service::{Clock, Decision, QuotaService, ServiceError};
use quota_store_diesel::SqliteStore;
use quota_testkit::{
    Gate, Gated, Harness, SharedMemory, StoreFactory, at, credits, past_entry, per_day, quota, quota_from,
};
use tempfile::TempDir;

struct SqliteFile(TempDir);

impl SqliteFile {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> String {
        self.0.path().join("quota.db").display().to_string()
    }
}

impl StoreFactory for SqliteFile {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).unwrap()
    }
}

fn harness<F>(factory: F) -> Harness<F>
where
    F: StoreFactory,
{
    Harness::new(Arc::new(factory))
}

#[tokio::test]
async fn a_month_never_begins_at_a_restart() {
    let harness = harness(SqliteFile::new());
    let month = quota_from(Unit::Month, 1, "100", "2023-12-31T07:30:00Z", "UTC");
    harness.subject("a").await.plan(&[month]).await;
    for (now, starts, resets) in [
        ("2024-02-15T12:34:56.789Z", "2024-01-31T07:30:00Z", "2024-02-29T07:30:00Z"),
        ("2024-02-29T07:29:59.999Z", "2024-01-31T07:30:00Z", "2024-02-29T07:30:00Z"),
        ("2024-02-29T07:30:00Z", "2024-02-29T07:30:00Z", "2024-03-31T07:30:00Z"),
        ("2024-04-30T23:00:00Z", "2024-04-30T07:30:00Z", "2024-05-31T07:30:00Z"),
    ] {
        harness.clock().set(at(now));
        // Another process each time.
        let status = harness.subject("a").await.status().await;
        let quota = &status.quotas().as_slice()[0];
        assert_eq!((quota.starts_at(), quota.resets_at()), (at(starts), at(resets)), "{now}");
    }
}

#[tokio::test]
async fn a_leap_day_anchors_a_year_and_a_minute_lasts_a_minute_when_clocks_go_back() {
    let harness = harness(SharedMemory::quarters());
    let client = harness.subject("a").await;
    let year = quota_from(Unit::Year, 1, "10", "2020-02-29T00:00:00Z", "UTC");
    let minute = quota_from(Unit::Minute, 1, "10", "2020-01-01T00:00:00Z", "Europe/Berlin");
    client.plan(&[year, minute]).await;
    for (now, minute_ends, year_ends) in [
        ("2024-10-27T00:59:30Z", "2024-10-27T01:00:00Z", "2025-02-28T00:00:00Z"),
        ("2025-02-28T00:00:00Z", "2025-02-28T00:01:00Z", "2026-02-28T00:00:00Z"),
        ("2027-12-31T23:59:59Z", "2028-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
    ] {
        harness.clock().set(at(now));
        let status = client.status().await;
        let ends: Vec<Instant> = status.quotas().iter().map(quota_core::QuotaStatus::resets_at).collect();
        assert_eq!(ends, [at(minute_ends), at(year_ends)], "{now}");
    }
}

#[tokio::test]
async fn a_days_end_counts_once() {
    let harness = harness(SharedMemory::entries());
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-16T00:00:00Z"));
    assert_eq!(client.charge("1").await, "allowed");
    let days = client.days("2024-03-15T00:00:00Z", "2024-03-18T00:00:00Z", "UTC").await;
    assert_eq!(days, [("2024-03-16".to_owned(), "1".to_owned(), 1)]);
}

async fn setting_a_plan_resets_nothing_on(factory: impl StoreFactory) {
    let harness = harness(factory);
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    let charging = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut allowed = 0;
            for _ in 0..150 {
                allowed += usize::from(client.charge("1").await == "allowed");
            }
            allowed
        })
    };
    for _ in 0..20 {
        client.plan(&[per_day("100")]).await;
    }
    assert_eq!(charging.await.unwrap(), 100);
    client.plan(&[per_day("100")]).await;
    assert_eq!(client.charge("0.000001").await, "denied");
    assert_eq!(client.used().await, "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn setting_a_plan_resets_nothing() {
    setting_a_plan_resets_nothing_on(SharedMemory::quarters()).await;
    setting_a_plan_resets_nothing_on(SqliteFile::new()).await;
}

#[tokio::test]
async fn a_store_failure_leaves_nothing_charged_in_memory() {
    let harness = harness(SharedMemory::entries());
    let (store, keeper) = Gated::new(harness.store().await);
    let service = harness.builder_over(store).build();
    let client = harness.subject_of(&service, "a");
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::NotDone);
    for _ in 0..20 {
        let failed = service.charge(client.client(), Credits::ONE).await;
        assert!(matches!(failed, Err(ServiceError::NotDone { .. })), "{failed:?}");
    }
    keeper.set(Gate::Open);
    assert_eq!(client.stands().await, ("1".into(), "0".into(), "9".into()));
    assert_eq!(client.charge("9").await, "allowed");
}

#[test]
fn negative_credits_cannot_be_written() {
    for text in ["-1", "-0.000001", "NaN", "nan", "inf", "-inf", "1e3", "+1", ""] {
        assert!(text.parse::<Credits>().is_err(), "{text:?}");
    }
    assert!(Credits::from_micros(-1).is_err());
    assert_eq!(credits("1").checked_sub(credits("1.000001")), None);
}

#[tokio::test]
async fn a_tenth_three_times_fits_in_three_tenths() {
    let harness = harness(SharedMemory::quarters());
    let client = harness.subject("a").await;
    client.plan(&[per_day("0.3")]).await;
    for expected in ["allowed", "allowed", "allowed", "denied"] {
        assert_eq!(client.charge("0.1").await, expected);
    }
}

#[tokio::test]
async fn a_denial_names_the_quota_that_waits_longest() {
    let harness = harness(SharedMemory::quarters());
    let client = harness.subject("a").await;
    client.plan(&[per_day("10"), quota(Unit::Month, 1, "10")]).await;
    assert_eq!(client.charge("10").await, "allowed");
    let decision = client.service().charge(client.client(), Credits::ONE).await.unwrap();
    let Decision::Denied(denied) = decision else { panic!("{decision:?}") };
    assert_eq!(denied.binding().map(quota_core::QuotaStatus::resets_at), Some(at("2024-04-01T00:00:00Z")));
    assert_eq!(denied.retry_at(), Some(at("2024-04-01T00:00:00Z")));
    harness.clock().set(denied.retry_at().unwrap());
    assert_eq!(client.charge("1").await, "allowed");
}

#[tokio::test]
async fn the_advertised_reset_is_never_early() {
    let harness = harness(SharedMemory::entries());
    let client = harness.subject("a").await;
    let odd = quota_from(Unit::Hour, 1, "1", "2024-01-01T00:00:00.001Z", "UTC");
    client.plan(&[odd]).await;
    assert_eq!(client.charge("1").await, "allowed");
    let decision = client.service().charge(client.client(), Credits::ONE).await.unwrap();
    let Decision::Denied(denied) = decision else { panic!("{decision:?}") };
    let retry_at = denied.retry_at().unwrap();
    assert_eq!(retry_at, at("2024-03-15T12:00:00.001Z"));
    // Whoever waits for whole seconds comes when the quota has renewed.
    let advertised = Instant::from_millis(i64::try_from(retry_at.ceil_seconds()).unwrap() * 1_000).unwrap();
    assert!(advertised >= retry_at);
    harness.clock().set(Instant::from_millis(retry_at.millis() - 1).unwrap());
    assert_eq!(client.charge("1").await, "denied");
    harness.clock().set(advertised);
    assert_eq!(client.charge("1").await, "allowed");
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn count(connection: &mut SqliteConnection, table: &str) -> i64 {
    let query = sql_query(format!("SELECT count(*) AS count FROM {table}"));
    query.get_result::<Count>(connection).unwrap().count
}

#[tokio::test]
async fn daily_usage_costs_quarters_not_rows() {
    let file = SqliteFile::new();
    let path = file.path();
    let harness = harness(file);
    let client = harness.subject("a").await;
    // 10,000 entries in 40 quarters of ten days.
    let entry = |number: u64| {
        let quarter = Duration::from_secs(number % 40 * 6 * 3_600 + number % 900);
        past_entry(&number.to_string(), at("2024-03-01T00:00:00Z").saturating_add(quarter), Credits::ONE)
    };
    client.service().backfill(client.client(), (0..10_000).map(entry).collect()).await.unwrap();
    let (from, to) = ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z");
    let days = client.days(from, to, "Asia/Kathmandu").await;
    assert_eq!(days.iter().map(|(_, _, entries)| entries).sum::<u64>(), 10_000);

    let mut connection = SqliteConnection::establish(&path).unwrap();
    assert_eq!(count(&mut connection, "quota_entries"), 10_000);
    assert_eq!(count(&mut connection, "quota_quarters"), 40);
    // No entry is read for a day: without them it says the same.
    connection.batch_execute("DELETE FROM quota_entries").unwrap();
    assert_eq!(client.days(from, to, "Asia/Kathmandu").await, days);
    assert_eq!(client.total_in(from, to).await, "10000");
}

#[tokio::test]
async fn the_stores_own_connections_leave_the_applications_transaction_alone() {
    let file = SqliteFile::new();
    let path = file.path();
    let harness = harness(file);
    harness.subject("a").await.plan(&[per_day("10")]).await;
    let patience = Duration::from_millis(100);
    let store = SqliteStore::builder(&path).with_busy_timeout(patience).open().unwrap();
    let service: QuotaService<SqliteStore> = harness.builder_over(store).build();
    let client = harness.subject_of(&service, "a");

    let mut application = SqliteConnection::establish(&path).unwrap();
    application.batch_execute("CREATE TABLE orders (id INTEGER)").unwrap();
    application.batch_execute("BEGIN IMMEDIATE; INSERT INTO orders VALUES (1)").unwrap();
    let waiting = service.charge(client.client(), Credits::ONE).await;
    assert!(matches!(waiting, Err(ServiceError::NotDone { .. })), "{waiting:?}");
    application.batch_execute("ROLLBACK").unwrap();
    assert_eq!(count(&mut application, "orders"), 0, "nobody committed what the application rolled back");

    application.batch_execute("BEGIN; INSERT INTO orders VALUES (2)").unwrap();
    let _ = service.charge(client.client(), Credits::ONE).await;
    application.batch_execute("COMMIT").unwrap();
    assert_eq!(count(&mut application, "orders"), 1);
    assert_eq!(client.charge("2").await, "allowed");
    assert_eq!(client.used().await, "2");
    assert_eq!(harness.clock().now(), Harness::<SqliteFile>::noon());
}
