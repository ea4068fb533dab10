//! Charges: exact, in order, without a trace where nothing changes.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{
    File, allowed, at, charge, charge_with_id, client, credits, hold, id, labelled, number, one, plan, range, replayed,
    request, unlimited, used,
};
use quota_core::{Answer, Detail, Instant, Operation, Period, PlanCheck, PlanVersion, Refusal, Window};
use quota_service::{ClientsQuery, Dispatch, PlanStore, StoreError, UsageStore};

#[tokio::test]
async fn a_restart_shows_the_same_remaining() {
    let file = File::new();
    let now = at("2024-03-01T12:00:00Z");
    let plan = plan(Period::DAY, "10");
    let store = file.store();
    one(&store, request("a", charge("2.5"), now, &plan)).await.unwrap();
    one(&store, request("a", hold("3", "h", Duration::from_secs(60)), now, &plan)).await.unwrap();
    let before = one(&store, request("a", Operation::Status, now, &plan)).await.unwrap();
    drop(store);
    let store = file.store();
    let after = one(&store, request("a", Operation::Status, now, &plan)).await.unwrap();
    assert_eq!(before, after);
    assert!(!allowed(&one(&store, request("a", charge("4.6"), now, &plan)).await));
    assert!(allowed(&one(&store, request("a", charge("4.5"), now, &plan)).await));
}

