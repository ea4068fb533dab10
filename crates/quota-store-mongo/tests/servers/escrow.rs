//! An account that several processes charge at once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use mongodb::bson::doc;
use quota_core::{
    Anchor, Answer, EntryId, Limit, Operation, OperationId, Period, Plan, PlanVersion, Quota, Ttl, Tz, Unit, Window,
};
use quota_service::{EntriesQuery, PlanView, Request, UsageStore};
use quota_store_mongo::MongoStore;

use crate::collections::{Collections, run};
use crate::requests::{
    after_noon, allowed, charge, charge_as, client, credits, delete, noon, one, one_at, per_year, request, used, void,
};

const QUARTER: i64 = 900_000;

/// The escrow of `a`, by its name.
pub(crate) async fn escrow(collections: &Collections) -> Option<String> {
    let account = collections.account("a").await;
    account.get_document("g").ok().map(|escrow| escrow.get_str("i").unwrap().to_owned())
}

async fn set_queue(collections: &Collections, tokens: &[&str]) {
    let change = if tokens.is_empty() {
        doc! { "$unset": { "q": "" } }
    } else {
        doc! { "$set": { "q": tokens } }
    };
    collections.change("a", change).await;
}

/// The account `a`, with one credit used if it was not there, and an entry of none; with an escrow, since this process had its turn
/// while another one waited.
pub(crate) async fn open_escrow(collections: &Collections) -> MongoStore {
    open_escrow_under(&per_year("1000"), collections).await
}

/// The same under another plan.
pub(crate) async fn open_escrow_under(plan: &Arc<Plan>, collections: &Collections) -> MongoStore {
    let store = collections.store().await;
    if collections.all("accounts", doc! { "_id": "a" }).await.is_empty() {
        assert!(allowed(&one(&store, charge_under(plan, "1")).await));
    }
    set_queue(collections, &["another"]).await;
    let waits = async {
        loop {
            if let [_, token] = collections.queue("a").await.as_slice() {
                break set_queue(collections, &[token, "another"]).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (answer, ()) = join(one(&store, charge_under(plan, "0")), waits).await;
    assert!(allowed(&answer), "{answer:?}");
    set_queue(collections, &[]).await;
    assert!(escrow(collections).await.is_some());
    store
}

/// A charge of `a` at noon.
pub(crate) fn charge_under(plan: &Arc<Plan>, cost: &str) -> Request {
    let plan = PlanView { plan: Some(Arc::clone(plan)), ..request("a", charge(cost), "1").plan };
    Request { plan, ..request("a", charge(cost), "1") }
}

/// A charge of `a` that is admitted; what is used then.
pub(crate) async fn charged(store: &MongoStore, cost: &str, millis: i64) -> String {
    let answer = one_at(store, "a", charge(cost), millis).await;
    assert!(allowed(&answer), "{answer:?}");
    used(&answer)
}

async fn status(store: &MongoStore) -> String {
    used(&one_at(store, "a", Operation::Status, 0).await)
}

#[test]
fn charges_from_an_escrow_wait_for_no_turn_and_each_is_told_its_own_sum() {
    run(async |collections| {
        let first = open_escrow(collections).await;
        let stores = [first, collections.store().await, collections.store().await, collections.store().await];
        let before = escrow(collections).await;
        let charging = stores.iter().map(async |store| {
            let mut told = Vec::new();
            for _ in 0..25 {
                told.push(charged(store, "1", 0).await.parse::<u32>().unwrap());
            }
            assert!(told.is_sorted());
            told
        });
        let mut told: Vec<u32> = join_all(charging).await.into_iter().flatten().collect();
        told.sort_unstable();
        assert_eq!(told, (2..=101).collect::<Vec<_>>());
        assert_eq!(escrow(collections).await, before, "nobody had to have a turn");
        assert_eq!(status(&stores[1]).await, "101");
        collections.assert_sums("a", 101, 102).await;
        collections.written("a", 102).await;
    });
}

#[test]
fn an_escrow_covers_no_more_than_the_limit() {
    run(async |collections| {
        let first = open_escrow(collections).await;
        let stores = [first, collections.store().await, collections.store().await];
        let charging = stores.iter().map(async |store| {
            let mut admitted = 0;
            for _ in 0..40 {
                let batch = (0..10).map(|_| request("a", charge("1"), "1000")).collect();
                admitted += store.apply(batch).await.iter().filter(|answer| allowed(answer)).count();
            }
            admitted
        });
        assert_eq!(join_all(charging).await.into_iter().sum::<usize>(), 999);
        collections.assert_sums("a", 1_000, 1_001).await;
    });
}

#[test]
fn an_entry_is_made_at_the_time_of_the_account() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        for (store, millis) in [(&first, 10), (&other, 5_000), (&first, 20), (&first, 30), (&other, 6_000)] {
            charged(store, "1", millis).await;
        }
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 100 };
        let page = collections.store().await.entries(&client("a"), &query).await.unwrap();
        let made: Vec<_> = page.entries.iter().map(|entry| entry.at.millis() - noon().millis()).collect();
        assert_eq!(made, [0, 0, 10, 5_000, 5_000, 5_000, 6_000]);
    });
}

