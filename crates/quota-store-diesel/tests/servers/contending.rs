//! Several stores, and locks that others hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quota_core::{Credits, Operation, Window};
use quota_servers::Server;
use quota_service::{PlanRegistry, PlanStore, QuotaService, Request, StoreError, UsageStore};

use crate::database::{Database, private};
use crate::requests::{allowed, charge, charge_as, client, credits, is_not_done, noon, one, per_year, request, used};

/// Holds a client's account until the connection goes.
async fn hold<D: Database>(database: &D, name: &str) -> D::Connection {
    let mut connection = database.connection().await;
    database.execute_on(&mut connection, &database.fill(D::LOCK).replace("{c}", name)).await;
    connection
}

pub(crate) async fn two_stores_on_one_client_admit_the_limit_exactly<D: Database>(database: &D) {
    let stores = [Arc::new(database.store().await), Arc::new(database.store().await)];
    let tasks = (0..8).map(|task: usize| {
        let store = Arc::clone(&stores[task % 2]);
        tokio::spawn(async move {
            let mut admitted = 0;
            for _ in 0..10 {
                let batch = ["a", "b", "a", "c", "a"].map(|name| request(name, charge("1"), "100"));
                admitted += store.apply(batch.to_vec()).await.iter().filter(|answer| allowed(answer)).count();
            }
            admitted
        })
    });
    let admitted: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    // 240 were asked of a, 80 of b and of c.
    assert_eq!(admitted, 100 + 80 + 80);
    for (name, sum) in [("a", "100"), ("b", "80"), ("c", "80")] {
        assert_eq!(used(&one(&*stores[0], request(name, Operation::Status, "100")).await), sum);
        assert_eq!(stores[0].total(&client(name), Window::ALL).await.unwrap(), credits(sum));
    }
}

pub(crate) async fn two_stores_that_make_the_same_clients_agree<D: Database>(database: &D) {
    let stores = [database.store().await, database.store().await];
    for round in 0..10 {
        let batch = || (0..20).map(|n| request(&format!("{round}-{n}"), charge_as("i", "1"), "10")).collect();
        let (first, second) = futures_util::future::join(stores[0].apply(batch()), stores[1].apply(batch())).await;
        for answer in first.iter().chain(&second) {
            assert!(allowed(answer), "one is charged, the other replayed");
            assert_eq!(used(answer), "1");
        }
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 200);
}

pub(crate) async fn an_account_that_is_held_delays_nobody_else<D: Database>(database: &D) {
    let (store, other) = (Arc::new(database.store().await), database.store().await);
    for name in ["a", "b"] {
        one(&*store, request(name, charge("1"), "10")).await.unwrap();
    }
    let holder = hold(database, "a").await;
    let batch = vec![request("a", charge("1"), "10"), request("b", charge("1"), "10")];
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.apply(batch).await }
    });
    // Another process sees what the batch did for the client that nobody holds, and can charge it.
    while other.total(&client("b"), Window::ALL).await.unwrap() < credits("2") {
        assert!(!waiting.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(allowed(&one(&other, request("b", charge("1"), "10")).await));
    assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
    drop(holder);
    for answer in waiting.await.unwrap() {
        assert!(allowed(&answer));
    }
    assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap(), credits("2"));
}