#[tokio::test]
async fn a_batch_answers_in_the_order_of_its_requests() {
    let file = File::new();
    let store = file.store();
    let plan = plan(Period::DAY, "3");
    let now = at("2024-03-01T12:00:00Z");
    let batch = ["b", "a", "b", "c", "b", "a", "b"].map(|name| request(name, charge("1"), now, &plan));
    let answers = store.apply(batch.to_vec()).await;
    let used: Vec<String> = answers.iter().map(used).collect();
    assert_eq!(used, ["1", "1", "2", "1", "3", "2", "3"]);
    assert!(!allowed(&answers[6]));
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 6);
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
    assert!(store.apply(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let file = File::new();
    let store = file.store();
    let plan = plan(Period::DAY, "3");
    let now = at("2024-03-01T12:00:00Z");
    one(&store, request("a", charge_with_id("3", "x"), now, &plan)).await.unwrap();
    let watch = &mut file.connection();
    let before = number(watch, "SELECT data_version FROM pragma_data_version");
    let mut unknown = request("nobody", charge("1"), now, &plan);
    unknown.plan.plan = None;
    let batch = vec![
        request("a", charge("1"), now, &plan),
        request("a", charge_with_id("3", "x"), now, &plan),
        request("a", Operation::Status, now, &plan),
        request("a", Operation::Void { id: id("y"), at: None }, now, &plan),
        request("a", Operation::Delete { range: range("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z") }, now, &plan),
        request("new", Operation::Status, now, &plan),
        request("new", charge("3.000001"), now, &plan),
        request("new", Operation::RemovePlan, now, &plan),
        unknown,
    ];
    let answers = store.apply(batch).await;
    assert!(!allowed(&answers[0]));
    assert!(replayed(&answers[1]));
    assert!(matches!(&answers[3], Ok(Answer::Voided(false))));
    assert!(matches!(&answers[4], Ok(Answer::Deleted(0))));
    assert!(matches!(&answers[8], Err(StoreError::Refused(Refusal::UnknownClient))));
    assert_eq!(number(watch, "SELECT data_version FROM pragma_data_version"), before);
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_accounts"), 1);
}

#[tokio::test]
async fn two_stores_on_one_file_never_admit_more_than_the_limit() {
    let file = File::new();
    let stores = [Arc::new(file.store()), Arc::new(file.store())];
    let plan = plan(Period::YEAR, "100");
    let now = at("2024-03-01T12:00:00Z");
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let (store, plan) = (Arc::clone(&stores[caller % 2]), Arc::clone(&plan));
            tokio::spawn(async move {
                let mut admitted = 0;
                for n in 0..5 {
                    let operation = charge_with_id("1", &format!("{caller}-{n}"));
                    admitted += usize::from(allowed(&one(&store, request("hot", operation, now, &plan)).await));
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for caller in callers {
        admitted += caller.await.unwrap();
    }
    assert_eq!(admitted, 100);
    assert_eq!(file.number("SELECT SUM(credits) FROM quota_entries"), 100_000_000);
    assert_eq!(used(&one(&stores[0], request("hot", Operation::Status, now, &plan)).await), "100");
    assert_eq!(used(&one(&stores[1], request("hot", Operation::Status, now, &plan)).await), "100");
}

#[tokio::test]
async fn a_batch_whose_future_is_dropped_is_done_whole() {
    let file = File::new();
    let store = file.store();
    let plan = unlimited();
    let now = at("2024-03-01T12:00:00Z");
    for round in 0..20 {
        let batch = (0..8).map(|n| request(&format!("{round}-{n}"), charge("1"), now, &plan)).collect();
        let future = store.apply(batch);
        // Polled once, so it is sent; then dropped.
        assert!(futures_util::FutureExt::now_or_never(future).is_none());
    }
    // Comes after them in the writer's queue.
    one(&store, request("last", charge("1"), now, &plan)).await.unwrap();
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 161);
}

#[tokio::test]
async fn a_damaged_account_is_its_own_clients_error() {
    let file = File::new();
    let store = file.store();
    let plan = unlimited();
    let now = at("2024-03-01T12:00:00Z");
    for name in ["damaged", "fine", "newer"] {
        one(&store, request(name, charge("1"), now, &plan)).await.unwrap();
    }
    file.execute("UPDATE quota_accounts SET document = '{\"format\":1' WHERE client = 'damaged'");
    file.execute("UPDATE quota_accounts SET document = '{\"format\":999}' WHERE client = 'newer'");
    let batch = ["damaged", "fine", "newer", "damaged"].map(|name| request(name, charge("1"), now, &plan));
    let answers = store.apply(batch.to_vec()).await;
    assert!(matches!(&answers[0], Err(StoreError::Corrupt { .. })), "{:?}", answers[0]);
    assert!(matches!(&answers[2], Err(StoreError::UpgradeNeeded { found: 999, .. })), "{:?}", answers[2]);
    assert!(matches!(&answers[3], Err(StoreError::Corrupt { .. })));
    assert_eq!(used(&answers[1]), "2");
    // What is damaged is not overwritten, and its ledger can still be read.
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_accounts WHERE document = '{\"format\":1'"), 1);
    assert_eq!(store.total(&client("damaged"), Window::ALL).await.unwrap(), credits("1"));
    // Nor does it keep others from being pruned, whatever is damaged of it.
    file.execute("UPDATE quota_accounts SET labels = '{' WHERE client = 'damaged'");
    assert_eq!(store.prune(at("2024-03-02T12:00:00Z")).await.unwrap().entries, 4);
}

#[tokio::test]
async fn a_fault_of_the_tables_under_one_client_is_not_the_others_error() {
    let file = File::new();
    let store = file.store();
    let plan = unlimited();
    let now = at("2024-03-01T12:00:00Z");
    file.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON quota_entries WHEN NEW.client = 'b' BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let batch = ["a", "b", "c"].map(|client| request(client, charge("1"), now, &plan)).to_vec();
    let answers = store.apply(batch).await;
    assert!(allowed(&answers[0]) && allowed(&answers[2]));
    assert!(matches!(&answers[1], Err(StoreError::NotDone { .. })), "{:?}", answers[1]);
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 2);
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
}

/// Who was told that it is not known what became of a charge, asks again elsewhere by the id that was made for it; then the first
/// try comes.
#[tokio::test]
async fn who_was_overtaken_by_its_own_retry_pays_once() {
    let file = File::new();
    let (store, other) = (file.store(), file.store());
    let plan = plan(Period::DAY, "10");
    let now = at("2024-03-01T12:00:00Z");
    one(&store, request("a", charge("1"), now, &plan)).await.unwrap();
    one(&other, request("a", charge_with_id("3", "made"), now, &plan)).await.unwrap();
    let late = Operation::Charge { credits: credits("3"), id: quota_core::EntryId::Made(id("made")), label: None };
    let of_a = [charge("1"), late, charge_with_id("1", "given")].map(|asked| request("a", asked, now, &plan));
    for batch in [of_a.to_vec(), [of_a.to_vec(), vec![request("b", charge("1"), now, &plan)]].concat()] {
        let answers = store.apply(batch).await;
        assert!(answers.iter().all(allowed), "{answers:?}");
        assert!(replayed(&answers[1]));
    }
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("7"));
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
}

#[tokio::test]
async fn clients_are_told_apart_by_bytes() {
    let file = File::new();
    let store = file.store();
    let plan = unlimited();
    let now = at("2024-03-01T12:00:00Z");
    let names =
        ["Client1", "client1", "client1 ", "clie\u{301}nt", "cli\u{e9}nt", "a'b\"c;--", "%_", "\u{1f4a9}", "{x}:y"];
    for name in names {
        one(&store, request(name, charge("1"), now, &plan)).await.unwrap();
    }
    for name in names {
        assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits("1"), "{name:?}");
    }
    let listed = store.clients(&ClientsQuery { prefix: String::new(), after: None, limit: 100 }).await.unwrap();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(listed.iter().map(quota_core::ClientId::as_str).collect::<Vec<_>>(), sorted);
}

