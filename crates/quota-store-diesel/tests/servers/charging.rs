//! What is written, and what is read of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{Answer, GroupBy, Instant, Operation, OperationId, PastEntry, Window};
use quota_service::{ClientsQuery, DailyQuery, EntriesQuery, Pruned, StoreError, UsageStore};

use crate::database::Database;
use crate::requests::{allowed, charge, charge_as, client, credits, noon, one, request, used};

/// Names that are different, whatever a collation, a parser or a format thinks.
const NAMES: [&str; 20] = [
    "client",
    "Client",
    "CLIENT",
    "cliènt",
    "clie\u{300}nt",
    "client ",
    " client",
    "cli_nt",
    "cl%nt",
    "cli'nt",
    "cli\"nt",
    "cli`nt",
    "cli\\nt",
    "cli\\\\nt",
    "cli$1nt",
    "cli{p}nt",
    "cli}nt",
    "cli:nt",
    "cli?nt",
    "x'636c6965'",
];

pub(crate) async fn names_that_differ_in_any_byte_are_apart<D: Database>(database: &D) {
    let store = database.store().await;
    let long = "é".repeat(127);
    let names: Vec<&str> = NAMES.into_iter().chain([long.as_str()]).collect();
    let requests = names.iter().flat_map(|name| {
        [request(name, charge_as("client", "1"), "100")]
            .into_iter()
            .chain(names.iter().filter(|id| **id != "client").map(|id| request(name, charge_as(id, "2"), "100")))
    });
    for answer in store.apply(requests.collect()).await {
        assert!(allowed(&answer));
    }
    let sum = (1 + 2 * (names.len() - 1)).to_string();
    for name in &names {
        assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits(&sum), "{name:?}");
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 100 };
        let page = store.entries(&client(name), &query).await.unwrap();
        let mut ids: Vec<String> = page.entries.iter().map(|entry| entry.id.as_ref().unwrap().to_string()).collect();
        let mut expected: Vec<&str> = names.clone();
        ids.sort();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{name:?}");
    }
    for prefix in ["", "c", "C", "clie", "cli\\", " ", "é", "\u{10ffff}"] {
        let mut expected: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(prefix)).collect();
        expected.sort_unstable();
        for limit in [3, 100] {
            assert_eq!(listed(&store, prefix, limit).await, expected, "{prefix:?}, {limit} at once");
        }
    }
}

/// Clients whose names begin so, read page by page.
async fn listed(store: &impl UsageStore, prefix: &str, limit: usize) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = store.clients(&ClientsQuery { prefix: prefix.to_owned(), after, limit }).await.unwrap();
        let Some(last) = page.last() else { return names };
        names.extend(page.iter().map(ToString::to_string));
        after = Some(last.clone());
    }
}

pub(crate) async fn a_damaged_or_newer_account_is_its_clients_error<D: Database>(database: &D) {
    let store = database.store().await;
    let batch = || ["a", "b", "c", "d"].map(|name| request(name, charge("1"), "10")).to_vec();
    for answer in store.apply(batch()).await {
        assert!(allowed(&answer));
    }
    database.execute("UPDATE {p}accounts SET document = 'nonsense' WHERE client = 'b'").await;
    database.execute("UPDATE {p}accounts SET document = '{\"format\":99}' WHERE client = 'c'").await;
    let answers = store.apply(batch()).await;
    assert!(allowed(&answers[0]) && allowed(&answers[3]));
    assert!(matches!(answers[1], Err(StoreError::Corrupt { .. })), "{:?}", answers[1]);
    assert!(matches!(answers[2], Err(StoreError::UpgradeNeeded { found: 99, .. })), "{:?}", answers[2]);
    let kept = "SELECT COUNT(*) FROM {p}accounts WHERE document IN ('nonsense', '{\"format\":99}')";
    assert_eq!(database.number(kept).await, 2, "what cannot be read is not overwritten");
    // Its usage can be read all the same.
    assert_eq!(store.total(&client("b"), Window::ALL).await.unwrap(), credits("1"));
}