/// Somebody else holds a quarter that a charge is about to write, and then wants the account that the charge holds.
pub(crate) async fn a_deadlock_is_tried_again<D: Database>(_shared: &D) {
    let Some((_server, database)) = private::<D>() else { return };
    let store = Arc::new(database.store().await);
    one(&*store, request("a", charge("1"), "10")).await.unwrap();
    let mut other = database.connection().await;
    if D::SERVER == Server::Postgres {
        // Whoever has waited so long looks for a deadlock and ends it by giving up: the charge, not the other.
        database.set("ALTER SYSTEM SET deadlock_timeout = '200ms'").await;
        database.execute_on(&mut other, "SET deadlock_timeout = '1min'").await;
    }
    // MySQL gives up whoever has written less.
    let plans = (0..500).map(|number| format!("('p{number}', 1, '')")).collect::<Vec<_>>().join(",");
    let hold = format!(
        "BEGIN; INSERT INTO {{p}}plans (client, version, quotas) VALUES {plans}; \
         UPDATE {{p}}quarters SET credits = credits + 0, entries = entries + 1 WHERE client = 'a'"
    );
    database.execute_on(&mut other, &database.fill(&hold)).await;
    let charging = tokio::spawn({
        let store = Arc::clone(&store);
        async move { one(&*store, request("a", charge("1"), "10")).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!charging.is_finished());
    let want = database.fill("SELECT 1 FROM {p}accounts WHERE client = 'a' FOR UPDATE");
    database.execute_on(&mut other, &want).await;
    assert!(!charging.is_finished(), "it waits for the account again");
    database.execute_on(&mut other, "ROLLBACK").await;
    assert!(allowed(&charging.await.unwrap()));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("2"));
}

pub(crate) async fn an_account_that_stays_held_ends_in_nothing_done<D: Database>(database: &D) {
    let store = database.connect_impatient().await.unwrap();
    for name in ["a", "b"] {
        one(&store, request(name, charge("1"), "10")).await.unwrap();
    }
    let _holder = hold(database, "a").await;
    let began = Instant::now();
    let batch = vec![request("a", charge("1"), "10"), request("b", charge("1"), "10")];
    let answers = store.apply(batch).await;
    assert!(is_not_done(&answers[0]), "{:?}", answers[0]);
    assert!(allowed(&answers[1]));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
}

/// More clients than there are connections.
const MANY: usize = 14;

/// Makes so many clients, whose accounts are held until the connections go.
async fn hold_many<D: Database>(database: &D, store: &D::Store) -> Vec<D::Connection> {
    let mut holders = Vec::new();
    for number in 0..MANY {
        let name = format!("held {number}");
        assert!(allowed(&one(store, request(&name, charge("1"), "10")).await));
        holders.push(hold(database, &name).await);
    }
    holders
}

fn of_all_held() -> Vec<Request> {
    (0..MANY).map(|number| request(&format!("held {number}"), charge("1"), "10")).collect()
}

pub(crate) async fn many_accounts_that_are_held_delay_nobody_else<D: Database>(database: &D) {
    let store = Arc::new(database.store().await);
    assert!(allowed(&one(&*store, request("free", charge("1"), "10")).await));
    let holders = hold_many(database, &store).await;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.apply(of_all_held()).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let others = async {
        assert!(allowed(&one(&*store, request("free", charge("1"), "10")).await));
        assert!(allowed(&one(&*store, request("new", charge("1"), "10")).await));
        store.stored_plan(&client("free")).await.unwrap();
        assert_eq!(store.total(&client("free"), Window::ALL).await.unwrap(), credits("2"));
        store.health().await.unwrap();
    };
    // A lock is given up after four.
    tokio::time::timeout(Duration::from_secs(2), others).await.expect("somebody waits for them");
    assert!(!waiting.is_finished());
    drop(holders);
    assert!(waiting.await.unwrap().iter().all(allowed));
}

pub(crate) async fn who_waits_behind_too_many_is_told<D: Database>(database: &D) {
    let store = database.connect_impatient().await.unwrap();
    let mut holders = hold_many(database, &store).await;
    let answers = store.apply(of_all_held()).await;
    assert!(answers.iter().all(is_not_done), "{answers:?}");
    let told = |answer: &&Result<_, StoreError>| format!("{answer:?}").contains("too many more");
    assert!(answers.iter().filter(told).count() > MANY / 2, "{answers:?}");
    // For longer than a second, so that they delay nobody else's batch.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!((0..MANY).all(|number| store.is_held(&client(&format!("held {number}")))));
    // One of them is let go, and has no need to wait.
    drop(holders.pop());
    let waiting = store.apply(of_all_held().into_iter().take(MANY - 1).collect());
    let free = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        one(&store, request(&format!("held {}", MANY - 1), charge("1"), "10")).await
    };
    let (still_held, free) = futures_util::future::join(waiting, free).await;
    assert!(still_held.iter().all(is_not_done) && allowed(&free), "{free:?}");
}

/// Somebody locks what usage is read from, and nothing that a plan is.
pub(crate) async fn many_readings_delay_nobody_else<D: Database>(database: &D) {
    let store = Arc::new(database.store().await);
    assert!(allowed(&one(&*store, request("a", charge("1"), "10")).await));
    let mut holder = database.connection().await;
    let lock = match D::SERVER {
        Server::Postgres => "BEGIN; LOCK TABLE {p}entries IN ACCESS EXCLUSIVE MODE",
        _ => "LOCK TABLES {p}entries WRITE",
    };
    database.execute_on(&mut holder, &database.fill(lock)).await;
    let readings: Vec<_> = (0..MANY)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.total(&client("a"), Window::ALL).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let others = async {
        store.stored_plan(&client("a")).await.unwrap();
        store.server_time().await.unwrap().unwrap();
        store.health().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(2), others).await.expect("a reading is waited for");
    assert!(readings.iter().all(|reading| !reading.is_finished()));
    drop(holder);
    for reading in readings {
        assert_eq!(reading.await.unwrap().unwrap(), credits("1"));
    }
}

