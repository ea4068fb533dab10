//! A client that keeps its lane's other clients from their answers.

use futures_util::future::join_all;
use quota_service::Credits;

use crate::gated::Gated;
use crate::given::{ann, begun, charge, client, credits, daily, hundred_a_day, used};

/// How many requests each batch had.
fn sizes(store: &Gated) -> Vec<usize> {
    store.batches().iter().map(Vec::len).collect()
}

#[tokio::test]
async fn a_hot_client_in_flight_delays_nobody_else() {
    let store = Gated::with_hot(4);
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.close();
    let first = begun(service.charge_with(&bob, charge(1, "first"))).await;
    store.came(1).await;
    let mut hot = Vec::new();
    for number in 0..6 {
        hot.push(begun(service.charge_with(&ann, charge(1, &format!("hot {number}")))).await);
    }
    let beside = begun(service.charge_with(&bob, charge(1, "beside"))).await;
    // The first batch comes back; Ann's six and Bob's one leave apart. Only Bob's may pass.
    store.pass_one();
    assert!(first.await.unwrap().is_allowed());
    store.came(3).await;
    assert_eq!(sizes(&store), [1, 6, 1]);
    store.hold_back(&ann);
    store.open();
    assert!(beside.await.unwrap().is_allowed());
    assert!(service.charge(&bob, Credits::ONE).await.unwrap().is_allowed(), "the lane goes on");

    // What is asked of the hot client meanwhile waits for its own batch, and goes together.
    let mut later = Vec::new();
    for number in 0..3 {
        later.push(begun(service.charge_with(&ann, charge(1, &format!("later {number}")))).await);
    }
    assert!(service.charge(&bob, Credits::ONE).await.unwrap().is_allowed());
    store.let_go();
    for answer in join_all(hot.into_iter().chain(later)).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(sizes(&store), [1, 6, 1, 1, 1, 3]);
    assert_eq!((used(&service, &ann).await, used(&service, &bob).await), (credits(9), credits(4)));
}

#[tokio::test]
async fn a_client_whose_account_is_held_delays_nobody_else_however_little_it_asks() {
    let store = Gated::with_hot(4);
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.say_held(&ann);
    store.hold_back(&ann);
    // Alone, and beside another.
    let mut held = vec![begun(service.charge(&ann, Credits::ONE)).await];
    store.came(1).await;
    for _ in 0..2 {
        assert!(service.charge(&bob, Credits::ONE).await.unwrap().is_allowed());
        held.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    store.let_go();
    for answer in join_all(held).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(sizes(&store), [1, 1, 1, 2], "what waits goes together");
    assert_eq!((used(&service, &ann).await, used(&service, &bob).await), (credits(3), credits(2)));
}

#[tokio::test]
async fn what_stands_behind_a_batch_that_was_taken_out_whole_does_not_wait_for_it() {
    let store = Gated::with_hot_in(4, 2);
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.close();
    let first = begun(service.charge(&bob, Credits::ONE)).await;
    store.came(1).await;
    store.say_held(&ann);
    store.hold_back(&ann);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    let behind = begun(service.charge(&bob, Credits::ONE)).await;
    store.open();
    assert!(first.await.unwrap().is_allowed());
    assert!(behind.await.unwrap().is_allowed());
    store.let_go();
    for answer in join_all(held).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(sizes(&store), [1, 2, 1]);
}

/// Nor where it fills whole batches.
#[tokio::test]
async fn who_stands_behind_all_of_a_hot_clients_requests_does_not_wait_for_them() {
    let store = Gated::with_hot_in(2, 3);
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.close();
    let first = begun(service.charge(&bob, Credits::ONE)).await;
    store.came(1).await;
    store.hold_back(&ann);
    let mut hot = Vec::new();
    for _ in 0..6 {
        hot.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    let behind = begun(service.charge(&bob, Credits::ONE)).await;
    store.open();
    assert!(first.await.unwrap().is_allowed());
    assert!(behind.await.unwrap().is_allowed());
    store.let_go();
    for answer in join_all(hot).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(sizes(&store), [1, 3, 1, 3]);
}

#[tokio::test]
async fn a_client_alone_in_its_lane_is_not_taken_out() {
    let store = Gated::with_hot(2);
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let mut all = vec![begun(service.charge(&ann, Credits::ONE)).await];
    store.came(1).await;
    for _ in 0..5 {
        all.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    store.open();
    for answer in join_all(all).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(sizes(&store), [1, 5]);
}

#[tokio::test]
async fn a_shutdown_answers_what_waits_for_a_hot_client() {
    let store = Gated::with_hot(2);
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.close();
    let mut all = vec![begun(service.charge(&bob, Credits::ONE)).await];
    store.came(1).await;
    for _ in 0..3 {
        all.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    all.push(begun(service.charge(&bob, Credits::ONE)).await);
    store.pass_one();
    store.came(3).await;
    for _ in 0..3 {
        all.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    let ending = begun(service.shutdown()).await;
    store.open();
    ending.await;
    for answer in join_all(all).await {
        assert!(answer.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn a_plan_set_in_a_hot_clients_batch_binds_what_waited_for_it() {
    let store = Gated::with_hot(2);
    let service = quota_service::QuotaService::builder(store.clone())
        .with_stored_plans()
        .with_clock(crate::given::clock())
        .build();
    let (ann, bob) = (ann(), client("bob"));
    for client in [&ann, &bob] {
        service.set_plan(client, daily(1)).await.unwrap();
    }
    store.close();
    let sent = store.requests().len();
    let first = begun(service.charge(&bob, Credits::ONE)).await;
    store.came(sent + 1).await;
    let charges = [begun(service.charge(&ann, Credits::ONE)).await, begun(service.charge(&ann, Credits::ONE)).await];
    let raised = begun(service.set_plan(&ann, daily(3))).await;
    let beside = begun(service.charge(&bob, Credits::ONE)).await;
    store.pass_one();
    store.came(sent + 3).await;
    let waited = [begun(service.charge(&ann, Credits::ONE)).await, begun(service.charge(&ann, Credits::ONE)).await];
    store.open();
    assert!(first.await.unwrap().is_allowed());
    assert!(beside.await.unwrap().is_denied());
    raised.await.unwrap();
    let [one, two] = charges;
    assert!(one.await.unwrap().is_allowed());
    assert!(two.await.unwrap().is_denied(), "by the plan before");
    for answer in join_all(waited).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(store.requests().len() - sent, 7, "none of them came back for the plan");
}
