//! An escrow where a window ends, where its entries are asked for again, and where old entries are pruned beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join3;
use quota_core::{
    Anchor, Answer, Credits, Decision, EntryId, Limit, Operation, OperationId, Period, Plan, Quota, Refusal, Tz, Window,
};
use quota_service::{Request, StoreError, UsageStore};
use quota_store_mongo::MongoStore;

use crate::collections::run;
use crate::escrow::{charge_under, charged, escrow, open_escrow, open_escrow_under};
use crate::requests::{
    Answered, after_noon, allowed, backfill, charge_as, client, credits, noon, one, one_at, request, void,
};

const HOUR: i64 = 3_600_000;
const QUARTER: i64 = HOUR / 4;

/// So many credits an hour, and 1,000 a year.
fn per_hour(limit: &str) -> Arc<Plan> {
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    let quota = |period, limit: &str| Quota::new(period, Limit::Finite(credits(limit)), anchor);
    Arc::new(Plan::new([quota(Period::HOUR, limit), quota(Period::YEAR, "1000")]).unwrap())
}

/// A charge under a plan of two quotas; whether it is allowed, and what they say is used.
async fn used_of_both(store: &MongoStore, plan: &Arc<Plan>, cost: &str, millis: i64) -> (bool, [String; 2]) {
    let answer = one(store, Request { at: after_noon(millis), ..charge_under(plan, cost) }).await;
    let Ok(Answer::Decision(decision)) = &answer else { panic!("{answer:?}") };
    let [hour, year] = decision.quotas().unwrap().as_slice() else { panic!("{answer:?}") };
    (allowed(&answer), [hour.used().to_string(), year.used().to_string()])
}

#[test]
fn a_window_that_ends_ends_the_escrow_and_the_next_is_whole() {
    run(async |collections| {
        let plan = per_hour("100");
        let first = open_escrow_under(&plan, collections).await;
        let other = collections.store().await;
        let told = |hour: &str, year: &str| [hour.to_owned(), year.to_owned()];
        assert_eq!(used_of_both(&other, &plan, "2", HOUR - 1).await, (true, told("3", "3")));
        assert_eq!(used_of_both(&first, &plan, "98", HOUR - 1).await, (false, told("3", "3")));
        assert_eq!(used_of_both(&first, &plan, "97", HOUR - 1).await, (true, told("100", "100")));
        assert_eq!(used_of_both(&other, &plan, "100", HOUR).await, (true, told("100", "200")));
        assert_eq!(used_of_both(&first, &plan, "0.000001", HOUR).await, (false, told("100", "200")));
        // A clock that is behind opens no window again.
        assert_eq!(used_of_both(&first, &plan, "1", HOUR - 1).await, (false, told("100", "200")));
        collections.assert_sums("a", 200, 5).await;
    });
}

#[test]
fn an_escrow_that_is_open_when_its_window_ends_charges_the_next_one() {
    run(async |collections| {
        let plan = per_hour("100");
        let first = open_escrow_under(&plan, collections).await;
        let other = collections.store().await;
        let before = escrow(collections).await;
        for (store, credits) in [(&other, "2"), (&first, "4")] {
            assert!(used_of_both(store, &plan, credits, QUARTER - 1).await.0);
        }
        assert_eq!(escrow(collections).await, before, "it is open");
        // Nobody came in the three quarters between.
        let told = ["100".to_owned(), "107".to_owned()];
        assert_eq!(used_of_both(&other, &plan, "100", HOUR).await, (true, told.clone()));
        assert_eq!(used_of_both(&first, &plan, "1", HOUR).await, (false, told));
        collections.assert_sums("a", 107, 5).await;
    });
}

fn made(id: &str, cost: &str) -> Operation {
    let id = EntryId::Made(OperationId::new(id).unwrap());
    Operation::Charge { credits: credits(cost), id, label: None }
}

fn is_replayed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => allowed.replayed(),
        other => panic!("{other:?}"),
    }
}

/// As whoever was told [`StoreError::Unknown`] asks again: under the id that was made for the charge.
#[test]
fn a_charge_from_the_escrow_is_found_under_the_id_that_was_made_for_it() {
    run(async |collections| {
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        charged(&other, "1", 0).await;
        let before = escrow(collections).await;
        assert!(allowed(&one_at(&first, "a", made("m", "2"), 0).await));
        assert_eq!(escrow(collections).await, before, "it was taken from the escrow");
        for (store, cost) in [(&other, "2"), (&first, "2")] {
            assert!(is_replayed(&one_at(store, "a", charge_as("m", cost), 1).await));
        }
        let otherwise = one_at(&other, "a", charge_as("m", "3"), 1).await;
        assert!(matches!(otherwise, Err(StoreError::Refused(Refusal::IdConflict { .. }))), "{otherwise:?}");
        collections.assert_sums("a", 4, 4).await;
        assert!(matches!(one_at(&other, "a", void("m"), 1).await, Ok(Answer::Voided(true))));
        collections.assert_sums("a", 2, 3).await;
    });
}

#[test]
fn a_pruning_beside_an_escrow_keeps_every_credit() {
    run(async |collections| {
        let filling = collections.store().await;
        let old = backfill((0..200).map(|number| (format!("e{number}"), -HOUR + number)));
        one(&filling, Request { at: after_noon(0), ..request("a", old, "1000") }).await.unwrap();
        let (first, other) = (open_escrow(collections).await, collections.store().await);
        let is_pruned = AtomicBool::new(false);
        let charging = async |store: &MongoStore| {
            let mut count = 0_usize;
            // What the plan admits besides.
            while count < 20 || (count < 380 && !is_pruned.load(Ordering::SeqCst)) {
                charged(store, "1", 0).await;
                count += 1;
            }
            count
        };
        let pruning = async {
            let pruned = filling.prune(noon()).await.unwrap();
            is_pruned.store(true, Ordering::SeqCst);
            pruned.entries
        };
        let (one, two, pruned) = join3(charging(&first), charging(&other), pruning).await;
        assert_eq!(pruned, 200);
        // One of none opened the escrow.
        let (sum, entries) = (200 + one + two, 201 + one + two);
        collections.assert_sums("a", sum.try_into().unwrap(), entries).await;
        let in_the_hour_before = Window::new(after_noon(-HOUR), noon()).unwrap();
        let total = other.total(&client("a"), in_the_hour_before).await.unwrap();
        assert_eq!(total, Credits::from_micros(200_000_000).unwrap());
    });
}
