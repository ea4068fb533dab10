//! Batches on their way to a store.

use std::time::Duration;

use futures_util::future::join_all;
use quota_service::quota_core::Operation;
use quota_service::{Charge, Credits, PastEntry, ServiceError, StoreError, Ttl};

use crate::gated::{Fault, Gated, unknown};
use crate::given::{ann, begun, charge, client, credits, guard, held, hundred_a_day, id, is_replayed, noon, used};

#[tokio::test]
async fn while_one_batch_is_in_flight_the_next_gathers_in_order() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    store.close();
    let first = begun(service.charge_with(&ann, charge(1, "1"))).await;
    store.came(1).await;
    let mut waiting = Vec::new();
    for number in 2..=9 {
        let client = if number % 2 == 0 { &ann } else { &bob };
        waiting.push(begun(service.charge_with(client, charge(1, &number.to_string()))).await);
    }
    store.open();
    assert!(first.await.unwrap().is_allowed());
    for answer in join_all(waiting).await {
        assert!(answer.unwrap().is_allowed());
    }
    let gathered: Vec<_> = (2..=9).map(|number| format!("charge {number}")).collect();
    assert_eq!(store.batches(), [vec!["charge 1".to_owned()], gathered]);
}

#[tokio::test]
async fn who_was_answered_asks_again_before_fewer_others_depart() {
    asks_again(Gated::batched()).await;
}

#[tokio::test]
async fn who_was_answered_by_a_batch_of_its_own_asks_again_before_fewer_others_depart() {
    let store = Gated::with_hot(100);
    store.say_held(&ann());
    asks_again(store).await;
}

async fn asks_again(store: Gated) {
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let first = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(1).await;
    let twice = |_| {
        let (service, ann) = (service.clone(), ann.clone());
        let asks = async move {
            assert!(service.charge(&ann, Credits::ONE).await.unwrap().is_allowed());
            service.charge(&ann, Credits::ONE).await.unwrap()
        };
        tokio::spawn(asks)
    };
    let again: Vec<_> = (0..4).map(twice).collect();
    tokio::task::yield_now().await;
    store.pass_one();
    store.came(2).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    store.open();
    for answer in join_all(again).await {
        assert!(answer.unwrap().is_allowed());
    }
    for answer in join_all(others.into_iter().chain([first])).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(store.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 4, 7], "not 3 and 4");
}

#[tokio::test]
async fn a_batch_is_no_larger_than_the_store_takes() {
    let store = Gated::lanes(1, 3);
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let mut all = vec![begun(service.charge(&ann, Credits::ONE)).await];
    store.came(1).await;
    for _ in 0..7 {
        all.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    store.open();
    for answer in join_all(all).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(store.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 3, 1]);
}

#[tokio::test]
async fn a_batch_brings_no_more_entries_than_one_backfill_may() {
    let store = Gated::lanes(1, 100);
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let mut all = vec![begun(service.charge(&ann, Credits::ONE)).await];
    store.came(1).await;
    let mut backfills = Vec::new();
    for first in [0, 6_000, 12_000] {
        let entry = |number| PastEntry { id: id(&format!("{number}")), at: noon(), credits: Credits::ONE, label: None };
        let entries = (first..first + 6_000).map(entry).collect();
        backfills.push(begun(service.backfill(&ann, entries)).await);
        all.push(begun(service.charge(&ann, Credits::ONE)).await);
    }
    store.open();
    for answer in join_all(backfills).await {
        assert_eq!(answer.unwrap().added, 6_000);
    }
    assert!(join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(store.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 2]);
}