/// Rows that a large deletion has left are taken out first by whoever reads what they may be in the way of.
pub(crate) async fn many_readings_behind_a_deletion_delay_nobody_else<D: Database>(database: &D) {
    let store = Arc::new(database.store().await);
    for name in ["a", "free"] {
        assert!(allowed(&one(&*store, request(name, charge("1"), "10")).await));
    }
    let before = |seconds| noon().saturating_sub(Duration::from_secs(seconds));
    let (from, to) = (before(60).millis(), before(1).millis());
    let mut connection = database.connection().await;
    let leave = format!("UPDATE {{p}}accounts SET deleted_from = {from}, deleted_to = {to} WHERE client = 'a'");
    database.execute_on(&mut connection, &database.fill(&leave)).await;
    let holder = hold(database, "a").await;
    let range = Window::new(before(30), noon().saturating_add(Duration::from_secs(1))).unwrap();
    let readings: Vec<_> = (0..MANY)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.total(&client("a"), range).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let others = async {
        assert!(allowed(&one(&*store, request("free", charge("1"), "10")).await));
        assert!(allowed(&one(&*store, request("new", charge("1"), "10")).await));
        store.stored_plan(&client("free")).await.unwrap();
        store.health().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(2), others).await.expect("somebody waits for them");
    assert!(readings.iter().all(|reading| !reading.is_finished()));
    drop(holder);
    for reading in readings {
        assert_eq!(reading.await.unwrap().unwrap(), credits("1"));
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}accounts WHERE deleted_to > 0").await, 0);
}

pub(crate) async fn a_pruning_passes_over_who_is_held<D: Database>(database: &D) {
    let store = database.connect_impatient().await.unwrap();
    for name in ["a", "b", "c"] {
        assert!(allowed(&one(&store, request(name, charge("1"), "10")).await));
    }
    let holder = hold(database, "a").await;
    let tomorrow = noon().saturating_add(Duration::from_secs(86_400));
    assert!(matches!(store.prune(tomorrow).await, Err(StoreError::NotDone { .. })));
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 1, "of the held one");
    drop(holder);
    assert_eq!(store.prune(tomorrow).await.unwrap().entries, 1);
    assert_eq!(database.number("SELECT COUNT(*) FROM {p}entries").await, 0);
}

/// Whoever has waited for it for long sends its requests in batches of their own: others wait for it once, not each time.
pub(crate) async fn an_account_that_stays_held_is_waited_for_beside_others<D: Database>(database: &D) {
    let plans = PlanRegistry::new().with_default((*per_year("1000")).clone());
    let store = database.store().await;
    let service = QuotaService::builder(store).with_registry(plans).with_deadline(Duration::from_secs(60)).build();
    let charge = async |name: &str| service.charge(&client(name), Credits::ONE).await;
    assert!(charge("a").await.unwrap().is_allowed());
    let holder = hold(database, "a").await;
    charge("a").await.unwrap_err();
    let waiting = {
        let service = service.clone();
        tokio::spawn(async move { service.charge(&client("a"), Credits::ONE).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Some of these go by the same lane.
    for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
        assert!(charge(name).await.unwrap().is_allowed());
    }
    assert!(!waiting.is_finished(), "somebody waited for it");
    drop(holder);
    assert!(waiting.await.unwrap().unwrap().is_allowed());
    service.shutdown().await;
}

/// So does whoever has found it held just now.
pub(crate) async fn an_account_that_was_held_is_waited_for_beside_others<D: Database>(database: &D) {
    let plans = PlanRegistry::new().with_default((*per_year("1000")).clone());
    let store = database.store().await;
    let service = QuotaService::builder(store).with_registry(plans).with_deadline(Duration::from_secs(60)).build();
    // Some of these go by one lane.
    const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let charge_all = || {
        NAMES.map(|name| {
            let service = service.clone();
            tokio::spawn(async move { service.charge(&client(name), Credits::ONE).await.unwrap().is_allowed() })
        })
    };
    for charged in charge_all() {
        assert!(charged.await.unwrap());
    }
    // It is known for a second only, which a busy machine may take to come to the second time.
    let mut rounds = 0;
    loop {
        let holder = hold(database, "a").await;
        let found = {
            let service = service.clone();
            let batch = ["a", "b"].map(|name| request(name, charge("1"), "1000")).to_vec();
            tokio::spawn(async move { service.store().apply(batch).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(holder);
        assert!(found.await.unwrap().iter().all(allowed));
        let holder = hold(database, "a").await;
        let [waiting, others @ ..] = charge_all();
        let all = join_all(others);
        let answered = tokio::time::timeout(Duration::from_secs(2), all).await;
        assert!(!waiting.is_finished());
        drop(holder);
        assert!(waiting.await.unwrap());
        if answered.is_ok() {
            break;
        }
        rounds += 1;
        assert!(rounds < 20, "somebody waits for it each time");
    }
    service.shutdown().await;
}

pub(crate) async fn a_batch_that_is_dropped_lets_its_accounts_go<D: Database>(database: &D) {
    let store = database.store().await;
    let names = ["a", "b"];
    for name in names {
        one(&store, request(name, charge("1"), "1000")).await.unwrap();
    }
    for micros in 0..60 {
        let batch = names.map(|name| request(name, charge("1"), "1000")).to_vec();
        let _ = tokio::time::timeout(Duration::from_micros(micros * 50), store.apply(batch)).await;
    }
    for name in names {
        assert!(allowed(&one(&store, request(name, charge("1"), "1000")).await));
        let (total, status) = (
            store.total(&client(name), Window::ALL).await.unwrap(),
            one(&store, request(name, Operation::Status, "1000")).await,
        );
        assert_eq!(total.to_string(), used(&status));
    }
}