#[tokio::test]
async fn a_plan_is_stored_with_the_version_that_the_account_names() {
    let file = File::new();
    let store = file.store();
    let now = at("2024-03-01T12:00:00Z");
    let version = |n: u64| PlanVersion::new(std::num::NonZeroU64::new(n).unwrap());
    let ten = plan(Period::DAY, "10");
    let set = Operation::SetPlan { plan: Arc::clone(&ten), version: version(u64::MAX) };
    one(&store, request("a", set, now, &ten)).await.unwrap();
    let stored = file.store().stored_plan(&client("a")).await.unwrap();
    assert_eq!((stored.plan, stored.version), (Some(Arc::clone(&ten)), Some(version(u64::MAX))));
    assert_eq!(store.clients(&ClientsQuery { limit: 5, ..ClientsQuery::default() }).await.unwrap(), [client("a")]);

    let mut stale = request("a", charge("1"), now, &ten);
    stale.plan.check = PlanCheck::Version(Some(version(1)));
    let answer = one(&store, stale).await;
    assert!(matches!(answer, Err(StoreError::PlanChanged(Some(found))) if found == version(u64::MAX)), "{answer:?}");

    one(&store, request("a", Operation::RemovePlan, now, &ten)).await.unwrap();
    assert_eq!(store.stored_plan(&client("a")).await.unwrap(), quota_service::StoredPlan::default());
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_plans"), 0);
}

#[tokio::test]
async fn operations_of_one_client_in_one_batch_see_each_other() {
    let file = File::new();
    let store = file.store();
    let plan = plan(Period::DAY, "10");
    let now = at("2024-03-01T12:00:00Z");
    let day = range("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z");
    let batch = vec![
        request("a", charge_with_id("4", "x"), now, &plan),
        request("a", charge_with_id("4", "x"), now, &plan),
        request("a", Operation::Void { id: id("x"), at: None }, now, &plan),
        request("a", charge_with_id("9", "x"), now, &plan),
        request("a", labelled("1", "l"), now, &plan),
        request("a", Operation::Delete { range: day }, now, &plan),
        request("a", charge("10"), now, &plan),
        request("a", charge("0.000001"), now, &plan),
    ];
    let answers = store.apply(batch).await;
    assert!(allowed(&answers[0]) && replayed(&answers[1]));
    assert!(matches!(&answers[2], Ok(Answer::Voided(true))));
    assert!(allowed(&answers[3]) && !replayed(&answers[3]));
    assert!(allowed(&answers[4]));
    assert!(matches!(&answers[5], Ok(Answer::Deleted(2))), "{:?}", answers[5]);
    assert!(allowed(&answers[6]));
    assert!(!allowed(&answers[7]));
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
    assert_eq!(made.len(), 1);
}

#[tokio::test]
async fn the_store_says_what_it_is() {
    let file = File::new();
    let store = file.store();
    assert!(matches!(store.dispatch(), Dispatch::Batched { lanes, .. } if lanes.get() == 1));
    assert_eq!(store.detail(), Detail::Entries);
    assert_eq!(store.server_time().await.unwrap(), None::<Instant>);
    store.health().await.unwrap();
    std::fs::rename(file.path(), file.folder.path().join("gone.db")).unwrap();
    assert!(matches!(store.health().await, Err(StoreError::NotDone { .. })));
    // Another one in its place is not this store's, and is left as it is.
    let other = file.folder.path().join("other.db");
    drop(quota_store_diesel::SqliteStore::open(&other).unwrap());
    std::fs::rename(&other, file.path()).unwrap();
    let before = std::fs::read(file.path()).unwrap();
    let replaced = store.health().await;
    assert!(format!("{replaced:?}").contains("another one stands in its place: open the store again"), "{replaced:?}");
    assert!(std::fs::read(file.path()).unwrap() == before);
}