#[tokio::test]
async fn an_operation_that_is_dropped_while_queued_is_never_sent() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let sent = begun(service.charge_with(&ann, charge(1, "sent"))).await;
    store.came(1).await;
    let dropped = begun(service.charge_with(&ann, charge(1, "dropped"))).await;
    let kept = begun(service.charge_with(&ann, charge(1, "kept"))).await;
    drop(dropped);
    drop(sent);
    store.open();
    assert!(kept.await.unwrap().is_allowed());
    assert_eq!(store.batches(), [["charge sent"], ["charge kept"]]);
    assert_eq!(store.ledger(&ann).await, credits(2), "what was sent stands, though its caller went away");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_the_queue_says_so_and_nothing_is_sent() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_deadline(Duration::from_secs(5)).build();
    let ann = ann();
    store.close();
    let sent = begun(service.charge_with(&ann, charge(1, "sent"))).await;
    store.came(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let queued = service.charge_with(&ann, charge(1, "queued"));
    let begun = tokio::time::Instant::now();
    assert!(matches!(queued.await, Err(ServiceError::DeadlineQueued)));
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(matches!(sent.await, Err(ServiceError::Unknown { id: Some(known), .. }) if known == id("sent")));
    store.open();
    assert_eq!(used(&service, &ann).await, Credits::ONE);
    assert_eq!(store.batches(), [["charge sent"], ["status"]]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_in_flight_is_unknown_and_a_retry_charges_once() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let answer = service.charge_with(&ann, charge(3, "a")).await;
    let Err(ServiceError::Unknown { id: Some(known), source: None }) = answer else { panic!("{answer:?}") };
    store.open();
    let retry = Charge::new(credits(3)).with_id(known);
    assert!(is_replayed(&service.charge_with(&ann, retry).await.unwrap()));
    assert_eq!(store.ledger(&ann).await, credits(3));
}

#[tokio::test]
async fn an_unknown_charge_without_an_id_is_given_one_to_find_out_with() {
    for (done, fault) in [(true, Fault::Done(unknown)), (false, Fault::Not(unknown))] {
        let store = Gated::batched();
        let service = hundred_a_day(store.clone()).build();
        store.next(fault);
        let answer = service.charge(&ann(), credits(3)).await;
        let Err(ServiceError::Unknown { id: Some(made), source: Some(StoreError::Unknown { .. }) }) = answer else {
            panic!("{answer:?}")
        };
        let retry = Charge::new(credits(3)).with_id(made);
        assert_eq!(is_replayed(&service.charge_with(&ann(), retry.clone()).await.unwrap()), done);
        assert!(is_replayed(&service.charge_with(&ann(), retry).await.unwrap()));
        assert_eq!(store.ledger(&ann()).await, credits(3));
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_nothing_happens() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_queue_size(2).build();
    let ann = ann();
    store.close();
    let sent = begun(service.charge_with(&ann, charge(1, "sent"))).await;
    store.came(1).await;
    let one = begun(service.charge_with(&ann, charge(1, "one"))).await;
    let two = begun(service.charge_with(&ann, charge(1, "two"))).await;
    assert!(matches!(service.charge_with(&ann, charge(1, "three")).await, Err(ServiceError::Overloaded)));
    assert!(matches!(service.hold(&ann, charge(1, "hold"), Ttl::DEFAULT).await, Err(ServiceError::Overloaded)));
    assert!(matches!(service.status(&ann).await, Err(ServiceError::Overloaded)));
    store.open();
    for answer in join_all([sent, one, two]).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert!(service.charge_with(&ann, charge(1, "three")).await.unwrap().is_allowed(), "there is room again");
    assert_eq!(store.ledger(&ann).await, credits(4));
}

#[tokio::test]
async fn those_who_gave_up_before_a_lane_that_hangs_keep_no_room_in_others() {
    let store = Gated::lanes(8, 64);
    let service = hundred_a_day(store.clone()).with_queue_size(2).build();
    let ann = ann();
    store.hold_back(&ann);
    let sent = begun(service.charge_with(&ann, charge(1, "sent"))).await;
    store.came(1).await;
    for number in ["one", "two"] {
        drop(begun(service.charge_with(&ann, charge(1, number))).await);
    }
    // Of so many clients, some have other lanes.
    let clients = (0..64).map(|number| client(&format!("client{number}")));
    let mut served = 0;
    for client in clients {
        match service.charge(&client, Credits::ONE).await {
            Ok(decision) => served += usize::from(decision.is_allowed()),
            // Those of the same lane: it holds no more than it may.
            Err(error) => assert!(matches!(error, ServiceError::Overloaded), "{error:?}"),
        }
    }
    assert!(served > 32, "{served}");
    store.let_go();
    assert!(sent.await.unwrap().is_allowed());
    assert!(service.charge_with(&ann, charge(1, "three")).await.unwrap().is_allowed(), "there is room again");
    assert_eq!(store.ledger(&ann).await, credits(2));
}

#[tokio::test]
async fn a_release_passes_a_full_queue() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_queue_size(1).build();
    let ann = ann();
    let guard = guard(service.hold(&ann, charge(5, "hold"), Ttl::DEFAULT).await.unwrap());
    store.close();
    let sent = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(2).await;
    let queued = begun(service.charge(&ann, Credits::ONE)).await;
    assert!(matches!(service.charge(&ann, Credits::ONE).await, Err(ServiceError::Overloaded)));
    drop(guard);
    store.open();
    assert!(sent.await.unwrap().is_allowed());
    assert!(queued.await.unwrap().is_allowed());
    assert_eq!(held(&service, &ann).await, Credits::ZERO);
}

#[tokio::test]
async fn a_store_that_panics_loses_that_batch_alone() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.next(Fault::Panics);
    let answer = service.charge_with(&ann, charge(1, "lost")).await;
    assert!(
        matches!(&answer, Err(ServiceError::Unknown { id: Some(known), .. }) if *known == id("lost")),
        "{answer:?}"
    );
    assert!(service.charge_with(&ann, charge(1, "next")).await.unwrap().is_allowed());
    assert!(service.charge_with(&ann, charge(1, "lost")).await.unwrap().is_allowed());
    assert_eq!(store.ledger(&ann).await, credits(2));
    service.shutdown().await;
}

