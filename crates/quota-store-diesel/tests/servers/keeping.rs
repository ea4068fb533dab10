//! What a store decides on accounts that it has kept, while another writes to the same tables.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{
    Anchor, Answer, Decision, EntryId, Instant, Label, Limit, Operation, OperationId, PastEntry, Period, Plan, Quota,
    Refusal, Ttl, Tz, Window,
};
use quota_service::{PlanView, Request, StoreError, UsageStore};

use crate::database::Database;
use crate::requests::{allowed, charge, charge_as, client, credits, noon, one, request, used};

/// With an account of each of these clients kept.
async fn store_that_knows<D: Database>(database: &D, clients: &[&str]) -> D::Store {
    let store = database.store().await;
    for name in clients {
        for _ in 0..2 {
            assert!(allowed(&one(&store, request(name, charge("1"), "10")).await));
        }
    }
    store
}

async fn total(store: &impl UsageStore, name: &str) -> String {
    store.total(&client(name), Window::ALL).await.unwrap().to_string()
}

fn hold(id: &str) -> Operation {
    let ttl = Ttl::new(Duration::from_secs(60)).unwrap();
    let id = EntryId::Given(OperationId::new(id).unwrap());
    Operation::Hold { credits: credits("5"), id, ttl, label: None, asker: None }
}

fn delete_all() -> Operation {
    Operation::Delete { range: Window::ALL }
}

pub(crate) async fn what_another_store_has_charged_is_counted<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a", "b"]).await;
    let other = database.store().await;
    assert!(allowed(&one(&other, request("a", charge("7.5"), "10")).await));
    let batch = vec![request("a", charge("1"), "10"), request("b", charge("1"), "10")];
    let answers = store.apply(batch).await;
    assert!(!allowed(&answers[0]), "{answers:?}");
    assert!(allowed(&answers[1]));
    assert_eq!(used(&answers[0]), "9.5");
    let answer = one(&store, request("a", charge("0.5"), "10")).await;
    assert!(allowed(&answer));
    assert_eq!(used(&answer), "10");
    assert_eq!((total(&other, "a").await, total(&other, "b").await), ("10".to_owned(), "3".to_owned()));
}

pub(crate) async fn a_denial_is_what_the_tables_say<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    for _ in 0..3 {
        assert!(!allowed(&one(&store, request("a", charge("9"), "10")).await));
    }
    one(&other, request("a", delete_all(), "10")).await.unwrap();
    let answer = one(&store, request("a", charge("9"), "10")).await;
    assert!(allowed(&answer), "{answer:?}");
    assert_eq!((used(&answer), total(&other, "a").await), ("9".to_owned(), "9".to_owned()));
}

/// A status and a denial write nothing: they are confirmed beside what others of their batch write.
pub(crate) async fn what_writes_nothing_is_confirmed_with_what_does<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a", "b", "c"]).await;
    let other = database.store().await;
    let batch = || {
        vec![
            request("a", charge("9"), "10"),
            request("b", charge("1"), "10"),
            request("c", Operation::Status, "10"),
            request("b", charge("9"), "10"),
        ]
    };
    let answers = store.apply(batch()).await;
    assert_eq!([&answers[0], &answers[1], &answers[3]].map(allowed), [false, true, false]);
    assert_eq!(used(&answers[2]), "2");
    for name in ["a", "c"] {
        one(&other, request(name, delete_all(), "10")).await.unwrap();
    }
    let answers = store.apply(batch()).await;
    assert_eq!([&answers[0], &answers[1], &answers[3]].map(allowed), [true, true, false]);
    assert_eq!([&answers[0], &answers[1], &answers[2], &answers[3]].map(used), ["9", "4", "0", "4"]);
    assert_eq!([total(&other, "a").await, total(&other, "b").await, total(&other, "c").await], ["9", "4", "0"]);
}

pub(crate) async fn an_id_that_another_store_has_charged_is_answered_as_it_was<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    let is_replay =
        |answer: &Answer| matches!(answer, Answer::Decision(Decision::Allowed(allowed)) if allowed.replayed());
    for (id, again) in [("first", "3"), ("second", "9")] {
        // The account is again as the store knows it, but for what another has charged since.
        assert!(allowed(&one(&store, request("a", charge("0.1"), "10")).await));
        let answer = one(&other, request("a", charge_as(id, "1"), "10")).await.unwrap();
        assert!(!is_replay(&answer));
        // Also where it would be denied, were it new.
        for _ in 0..2 {
            let answer = one(&store, request("a", charge_as(id, "1"), again)).await.unwrap();
            assert!(is_replay(&answer), "{answer:?}");
        }
    }
    assert_eq!(total(&store, "a").await, "4.2");
}

