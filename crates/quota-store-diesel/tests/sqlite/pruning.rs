//! Pruning: entries become sums, and no credits come back.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, Credits, GroupBy, Operation, Period, Refusal, Tz, Window};
use quota_service::{DailyQuery, EntriesQuery, Pruned, StoreError, UsageStore};

use crate::support::{
    File, allowed, at, backfill, charge, charge_with_id, client, credits, days, id, one, past, plan, range, replayed,
    request, unlimited, used,
};

async fn filled(file: &File) -> quota_store_diesel::SqliteStore {
    let store = file.store();
    let now = at("2024-03-02T12:00:00Z");
    let entries = vec![
        past("e1", at("2024-03-01T10:01:00Z"), "1", Some("l")),
        past("e2", at("2024-03-01T10:14:59.999Z"), "2", None),
        past("e3", at("2024-03-01T10:15:00Z"), "4", None),
        past("e4", at("2024-03-02T10:07:00Z"), "8", None),
    ];
    one(&store, request("a", backfill(entries), now, &unlimited())).await.unwrap();
    one(&store, request("young", charge_with_id("1", "y"), now, &unlimited())).await.unwrap();
    store
}

fn refused_at<T: std::fmt::Debug>(answer: Result<T, StoreError>, instant: &str) {
    match answer {
        Err(StoreError::Refused(Refusal::RangeNotAligned { at: found })) => assert_eq!(found, at(instant)),
        other => panic!("not refused at {instant}: {other:?}"),
    }
}

#[tokio::test]
async fn pruning_keeps_sums_and_refuses_ranges_that_cut_them() {
    let file = File::new();
    let store = filled(&file).await;
    let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::DayAndLabel };
    let before =
        (store.total(&client("a"), Window::ALL).await.unwrap(), store.daily(&client("a"), &query).await.unwrap());

    // Rounded down to 10:15, so the third entry stays.
    let pruned = store.prune(at("2024-03-01T10:29:59.999Z")).await.unwrap();
    assert_eq!(pruned, Pruned { entries: 2, ids: 2 });
    assert_eq!(store.prune(at("2024-03-01T10:29:59.999Z")).await.unwrap(), Pruned::default());

    let after =
        (store.total(&client("a"), Window::ALL).await.unwrap(), store.daily(&client("a"), &query).await.unwrap());
    assert_eq!(before, after);
    let left = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
    let left = store.entries(&client("a"), &left).await.unwrap();
    assert_eq!(left.entries.iter().map(|entry| entry.id.clone().unwrap()).collect::<Vec<_>>(), [id("e3"), id("e4")]);

    let cut = range("2024-03-01T10:01:00Z", "2024-03-01T11:00:00Z");
    refused_at(store.total(&client("a"), cut).await, "2024-03-01T10:01:00Z");
    refused_at(store.daily(&client("a"), &DailyQuery { range: cut, ..query }).await, "2024-03-01T10:01:00Z");
    let now = at("2024-03-02T12:00:00Z");
    let answer = one(&store, request("a", Operation::Delete { range: cut }, now, &unlimited())).await;
    refused_at(answer, "2024-03-01T10:01:00Z");
    // Whole quarters are fine, and what is not folded is exact to the millisecond.
    let credits_of = async |from, to| store.total(&client("a"), range(from, to)).await.unwrap().to_string();
    assert_eq!(credits_of("2024-03-01T10:00:00Z", "2024-03-01T10:15:00.001Z").await, "7");
    assert_eq!(credits_of("2024-03-01T10:15:00.001Z", "2024-03-02T10:07:00.001Z").await, "8");
    // Another client's entries are all there.
    assert_eq!(
        store.total(&client("young"), range("2024-03-02T11:59:59.999Z", "2024-03-02T12:00:00.001Z")).await.unwrap(),
        credits("1")
    );
}