#[test]
fn whatever_else_is_done_counts_what_was_charged_from_the_escrow() {
    let id = || EntryId::Given(OperationId::new("held").unwrap());
    let hold = Operation::Hold { credits: credits("7"), id: id(), ttl: Ttl::DEFAULT, label: None, asker: None };
    let version = 7.try_into().map(PlanVersion::new).unwrap();
    let set = Operation::SetPlan { plan: per_year("1000"), version };
    let operations = [
        (charge_as("h", "8"), "16", "16"),
        (Operation::Record { credits: credits("8"), id: EntryId::Absent, label: None }, "16", "16"),
        (hold, "8", "8"),
        (set, "8", "8"),
        (Operation::Status, "8", "8"),
    ];
    for (operation, expected, total) in operations {
        run(async |collections| {
            let (first, other) = (open_escrow(collections).await, collections.store().await);
            charged(&first, "3", 0).await;
            assert_eq!(charged(&other, "4", 0).await, "8");
            let answer = one_at(&other, "a", operation.clone(), 0).await;
            assert_eq!(used(&answer), expected, "{operation:?}");
            assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap(), credits(total));
            // Who does not know of it yet counts it all the same.
            let expected = credits(expected).checked_add(credits("1")).unwrap().to_string();
            assert_eq!(charged(&first, "1", 0).await, expected);
            let total = credits(total).checked_add(credits("1")).unwrap();
            assert_eq!(first.total(&client("a"), Window::ALL).await.unwrap(), total);
        });
    }
}

#[test]
fn what_is_taken_out_is_taken_from_what_was_charged_from_the_escrow() {
    for (operation, left) in [(void("h"), 4), (delete(Window::ALL), 0)] {
        run(async |collections| {
            let (first, other) = (collections.store().await, collections.store().await);
            assert_eq!(used(&one_at(&first, "a", charge_as("h", "2"), 0).await), "2");
            drop(first);
            let first = open_escrow(collections).await;
            charged(&first, "1", 0).await;
            charged(&other, "3", 0).await;
            let answer = one_at(&other, "a", operation.clone(), 1).await;
            assert!(matches!(answer, Ok(Answer::Voided(true) | Answer::Deleted(4))), "{answer:?}");
            assert_eq!(status(&first).await, left.to_string());
            assert_eq!(first.total(&client("a"), Window::ALL).await.unwrap(), credits(&left.to_string()));
            assert_eq!(charged(&first, "1", 2).await, (left + 1).to_string());
            assert_eq!(charged(&other, "1", 2).await, (left + 2).to_string());
            let total = collections.store().await.total(&client("a"), Window::ALL).await.unwrap();
            assert_eq!(total, credits(&(left + 2).to_string()));
        });
    }
}

