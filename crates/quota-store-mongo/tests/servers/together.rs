//! Batches of many clients, of which some were changed by others meanwhile.

use mongodb::bson::doc;
use quota_core::{Operation, Window};
use quota_service::{Request, UsageStore};

use crate::collections::run;
use crate::requests::{allowed, charge, charge_as, client, is_not_done, request, used};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn charges() -> Vec<Request> {
    NAMES.map(|name| request(name, charge("1"), "10")).to_vec()
}

#[test]
fn a_batch_charges_each_client_once_whoever_was_quicker_at_some() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        assert!(store.apply(charges()).await.iter().all(allowed));
        for quicker in [&NAMES[..0], &NAMES[2..3], &NAMES[1..7], &NAMES[..]] {
            let before: Vec<_> = store.apply(NAMES.map(|name| request(name, Operation::Status, "10")).to_vec()).await;
            let taken = quicker.iter().map(|name| request(name, charge("0.5"), "10")).collect();
            assert!(other.apply(taken).await.iter().all(allowed));
            let after = store.apply(charges()).await;
            for ((name, before), after) in NAMES.iter().zip(&before).zip(&after) {
                let more = if quicker.contains(name) { 1.5 } else { 1.0 };
                let number = |answer| used(answer).parse::<f64>().unwrap();
                assert_eq!(number(after), number(before) + more, "{name}");
                let total = other.total(&client(name), Window::ALL).await.unwrap();
                assert_eq!(total.to_string(), used(after), "{name}");
            }
        }
    });
}

#[test]
fn a_denial_beside_charges_tells_what_others_have_used() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        assert!(store.apply(charges()).await.iter().all(allowed));
        // b is changed by another, d and e are not; all three are to be denied.
        assert!(other.apply(vec![request("b", charge("2"), "10")]).await.iter().all(allowed));
        let cost = |name| if ["b", "d", "e"].contains(&name) { "10" } else { "1" };
        for round in 1..3 {
            let answers = store.apply(NAMES.map(|name| request(name, charge(cost(name)), "10")).to_vec()).await;
            for (name, answer) in NAMES.iter().zip(&answers) {
                assert_eq!(allowed(answer), cost(name) == "1", "{name}");
                let expected = match *name {
                    "b" => 3,
                    "d" | "e" => 1,
                    _ => 1 + round,
                };
                assert_eq!(used(answer), expected.to_string(), "{name}");
            }
        }
    });
}

#[test]
fn what_fails_at_one_client_leaves_no_other_in_doubt() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        assert!(store.apply(charges()).await.iter().all(allowed));
        assert!(other.apply(vec![request("a", charge("2"), "10")]).await.iter().all(allowed));
        // A denial is confirmed by a count that is no number.
        collections.set("b", doc! { "k": "nonsense" }).await;
        let cost = |name| if name == "b" { "10" } else { "1" };
        let answers = store.apply(NAMES.map(|name| request(name, charge(cost(name)), "10")).to_vec()).await;
        assert!(is_not_done(&answers[1]), "{:?}", answers[1]);
        assert_eq!(used(&answers[0]), "4", "another was quicker there");
        assert!(answers[2..].iter().all(|answer| used(answer) == "2"), "{answers:?}");
    });
}

#[test]
fn ids_of_many_clients_are_told_apart() {
    run(async |collections| {
        let (store, other) = (collections.store().await, collections.store().await);
        let batch = || NAMES.map(|name| request(name, charge_as("same", "1"), "10")).to_vec();
        let few = || NAMES[3..5].iter().map(|name| request(name, charge_as("same", "1"), "10")).collect();
        assert!(store.apply(few()).await.iter().all(allowed));
        store.total(&client("d"), Window::ALL).await.unwrap();
        for store in [&other, &store, &other] {
            let answers = store.apply(batch()).await;
            assert!(answers.iter().all(|answer| allowed(answer) && used(answer) == "1"), "{answers:?}");
        }
    });
}

/// An account that was taken out by hand with all else is not made again from what a process remembers.
#[test]
fn a_client_that_was_taken_out_by_hand_begins_anew() {
    run(async |collections| {
        let store = collections.store().await;
        for _ in 0..3 {
            assert!(store.apply(charges()).await.iter().all(allowed));
        }
        for name in NAMES {
            collections.written(name, 3).await;
        }
        for (name, of) in
            [("accounts", doc! { "_id": "c" }), ("entries", doc! { "c": "c" }), ("quarters", doc! { "c": "c" })]
        {
            collections.collection(name).delete_many(of).await.unwrap();
        }
        let answers = store.apply(charges()).await;
        for (name, answer) in NAMES.iter().zip(&answers) {
            let expected = if *name == "c" { "1" } else { "4" };
            assert_eq!(used(answer), expected, "{name}");
            assert_eq!(store.total(&client(name), Window::ALL).await.unwrap().to_string(), expected, "{name}");
        }
    });
}
