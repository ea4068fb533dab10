//! What reading costs.

use mongodb::bson::doc;
use quota_core::{GroupBy, Window};
use quota_service::{DailyQuery, Request, UsageStore};

use crate::collections::run;
use crate::requests::{DAY, after_noon, backfill, client, credits, one, request};

#[test]
fn reading_costs_quarters_and_not_entries() {
    run(async |collections| {
        let store = collections.store().await;
        // 4,000 entries in 40 quarters of the ten days before.
        let millis = |number: i64| number % 40 * DAY / 4 - 10 * DAY + number % 900 * 1_000;
        let past = backfill((0..4_000).map(|number| (format!("e{number}"), millis(number))));
        let asked = Request { at: after_noon(DAY), ..request("a", past, "10000") };
        one(&store, asked).await.unwrap();
        // Midnight in Kathmandu lies on a quarter.
        let zone = quota_core::zone("Asia/Kathmandu").unwrap();
        let range = Window::new(after_noon(-20 * DAY), after_noon(DAY)).unwrap();
        let query = DailyQuery { range, zone, by: GroupBy::Day };
        // What the commit left is written into the ledger.
        let days = store.daily(&client("a"), &query).await.unwrap();
        assert_eq!(days.iter().map(|day| day.entries).sum::<u64>(), 4_000);
        assert_eq!(collections.account("a").await.get("o"), None, "nobody writes it there again");
        assert_eq!(collections.all("quarters", doc! {}).await.len(), 40);
        // No entry is read: without them it says the same.
        let deleted = collections.collection("entries").delete_many(doc! {}).await.unwrap();
        assert_eq!(deleted.deleted_count, 4_000);
        assert_eq!(store.daily(&client("a"), &query).await.unwrap(), days);
        for range in [range, Window::ALL] {
            assert_eq!(store.total(&client("a"), range).await.unwrap(), credits("4000"));
        }
    });
}