#[test]
fn who_has_a_smaller_plan_is_held_to_it() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        charged(&first, "3", 0).await;
        for (expected, is_allowed) in [("5", true), ("5", false)] {
            let answer = one(&other, request("a", charge("1"), "5")).await;
            assert_eq!((used(&answer).as_str(), allowed(&answer)), (expected, is_allowed));
        }
        assert_eq!(charged(&first, "3", 0).await, "8");
        collections.assert_sums("a", 8, 5).await;
    });
}

#[test]
fn an_escrow_ends_with_the_quarter() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        let before = escrow(collections).await;
        charged(&other, "2", QUARTER - 1).await;
        assert_eq!(escrow(collections).await, before);
        assert_eq!(charged(&first, "4", QUARTER).await, "7");
        assert_ne!(escrow(collections).await, before);
        assert_eq!(charged(&other, "8", 2 * QUARTER).await, "15");
        assert_eq!(first.total(&client("a"), Window::ALL).await.unwrap(), credits("15"));
        for (quarter, sum) in [(0, "3"), (1, "4"), (2, "8")] {
            let range = Window::new(after_noon(quarter * QUARTER), after_noon((quarter + 1) * QUARTER)).unwrap();
            assert_eq!(other.total(&client("a"), range).await.unwrap(), credits(sum), "{quarter}");
        }
        collections.assert_sums("a", 15, 5).await;
    });
}

#[test]
fn who_meets_nobody_for_long_needs_no_escrow() {
    run(async |collections| {
        let store = open_escrow(collections).await;
        for round in 0..40 {
            assert_eq!(charged(&store, "1", 0).await, (round + 2).to_string());
        }
        assert_eq!(escrow(collections).await, None);
        collections.assert_sums("a", 41, 42).await;
    });
}

/// Others go on with the escrow from which a process that has died took its last charge.
#[test]
fn what_a_dead_process_left_is_counted_once() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        first.total(&client("a"), Window::ALL).await.unwrap();
        let before = collections.ledger("a").await;
        charged(&first, "2", 0).await;
        collections.written("a", 3).await;
        collections.put_back("a", before).await;
        drop(first);
        charged(&other, "4", 0).await;
        collections.assert_sums("a", 7, 4).await;
        charged(&other, "8", 0).await;
        collections.assert_sums("a", 15, 5).await;
    });
}

#[test]
fn somebody_who_waits_for_a_turn_has_it() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        let is_over = AtomicBool::new(false);
        let charging = async {
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) {
                charged(&first, "1", 0).await;
                count += 1;
            }
            count
        };
        let asking = async {
            for number in 0..20 {
                assert!(allowed(&one_at(&other, "a", charge_as(&format!("i{number}"), "1"), 0).await));
            }
            is_over.store(true, Ordering::SeqCst);
        };
        let (count, ()) = join(charging, asking).await;
        assert!(count > 0);
        collections.assert_sums("a", 21 + count, usize::try_from(22 + count).unwrap()).await;
    });
}

/// Between the store and its server: closes the connection in place of the answer to a charge from the escrow.
struct Cut {
    url: String,
    is_armed: Arc<AtomicBool>,
}

impl Cut {
    fn new(collections: &Collections) -> Self {
        let server = collections.url().split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap().to_string();
        let url = collections.url_with("retryWrites=false&directConnection=true").replace(&server, &proxy);
        let cut = Self { url, is_armed: Arc::default() };
        let is_armed = Arc::clone(&cut.is_armed);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let is_armed = Arc::clone(&is_armed);
                std::thread::spawn(move || forward(client, server, &is_armed));
            }
        });
        cut
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream, is_armed: &AtomicBool) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let cut = Arc::clone(&is_cut);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if cut.load(Ordering::SeqCst) || back.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let is_charge = buffer[..count].windows(7).any(|bytes| bytes == b"findAnd");
        if is_charge && is_armed.swap(false, Ordering::SeqCst) {
            is_cut.store(true, Ordering::SeqCst);
        }
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