pub(crate) async fn a_fault_of_one_client_is_not_the_others<D: Database>(database: &D) {
    let store = database.store().await;
    one(&store, request("b", charge("1"), "10")).await.unwrap();
    // The next charge cannot be added to it.
    database.execute("UPDATE {p}quarters SET credits = 9223372036854775807 WHERE client = 'b'").await;
    let batch = ["a", "b", "c"].map(|name| request(name, charge("1"), "10")).to_vec();
    let answers = store.apply(batch).await;
    assert!(allowed(&answers[0]) && allowed(&answers[2]), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::NotDone { .. })), "{:?}", answers[1]);
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 3);
}

pub(crate) async fn an_unknown_client_leaves_no_row<D: Database>(database: &D) {
    let store = database.store().await;
    let mut stranger = request("s", charge_as("i", "1"), "10");
    stranger.plan.plan = None;
    let denied = request("d", charge_as("i", "11"), "10");
    let answers = store.apply(vec![stranger, denied, request("t", Operation::Status, "10")]).await;
    assert!(matches!(answers[0], Err(StoreError::Refused(_))), "{:?}", answers[0]);
    assert!(!allowed(&answers[1]));
    assert_eq!(used(&answers[2]), "0");
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}accounts").await, 0);
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 0);
}

pub(crate) async fn quarters_are_the_sums_of_entries<D: Database>(database: &D) {
    let store = database.store().await;
    for round in 0..6 {
        let requests = (0..40).map(|number| {
            let name = format!("c{}", number % 7);
            let operation = match (round + number) % 8 {
                0 => Operation::Void { id: OperationId::new(format!("i{}", number / 2)).unwrap(), at: None },
                _ => charge_as(&format!("i{round}-{number}"), "0.25"),
            };
            let mut request = request(&name, operation, "100000");
            request.at = Instant::from_millis(noon().millis() + i64::from(round) * 400_000).unwrap();
            request
        });
        for answer in store.apply(requests.collect()).await {
            answer.unwrap();
        }
    }
    let cut = Window::new(noon(), Instant::from_millis(noon().millis() + 500_000).unwrap()).unwrap();
    assert!(matches!(
        one(&store, request("c1", Operation::Delete { range: cut }, "100000")).await,
        Ok(Answer::Deleted(count)) if count > 0
    ));
    let apart = "SELECT COUNT(*) FROM (SELECT client, at - at % 900000 AS quarter, SUM(credits) AS credits, \
         COUNT(*) AS entries FROM {p}entries GROUP BY 1, 2) made LEFT JOIN {p}quarters kept \
         ON kept.client = made.client AND kept.quarter = made.quarter AND kept.credits = made.credits \
         AND kept.entries = made.entries WHERE kept.client IS NULL";
    assert_eq!(database.number(apart).await, 0);
    assert_eq!(
        database.number("SELECT CAST(SUM(entries) AS DECIMAL(20)) FROM {p}quarters").await,
        database.number("SELECT COUNT(*) FROM {p}entries").await
    );
}

pub(crate) async fn reading_costs_quarters_and_not_entries<D: Database>(database: &D) {
    let store = database.store().await;
    let month = Window::new("2024-03-01T00:00:00Z".parse().unwrap(), "2024-04-01T00:00:00Z".parse().unwrap()).unwrap();
    // 4,000 entries in 40 quarters of ten days.
    let entry = |number: u32| PastEntry {
        id: OperationId::new(format!("id {number}")).unwrap(),
        at: month.start().saturating_add(Duration::from_secs(u64::from(number % 40 * 6 * 3_600 + number % 900))),
        credits: credits("0.5"),
        label: None,
    };
    let past = Operation::Backfill { entries: (0..4_000).map(entry).collect(), not_after: Instant::MAX };
    one(&store, request("a", past, "10000")).await.unwrap();
    // Midnight in Kathmandu lies on a quarter.
    let zone = quota_core::zone("Asia/Kathmandu").unwrap();
    let query = DailyQuery { range: month, zone, by: GroupBy::Day };
    let days = store.daily(&client("a"), &query).await.unwrap();
    assert_eq!(days.iter().map(|day| day.entries).sum::<u64>(), 4_000);
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}quarters").await, 40);
    // No entry is read: without them it says the same.
    database.execute("DELETE FROM {p}entries").await;
    assert_eq!(store.daily(&client("a"), &query).await.unwrap(), days);
    for range in [month, Window::ALL] {
        assert_eq!(store.total(&client("a"), range).await.unwrap(), credits("2000"));
    }
}