#[tokio::test]
async fn a_quarter_of_many_entries_is_pruned_in_steps() {
    let file = File::new();
    let (first, now) = (at("2024-03-01T10:00:00Z"), at("2024-03-01T12:00:00Z"));
    let entry =
        |number: u64| past(&format!("id {number}"), first.saturating_add(Duration::from_millis(number)), "1", None);
    let store = file.store();
    one(&store, request("a", backfill((0..5_000).map(entry).collect()), now, &unlimited())).await.unwrap();
    // A trigger that lets no statement take out more than are taken out at once.
    file.execute(
        "CREATE TABLE taken (number INTEGER); INSERT INTO taken VALUES (0); \
         CREATE TRIGGER count_taken AFTER DELETE ON quota_entries BEGIN UPDATE taken SET number = number + 1; END; \
         CREATE TRIGGER each_step AFTER UPDATE OF deleted_from ON quota_accounts BEGIN \
         SELECT RAISE(ABORT, 'too many at once') FROM taken WHERE number > 2000; UPDATE taken SET number = 0; END",
    );
    let pruned = store.prune(at("2024-03-01T10:15:00Z")).await.unwrap();
    assert_eq!(pruned, Pruned { entries: 5_000, ids: 5_000 });
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 0);
    assert_eq!(file.number("SELECT deleted_to - deleted_from FROM quota_accounts"), 0);
    assert_eq!(file.number("SELECT number FROM taken"), 0, "the last were counted as well");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("5000"));
    one(&store, request("a", charge_with_id("1", "id 7"), now, &unlimited())).await.unwrap();
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("5001"), "its id was forgotten");
}

#[tokio::test]
async fn a_pruned_id_is_forgotten_and_a_kept_one_replays() {
    let file = File::new();
    let store = filled(&file).await;
    store.prune(at("2024-03-01T10:15:00Z")).await.unwrap();
    let now = at("2024-03-02T12:00:00Z");
    assert!(replayed(&one(&store, request("a", charge_with_id("4", "e3"), now, &unlimited())).await));
    let again = one(&store, request("a", charge_with_id("1", "e1"), now, &unlimited())).await;
    assert!(allowed(&again) && !replayed(&again));
    let voided = one(&store, request("a", Operation::Void { id: id("e2"), at: None }, now, &unlimited())).await;
    assert!(matches!(voided, Ok(Answer::Voided(false))));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("16"));
}

#[tokio::test]
async fn a_window_that_cuts_a_folded_quarter_counts_it_whole() {
    let file = File::new();
    let store = filled(&file).await;
    store.prune(at("2024-03-01T10:15:00Z")).await.unwrap();
    // Minutes: the window of the second entry is all but empty without the first.
    let now = at("2024-03-02T12:00:00Z");
    let day = plan(Period::DAY, "100");
    let anchor = quota_core::Anchor::new(at("2024-03-01T10:05:00Z"), Tz::UTC);
    let quota = quota_core::Quota::new(Period::YEAR, quota_core::Limit::Finite(credits("100")), anchor);
    let cut = Arc::new(quota_core::Plan::new([quota]).unwrap());
    assert_eq!(used(&one(&store, request("a", Operation::Status, now, &day)).await), "8");
    // [10:05, …): the entry of 10:01 counts as well, never too little.
    assert_eq!(used(&one(&store, request("a", Operation::Status, now, &cut)).await), "15");
    // A deletion of what is folded takes it out of such a window too.
    let whole = range("2024-03-01T10:00:00Z", "2024-03-01T10:15:00Z");
    let deleted = one(&store, request("a", Operation::Delete { range: whole }, now, &cut)).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(2))), "{deleted:?}");
    assert_eq!(used(&one(&store, request("a", Operation::Status, now, &cut)).await), "12");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("12"));
}

#[tokio::test]
async fn a_deletion_beside_a_folded_edge_leaves_the_rest() {
    let file = File::new();
    let store = filled(&file).await;
    store.prune(at("2024-03-01T10:15:00Z")).await.unwrap();
    let now = at("2024-03-02T12:00:00Z");
    let anchor = quota_core::Anchor::new(at("2024-03-01T10:05:00Z"), Tz::UTC);
    let quota = quota_core::Quota::new(Period::YEAR, quota_core::Limit::Finite(credits("100")), anchor);
    let cut = Arc::new(quota_core::Plan::new([quota]).unwrap());
    // A slot that begins inside the folded quarter is in place.
    one(&store, request("a", charge("1"), now, &cut)).await.unwrap();
    let part = range("2024-03-01T10:15:00Z", "2024-03-02T10:07:00.001Z");
    let deleted = one(&store, request("a", Operation::Delete { range: part }, now, &cut)).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(2))), "{deleted:?}");
    assert_eq!(used(&one(&store, request("a", Operation::Status, now, &cut)).await), "4");
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("4"));
}