#[tokio::test]
async fn a_store_that_panics_where_it_is_asked_whose_account_is_held_goes_on() {
    let store = Gated::with_hot(2);
    let service = hundred_a_day(store.clone()).build();
    store.break_held();
    for charged in 1..=3 {
        assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
        assert_eq!(store.ledger(&ann()).await, credits(charged));
    }
    service.shutdown().await;
}

#[test]
fn a_service_that_sends_by_tasks_says_that_it_is_to_be_built_inside_a_runtime() {
    let built = std::panic::catch_unwind(|| hundred_a_day(Gated::batched()).build());
    let words = built.map(drop).unwrap_err();
    let words = words.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(words.contains("inside a tokio runtime"), "{words}");
}

#[tokio::test]
async fn a_store_that_answers_too_few_leaves_the_rest_unknown() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let first = begun(service.charge_with(&ann, charge(1, "0"))).await;
    store.came(1).await;
    let one = begun(service.charge_with(&ann, charge(1, "1"))).await;
    let two = begun(service.charge_with(&ann, charge(1, "2"))).await;
    store.pass_one();
    assert!(first.await.unwrap().is_allowed());
    store.next(Fault::AnswersOneTooFew);
    store.open();
    assert!(one.await.unwrap().is_allowed());
    let answer = two.await;
    assert!(matches!(&answer, Err(ServiceError::Unknown { id: Some(known), .. }) if *known == id("2")), "{answer:?}");
    assert!(is_replayed(&service.charge_with(&ann, charge(1, "2")).await.unwrap()));

    let direct = Gated::direct();
    let service = hundred_a_day(direct.clone()).build();
    direct.next(Fault::AnswersOneTooFew);
    assert!(matches!(service.charge(&ann, Credits::ONE).await, Err(ServiceError::Unknown { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_one_client_keep_their_order_in_one_lane() {
    // The store itself refuses a client that comes in two batches at once.
    let store = Gated::lanes(4, 8);
    let service = hundred_a_day(store.clone()).build();
    let clients: Vec<_> = (0..20).map(|number| client(&format!("client{number}"))).collect();
    let mut all = Vec::new();
    store.close();
    for number in 0..50 {
        for client in &clients {
            all.push(begun(service.charge_with(client, charge(1, &number.to_string()))).await);
        }
    }
    store.open();
    for answer in join_all(all).await {
        assert!(answer.unwrap().is_allowed());
    }
    let requests = store.requests();
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    for client in &clients {
        let ids = requests.iter().filter(|request| request.client == *client);
        let ids: Vec<_> = ids.filter_map(|request| request.operation.id()).map(ToString::to_string).collect();
        assert_eq!(ids, expected, "{client}");
        assert_eq!(store.ledger(client).await, credits(50));
    }
    assert_eq!(store.count(|operation| matches!(operation, Operation::Charge { .. })), 1_000);
}

#[tokio::test]
async fn different_lanes_have_batches_in_flight_at_once() {
    let store = Gated::lanes(2, 8);
    let service = hundred_a_day(store.clone()).build();
    let clients: Vec<_> = (0..64).map(|number| client(&format!("client{number}"))).collect();
    store.close();
    let mut all = Vec::new();
    for client in &clients {
        all.push(begun(service.charge(client, Credits::ONE)).await);
    }
    store.came(2).await;
    store.open();
    for answer in join_all(all).await {
        assert!(answer.unwrap().is_allowed());
    }
}
