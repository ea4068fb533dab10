//! Ids that are looked for no more, since the store knows all that the client has used.

use std::collections::HashSet;

use quota_core::{Answer, Decision, Operation, OperationId, Window};
use quota_service::UsageStore;
use quota_store_mongo::MongoStore;

use crate::between::{Between, contains};
use crate::collections::run;
use crate::requests::{Answered, charge, charge_as, client, one, request};

const PLENTY: &str = "1000000";

fn is_replayed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(allowed))) => allowed.replayed(),
        other => panic!("{other:?}"),
    }
}

async fn charge_one(store: &MongoStore, id: &str) -> Answered {
    one(store, request("a", charge_as(id, "1"), PLENTY)).await
}

/// Charges under ids that were not used before; how often something was looked for meanwhile.
async fn look_ups(between: &Between, store: &MongoStore, numbers: std::ops::Range<u32>) -> usize {
    between.sent();
    for number in numbers {
        assert!(!is_replayed(&charge_one(store, &format!("id {number}")).await), "{number}");
    }
    let sent = between.sent();
    let finds = sent.iter().filter(|piece| contains(piece, b"\x02find\0"));
    // Where the collections are sharded by client, each names it: by itself, or in a list.
    let names_client = |piece: &&Vec<u8>| contains(piece, b"\x02c\0") || contains(piece, b"\x03c\0");
    assert!(finds.clone().filter(|piece| contains(piece, b"entries\0")).all(|piece| names_client(&piece)));
    finds.count()
}

async fn total(store: &MongoStore) -> String {
    store.total(&client("a"), Window::ALL).await.unwrap().to_string()
}

#[test]
fn who_knows_all_ids_of_a_client_looks_for_no_other() {
    run(async |collections| {
        let between = Between::new(collections);
        let first = between.store(collections).await;
        // It learns them with the seventeenth.
        let looked_for = look_ups(&between, &first, 0..20).await;
        assert!((16..=19).contains(&looked_for), "{looked_for}");
        assert_eq!(look_ups(&between, &first, 20..50).await, 0);
        let second = between.store(collections).await;
        assert!(look_ups(&between, &second, 50..70).await >= 16);
        assert_eq!(look_ups(&between, &second, 70..90).await, 0);
        // Those that were used are still found, and it knows all of them afterwards.
        for number in [3, 49, 50, 69, 89] {
            assert!(is_replayed(&charge_one(&second, &format!("id {number}")).await), "{number}");
        }
        assert!(!is_replayed(&one(&second, request("a", charge("1"), PLENTY)).await));
        assert_eq!(look_ups(&between, &second, 90..95).await, 0);
        // It was another's since.
        assert!(look_ups(&between, &first, 95..97).await > 0);
        assert_eq!(total(&second).await, "98");
    });
}

#[test]
fn ids_that_another_process_has_used_are_found() {
    run(async |collections| {
        let stores = [collections.store().await, collections.store().await];
        let (mut used, mut state) = (HashSet::new(), 7_u32);
        for step in 0..300_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Each has the client for a while, so that it learns; now and then an id comes again.
            let store = &stores[usize::from(step / 40 % 2 == 1)];
            let number = if state >> 30 == 0 { (state >> 8) % step.max(1) } else { step };
            let id = format!("id {number}");
            let is_new = used.insert(id.clone());
            assert_eq!(is_replayed(&charge_one(store, &id).await), !is_new, "{step}: {id}");
            if state >> 28 == 0xf {
                let void = Operation::Void { id: OperationId::new(&id).unwrap(), at: None };
                one(store, request("a", void, PLENTY)).await.unwrap();
                used.remove(&id);
            }
        }
        assert_eq!(total(&stores[0]).await, used.len().to_string());
    });
}