#[tokio::test]
async fn pruning_in_many_steps_beside_charges_loses_nothing() {
    let file = File::new();
    let store = Arc::new(file.store());
    let now = at("2024-03-02T12:00:00Z");
    let start = at("2024-03-01T00:00:00Z").millis();
    for name in ["a", "b", "c"] {
        let entry = |n: i64| {
            let when = quota_core::Instant::from_millis(start + n * 20_000).unwrap();
            past(&format!("e{n}"), when, "1", None)
        };
        one(&store, request(name, backfill((0..5_000).map(entry).collect()), now, &unlimited())).await.unwrap();
    }
    let charging = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..50 {
                one(&store, request("a", charge_with_id("1", &format!("new-{n}")), now, &unlimited())).await.unwrap();
                assert!(
                    used(&one(&store, request("a", Operation::Status, now, &unlimited())).await)
                        .parse::<u32>()
                        .unwrap()
                        > 5_000
                );
            }
        })
    };
    let (one_pruned, other) = tokio::join!(store.prune(now), store.prune(now));
    charging.await.unwrap();
    let entries = one_pruned.unwrap().entries + other.unwrap().entries;
    assert_eq!(entries, 15_000);
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 50);
    assert_eq!(file.number("SELECT SUM(entries) FROM quota_quarters"), 15_050);
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("5050"));
    let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
    let listed = days(&store.daily(&client("b"), &query).await.unwrap());
    assert_eq!(listed.values().map(|(_, entries)| entries).sum::<u64>(), 5_000);
}

#[tokio::test]
async fn a_horizon_forgets_old_sums_and_refuses_longer_windows() {
    let file = File::new();
    drop(filled(&file).await);
    let day = Duration::from_secs(24 * 3_600);
    let store = file.builder().with_retention(2 * day).open().unwrap();
    let a = client("a");
    let all = || store.total(&a, Window::ALL);

    store.prune(at("2024-03-03T10:29:59Z")).await.unwrap();
    // What was used before 10:15 two days earlier; the rest stays as sums.
    assert_eq!(all().await.unwrap(), credits("12"));
    store.prune(at("2024-03-04T10:30:00Z")).await.unwrap();
    assert_eq!(all().await.unwrap(), Credits::ZERO);

    let now = at("2024-03-04T12:00:00Z");
    let answer = one(&store, request("a", charge("1"), now, &plan(Period::DAY, "1"))).await;
    assert!(allowed(&answer));
    let answer = one(&store, request("a", charge("1"), now, &plan(Period::MONTH, "1"))).await;
    assert!(matches!(answer, Err(StoreError::Refused(Refusal::WindowExceedsRetention { .. }))), "{answer:?}");
}

/// Between the folding of a client and the forgetting of its sums somebody may add entries of the past: they count with their quarters.
#[tokio::test]
async fn sums_of_entries_that_came_meanwhile_are_forgotten_with_them() {
    let file = File::new();
    drop(filled(&file).await);
    let day = Duration::from_secs(24 * 3_600);
    let store = file.builder().with_retention(2 * day).open().unwrap();
    one(&store, request("b", charge("1"), at("2024-03-20T12:00:00Z"), &plan(Period::DAY, "10"))).await.unwrap();
    let past = at("2024-03-01T10:00:00Z").millis();
    // `young` is folded after `b`.
    file.execute(&format!(
        "CREATE TRIGGER late AFTER UPDATE OF folded_until ON quota_accounts WHEN NEW.client = 'young' BEGIN \
         INSERT INTO quota_entries (client, at, id, credits) VALUES ('b', {past}, 'late', 5000000); \
         INSERT INTO quota_quarters (client, quarter, credits, entries) VALUES ('b', {past}, 5000000, 1); END"
    ));
    let left = |table: &str| file.number(&format!("SELECT COUNT(*) FROM quota_{table} WHERE client = 'b'"));
    store.prune(at("2024-03-10T00:00:00Z")).await.unwrap();
    assert_eq!((left("entries"), left("quarters")), (2, 2));
    file.execute("DROP TRIGGER late");
    store.prune(at("2024-03-10T00:00:00Z")).await.unwrap();
    assert_eq!((left("entries"), left("quarters")), (1, 1));
    assert_eq!(store.total(&client("b"), Window::ALL).await.unwrap(), credits("1"));
}
