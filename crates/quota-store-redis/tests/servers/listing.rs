//! Which clients are listed.

use std::num::NonZeroU64;

use quota_core::{Detail, Operation, PlanVersion};
use quota_service::{ClientsQuery, Request, UsageStore};
use quota_store_redis::RedisStore;
use redis::Value;

use crate::requests::{PLENTY, allowed, charge_one, one, request};
use crate::servers::Place;

fn set_plan(name: &str) -> Request {
    let mut set = request(name, Operation::RemovePlan, PLENTY);
    let plan = set.plan.plan.take().unwrap();
    set.operation = Operation::SetPlan { plan, version: PlanVersion::new(NonZeroU64::MIN) };
    set
}

/// Clients who had a plan and nothing else.
async fn leave_behind(store: &RedisStore, names: &[String]) {
    for answer in store.apply(names.iter().map(|name| set_plan(name)).collect()).await {
        answer.unwrap();
    }
    let remove = |name: &String| request(name, Operation::RemovePlan, PLENTY);
    for answer in store.apply(names.iter().map(remove).collect()).await {
        answer.unwrap();
    }
}

async fn listed_by(store: &RedisStore, limit: usize) -> Vec<String> {
    let query = ClientsQuery { limit, ..ClientsQuery::default() };
    store.clients(&query).await.unwrap().iter().map(ToString::to_string).collect()
}

/// How many names stand in the lists, those without an account too.
async fn names_in(place: &Place) -> i64 {
    let mut names = 0;
    for list in 0..16 {
        match place.tell(&format!("ZCARD {}", place.key(&format!("clients:{{{list}}}")))).await {
            Value::Int(count) => names += count,
            other => panic!("{other:?}"),
        }
    }
    names
}

#[tokio::test]
async fn a_pruning_takes_off_names_without_accounts() {
    let Some(place) = Place::shared() else { return };
    let store = place.store(Detail::Quarters).await;
    for name in ["a", "m", "z"] {
        assert!(allowed(&charge_one(&store, name, "1").await));
    }
    leave_behind(&store, &(0..1_500).map(|number| format!("n{number}")).collect::<Vec<_>>()).await;
    assert_eq!(names_in(&place).await, 1_503);
    for limit in [1, 2, 3, 100] {
        assert_eq!(listed_by(&store, limit).await, ["a", "m", "z"][..limit.min(3)]);
    }
    store.prune("2024-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(names_in(&place).await, 3);
    assert_eq!(listed_by(&store, 100).await, ["a", "m", "z"]);
    assert!(allowed(&charge_one(&store, "n7", "1").await));
    assert_eq!(listed_by(&store, 100).await, ["a", "m", "n7", "z"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_made_while_others_prune_is_listed() {
    let Some(place) = Place::shared() else { return };
    let (store, other) = (place.store(Detail::Quarters).await, place.store(Detail::Quarters).await);
    let names: Vec<String> = (0..8).map(|number| format!("client{number}")).collect();
    for _ in 0..100 {
        leave_behind(&store, &names).await;
        let made = async {
            for name in &names {
                one(&store, set_plan(name)).await.unwrap();
            }
        };
        let pruned = async {
            for _ in 0..4 {
                other.prune("2024-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
            }
        };
        tokio::join!(made, pruned);
        assert_eq!(listed_by(&store, 100).await, names);
    }
}

/// Who made the account has ended before it was listed again.
#[tokio::test]
async fn whose_name_was_taken_off_for_good_is_listed_by_who_reads_its_account_next() {
    let Some(place) = Place::shared() else { return };
    for detail in [Detail::Entries, Detail::Quarters] {
        let place = Place::at(place.url.clone());
        assert!(allowed(&charge_one(&place.store(detail).await, "a", "1").await));
        for list in 0..16 {
            place.tell(&format!("ZREM {} a", place.key(&format!("clients:{{{list}}}")))).await;
        }
        let store = place.store(detail).await;
        assert!(listed_by(&store, 100).await.is_empty());
        assert!(allowed(&charge_one(&store, "a", "2").await));
        assert_eq!(listed_by(&store, 100).await, ["a"]);
    }
}