/// A labelled charge of nothing changes no sum and no instant: the labels alone are another.
pub(crate) async fn a_label_that_another_store_has_added_stays<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    let labelled = |label: &str, cost: &str| {
        let label = Some(Label::new(label).unwrap());
        request("a", Operation::Charge { credits: credits(cost), id: EntryId::Absent, label }, "10")
    };
    assert!(allowed(&one(&other, labelled("theirs", "0")).await));
    assert!(allowed(&one(&store, labelled("ours", "1")).await));
    let both = "SELECT COUNT(*) FROM {p}accounts WHERE labels LIKE '%theirs%' AND labels LIKE '%ours%'";
    assert_eq!(database.number(&database.fill(both)).await, 1);
    assert_eq!(total(&other, "a").await, "3");
}

/// The row says nothing of a sum that was only read, and is the same when the sum is another.
pub(crate) async fn a_sum_that_was_read_without_a_write_is_read_again<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let monthly = |operation: Operation| {
        let quotas =
            [Period::MONTH, Period::YEAR].map(|period| Quota::new(period, Limit::Finite(credits("10")), anchor));
        let plan = Some(Arc::new(Plan::new(quotas).unwrap()));
        let asked = request("a", operation, "10");
        Request { plan: PlanView { plan, ..asked.plan }, ..asked }
    };
    let backfill = |id: &str, at: &str| {
        let id = OperationId::new(id).unwrap();
        let entry = PastEntry { id, at: at.parse().unwrap(), credits: credits("5"), label: None };
        request("a", Operation::Backfill { entries: vec![entry], not_after: Instant::MAX }, "10")
    };
    let id = OperationId::new("booked").unwrap();
    one(&other, backfill("booked", "2024-02-20T12:00:00Z")).await.unwrap();
    assert_eq!(used(&one(&store, monthly(Operation::Status)).await), "2");
    // What was booked in February was of March.
    one(&other, request("a", Operation::Void { id, at: None }, "10")).await.unwrap();
    one(&other, backfill("corrected", "2024-03-10T12:00:00Z")).await.unwrap();
    let answer = one(&store, monthly(charge("4"))).await;
    assert!(!allowed(&answer), "{answer:?}");
    assert_eq!(used(&answer), "7");
    assert_eq!(total(&other, "a").await, "7");
}

/// Somebody else writes an entry that changes nothing of the account while a hold of its id waits for the lock.
pub(crate) async fn an_id_that_is_written_meanwhile_is_found<D: Database>(database: &D) {
    let store = Arc::new(store_that_knows(database, &["a"]).await);
    let mut other = database.connection().await;
    let at = noon().millis();
    let writes = format!(
        "{}; INSERT INTO {{p}}entries (client, at, id, credits, label) VALUES ('a', {at}, 'taken', 0, '')",
        D::LOCK.replace("{c}", "a")
    );
    database.execute_on(&mut other, &database.fill(&writes)).await;
    let holding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { one(&*store, request("a", hold("taken"), "10")).await }
    });
    tokio::time::sleep(Duration::from_millis(8)).await;
    database.execute_on(&mut other, "COMMIT").await;
    let answer = holding.await.unwrap();
    assert!(matches!(answer, Err(StoreError::Refused(Refusal::IdConflict { .. }))), "{answer:?}");
}

/// As a deletion leaves them that has taken the rows out of the sums only: what is added among them would go with them.
pub(crate) async fn rows_that_a_deletion_has_left_are_taken_out_first<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    let (from, to) = (noon().millis() - 1_000, noon().millis() + 1_000);
    let note = format!("UPDATE {{p}}accounts SET deleted_from = {from}, deleted_to = {to} WHERE client = 'a'");
    database.execute(&note).await;
    assert!(allowed(&one(&store, request("a", charge_as("new", "1"), "10")).await));
    other.finish_deletion(&client("a")).await.unwrap();
    let entry = "SELECT COUNT(*) FROM {p}entries WHERE client = 'a' AND id = 'new'";
    assert_eq!(database.number(&database.fill(entry)).await, 1);
}