#[test]
fn a_charge_whose_answer_is_lost_is_found_again() {
    run(async |collections| {
        let (first, cut) = (open_escrow(collections).await, Cut::new(collections));
        let store = collections.builder(&cut.url).connect().await.unwrap();
        assert_eq!(charged(&store, "2", 0).await, "3");
        charged(&first, "4", 0).await;
        cut.is_armed.store(true, Ordering::SeqCst);
        assert_eq!(charged(&store, "8", 0).await, "15", "it was made once, and is told what it came to");
        assert!(!cut.is_armed.load(Ordering::SeqCst));
        assert_eq!(charged(&first, "16", 0).await, "31");
        assert_eq!(charged(&store, "32", 0).await, "63");
        collections.assert_sums("a", 63, 7).await;
    });
}

/// The answers of a batch, whose charges cost differently.
#[test]
fn the_charges_of_a_batch_are_told_in_their_order() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        charged(&first, "1", 0).await;
        let batch: Vec<Request> = ["1", "2", "0.5", "4"].map(|cost| request("a", charge(cost), "1000")).into();
        let answers = other.apply(batch).await;
        let told: Vec<_> = answers.iter().map(used).collect();
        assert_eq!(told, ["3", "5", "5.5", "9.5"]);
        assert_eq!(status(&first).await, "9.5");
    });
}

/// A primary that has lost its place may have told a time that the next one never heard of.
#[test]
fn a_time_that_the_account_has_not_is_not_believed() {
    run(async |collections| {
        let first = open_escrow(collections).await;
        charged(&first, "2", 5_000).await;
        collections.set("a", doc! { "g.t": noon().millis() }).await;
        assert_eq!(charged(&first, "4", 10).await, "7");
        let outbox = collections.outbox("a").await;
        collections.written("a", 4).await;
        collections.write_late("a", &outbox).await;
        collections.assert_sums("a", 7, 4).await;
        collections.written("a", 4).await;
    });
}

#[test]
fn who_reads_usage_again_writes_nothing() {
    run(async |collections| {
        let first = open_escrow(collections).await;
        charged(&first, "2", 0).await;
        let confirmed = async || {
            assert_eq!(collections.store().await.total(&client("a"), Window::ALL).await.unwrap().to_string(), "3");
            collections.account("a").await.get("k").cloned()
        };
        let once = confirmed().await;
        assert_eq!(confirmed().await, once);
        charged(&first, "4", 0).await;
        assert_eq!(first.total(&client("a"), Window::ALL).await.unwrap().to_string(), "7");
        collections.assert_sums("a", 7, 4).await;
    });
}

/// A plan of so many quotas of several years each.
fn of_years(every: std::ops::RangeInclusive<u32>) -> Arc<Plan> {
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let quota = |every| Quota::new(Period::new(Unit::Year, every).unwrap(), Limit::Finite(credits("1000")), anchor);
    Arc::new(Plan::new(every.map(quota)).unwrap())
}

/// An account keeps the sums of a plan's quotas and of some more only, in the order in which they were used.
#[test]
fn whose_plan_has_few_of_the_quotas_charges_as_whose_has_all() {
    run(async |collections| {
        let first = open_escrow_under(&of_years(1..=40), collections).await;
        let (few, one_of_them) = (of_years(1..=5), of_years(22..=22));
        assert!(allowed(&one(&first, charge_under(&one_of_them, "2")).await));
        let batch = vec![charge_under(&few, "4"), charge_under(&one_of_them, "8")];
        let told: Vec<_> = first.apply(batch).await.iter().map(used).collect();
        assert_eq!(told, ["7", "15"]);
        collections.assert_sums("a", 15, 5).await;
    });
}