pub(crate) async fn the_servers_time_is_now<D: Database>(database: &D) {
    let store = database.store().await;
    let theirs = store.server_time().await.unwrap().unwrap();
    let ours = quota_service::Clock::now(&quota_service::SystemClock);
    assert!((theirs.millis() - ours.millis()).abs() < 5_000, "{theirs} {ours}");
    store.health().await.unwrap();
}

/// Somebody holds the first of a quarter's entries: those behind it are taken out meanwhile, and charges go on.
pub(crate) async fn a_quarter_of_many_entries_is_pruned_in_steps<D: Database>(database: &D) {
    let store = Arc::new(database.store().await);
    let entry = |number: u32| PastEntry {
        id: OperationId::new(format!("id {number}")).unwrap(),
        at: noon().saturating_add(Duration::from_millis(number.into())),
        credits: credits("1"),
        label: None,
    };
    let entries = Operation::Backfill { entries: (0..7_000).map(entry).collect(), not_after: Instant::MAX };
    one(&*store, request("a", entries, "10000")).await.unwrap();
    let mut holder = database.connection().await;
    let hold = "BEGIN; SELECT 1 FROM {p}entries WHERE client = 'a' AND id = 'id 0' FOR UPDATE";
    database.execute_on(&mut holder, &database.fill(hold)).await;
    let pruning = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.prune(noon().saturating_add(Duration::from_secs(3_600))).await }
    });
    while database.number("SELECT COUNT(*) FROM {p}entries").await != 1_000 {
        assert!(!pruning.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("7000"), "they are in the sums");
    database.execute_on(&mut holder, "ROLLBACK").await;
    assert_eq!(pruning.await.unwrap().unwrap(), Pruned { entries: 7_000, ids: 7_000 });
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 0);
    assert_eq!(database.number("SELECT SUM(deleted_to - deleted_from) FROM {p}accounts").await, 0);
    assert_eq!(used(&one(&*store, request("a", Operation::Status, "10000")).await), "7000");
}

pub(crate) async fn a_charge_of_the_instant_of_a_large_deletion_waits_for_none_of_its_rows<D: Database>(database: &D) {
    let store = database.store().await;
    let entry = |number| PastEntry {
        id: OperationId::new(format!("id {number}")).unwrap(),
        at: noon().saturating_sub(Duration::from_secs(3_600)),
        credits: credits("1"),
        label: None,
    };
    let past = Operation::Backfill { entries: (0..5_000).map(entry).collect(), not_after: Instant::MAX };
    one(&store, request("a", past, "10000")).await.unwrap();
    let asked = [charge("1"), Operation::Delete { range: Window::ALL }, charge("2")];
    let answers = store.apply(asked.map(|operation| request("a", operation, "10000")).into()).await;
    assert!(matches!(answers[1], Ok(Answer::Deleted(5_001))), "{answers:?}");
    assert_eq!(used(&answers[2]), "2");
    assert_eq!(used(&one(&store, request("a", charge("4"), "10000")).await), "6");
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 5_002, "they wait");
}

pub(crate) async fn rows_of_a_large_deletion_are_taken_out_by_a_pruning<D: Database>(database: &D) {
    let entries = |ids: Range<u32>| {
        let entry = |number| PastEntry {
            id: OperationId::new(format!("id {number}")).unwrap(),
            at: noon(),
            credits: credits("1"),
            label: None,
        };
        Operation::Backfill { entries: ids.map(entry).collect(), not_after: Instant::MAX }
    };
    one(&database.store().await, request("a", entries(0..5_000), "10000")).await.unwrap();
    let everything = Operation::Delete { range: Window::ALL };
    let deleted = one(&database.store().await, request("a", everything, "10000")).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(5_000))), "{deleted:?}");
    let store = database.store().await;
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 5_000, "they wait");
    assert_eq!(used(&one(&store, request("b", charge("4"), "10")).await), "4");
    store.prune(Instant::MIN).await.unwrap();
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 1);
    assert_eq!(database.number("SELECT SUM(deleted_to - deleted_from) FROM {p}accounts").await, 0);
    // In the millisecond of those that are gone.
    one(&store, request("a", entries(0..3_000), "10000")).await.unwrap();
    assert_eq!(used(&one(&store, request("a", Operation::Status, "10000")).await), "3000");
}
