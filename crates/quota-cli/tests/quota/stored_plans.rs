//! Plans that the store keeps.

use std::time::Duration;

use quota_core::{ClientId, Instant, Plan};
use quota_service::{Clock, QuotaService, SystemClock};
use serde_json::{Value, json};

use crate::support::{Folder, TABLE, database, json, refused, runtime, told};

/// Has a store keep a client's plan.
pub(crate) fn keep(store: &str, client: &str, plan: Value) {
    let plan: Plan = serde_json::from_value(plan).unwrap();
    runtime().block_on(async {
        let service = QuotaService::new(quota_stores::connect(store).await.unwrap());
        let client = ClientId::new(client).unwrap();
        service.set_plan(&client, plan.clone()).await.unwrap();
        assert_eq!(service.plan(&client).await.unwrap().as_deref(), Some(&plan));
        service.shutdown().await;
    });
}

/// So many days before the present, which is a full second.
pub(crate) fn days_ago(days: u32) -> Instant {
    let second = SystemClock.now().millis() / 1_000;
    Instant::from_millis(second * 1_000).unwrap().saturating_sub(Duration::from_secs(86_400) * days)
}

#[test]
fn status_goes_by_the_plan_that_the_store_keeps() {
    let folder = Folder::new();
    let rows = format!(
        "{TABLE} INSERT INTO api_billing_usage VALUES (1, 'client1', {}, 1.25), (2, 'client1', {}, 2), (3, 'client1', {}, 40)",
        days_ago(1).millis() / 1_000,
        days_ago(2).millis() / 1_000,
        days_ago(15).millis() / 1_000,
    );
    let (from, store) = (database(&folder, "old.db", &rows), folder.url("quota.db"));
    json(&["import-frappy", "--from", &from, "--to", &store]);
    let (recent, older) = (days_ago(10), days_ago(300));
    keep(
        &store,
        "client1",
        json!([
            { "period": "YEAR", "every": 1, "limit": "unlimited", "anchor": older, "tz": "UTC" },
            { "period": "DAY", "every": 20, "limit": "10", "anchor": recent, "tz": "UTC" },
        ]),
    );
    let status = json(&["status", "client1", "--store", &store]);
    assert_eq!(
        status["quotas"][0],
        json!({
            "period": "DAY", "every": 20, "limit": "10", "used": "3.25", "held": "0", "remaining": "6.75",
            "starts_at": recent, "resets_at": recent.saturating_add(Duration::from_secs(20 * 86_400)),
        })
    );
    let year = &status["quotas"][1];
    assert_eq!(
        (&year["period"], &year["limit"], &year["starts_at"]),
        (&json!("YEAR"), &json!("unlimited"), &json!(older))
    );
    assert_eq!((&year["used"], &year["remaining"]), (&json!("43.25"), &json!("unlimited")));
    assert_eq!((&status["quotas"][2], &status["lowest"]["remaining"]), (&Value::Null, &json!("6.75")));
    let shown = told(&["status", "client1", "--store", &store]);
    for part in ["20-day", "3.25", "43.25", "unlimited", "lowest: 6.75 left of the 20-day quota"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(refused(&["status", "client2", "--store", &store]).contains("the client has no plan"));
}

#[test]
fn a_file_of_plans_goes_before_the_plan_that_the_store_keeps() {
    let folder = Folder::new();
    let store = folder.url("quota.db");
    let quota =
        |limit: &str| json!([{ "period": "DAY", "every": 1, "limit": limit, "anchor": days_ago(1), "tz": "UTC" }]);
    keep(&store, "client1", quota("10"));
    std::fs::write(
        folder.path("plans.json"),
        json!({ "clients": { "client1": { "quotas": quota("7") } } }).to_string(),
    )
    .unwrap();
    let status = ["status", "client1", "--store", &store];
    assert_eq!(json(&status)["lowest"]["remaining"], "10");
    assert_eq!(json(&[&status[..], &["--plans", &folder.path("plans.json")]].concat())["lowest"]["remaining"], "7");
    assert_eq!(json(&status)["lowest"]["remaining"], "10", "it changed nothing");
}