/// What is kept of a hold is as good as the account that it stands in.
pub(crate) async fn a_hold_that_another_store_has_ended_is_settled_once<D: Database>(database: &D) {
    let store = store_that_knows(database, &["a"]).await;
    let other = database.store().await;
    let id = OperationId::new("held").unwrap();
    assert!(allowed(&one(&store, request("a", hold("held"), "10")).await));
    let settle = |cost: &str| Operation::Settle { id: id.clone(), credits: credits(cost) };
    assert!(allowed(&one(&other, request("a", settle("4"), "10")).await));
    let again = one(&store, request("a", settle("4"), "10")).await;
    assert!(allowed(&again), "{again:?}");
    assert_eq!((used(&again), total(&store, "a").await), ("6".to_owned(), "6".to_owned()));
}

pub(crate) async fn an_account_that_is_kept_and_held_delays_nobody_for_long<D: Database>(database: &D) {
    let store = Arc::new(store_that_knows(database, &["a", "b"]).await);
    let mut holder = database.connection().await;
    database.execute_on(&mut holder, &database.fill(&D::LOCK.replace("{c}", "a"))).await;
    let waiting = tokio::spawn({
        let (store, batch) =
            (Arc::clone(&store), vec![request("a", charge("1"), "10"), request("b", charge("1"), "10")]);
        async move { store.apply(batch).await }
    });
    while total(&*store, "b").await != "3" {
        assert!(!waiting.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.is_held(&client("a")) && !store.is_held(&client("b")));
    drop(holder);
    assert!(waiting.await.unwrap().iter().all(allowed));
    assert_eq!(total(&*store, "a").await, "3");
}

/// Ids are taken for absent where most are new: who asks again, in whatever batch, is found all the same.
pub(crate) async fn who_asks_again_is_found_beside_those_who_do_not<D: Database>(database: &D) {
    let stores = [database.store().await, database.store().await];
    let is_replayed = |answer: &Result<Answer, StoreError>| match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => Some(allowed.replayed()),
        Ok(Answer::Decision(Decision::Denied(_))) => None,
        other => panic!("{other:?}"),
    };
    for round in 0..12 {
        let client = |name: &str| format!("{name} {round}");
        let (a, b) = (client("a"), client("b"));
        let first = one(&stores[round % 2], request(&a, charge_as("paid", "6"), "10")).await;
        assert_eq!(is_replayed(&first), Some(false));
        // The first would be denied, had it not been paid.
        let batch = || {
            let asked =
                [(&a, "paid", "6"), (&a, "new", "4"), (&a, "too much", "1"), (&b, "paid", "6"), (&b, "new", "5")];
            asked.map(|(client, id, cost)| request(client, charge_as(id, cost), "10")).to_vec()
        };
        for (try_, store) in [&stores[1], &stores[0], &stores[1]].into_iter().enumerate() {
            let answers: Vec<_> = store.apply(batch()).await.iter().map(is_replayed).collect();
            let is_new = Some(try_ > 0);
            assert_eq!(answers, [Some(true), is_new, None, is_new, None], "{round}");
        }
        assert_eq!(total(&stores[0], &a).await, "10");
        assert_eq!(total(&stores[0], &b).await, "6");
    }
}

/// Who was told that it is not known what became of a charge, asks again elsewhere by the id that was made for it; then the first
/// try comes.
pub(crate) async fn who_was_overtaken_by_its_own_retry_pays_once<D: Database>(database: &D) {
    let (store, other) = (store_that_knows(database, &["a", "b"]).await, database.store().await);
    assert!(allowed(&one(&other, request("a", charge_as("made", "1"), "10")).await));
    let id = EntryId::Made(OperationId::new("made").unwrap());
    let late = || Operation::Charge { credits: credits("1"), id: id.clone(), label: None };
    for _ in 0..2 {
        let batch = vec![
            request("a", charge("1"), "10"),
            request("a", late(), "10"),
            request("b", charge("1"), "10"),
            request("a", charge_as("given", "1"), "10"),
        ];
        let answers = store.apply(batch).await;
        assert!(answers.iter().all(allowed), "{answers:?}");
        let Ok(Answer::Decision(Decision::Allowed(paid))) = &answers[1] else { panic!("{answers:?}") };
        assert!(paid.replayed());
    }
    assert_eq!((total(&other, "a").await, total(&other, "b").await), ("6".to_owned(), "4".to_owned()));
}
