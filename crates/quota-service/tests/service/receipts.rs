//! What a store is told of answers that were received.

use std::time::Duration;

use futures_util::future::join;
use quota_service::{Charge, Credits, ServiceError};

use crate::gated::{Fault, Gated};
use crate::given::{ann, begun, charge, client, hundred_a_day, is_replayed};

#[tokio::test]
async fn a_batch_whose_answers_arrived_is_confirmed() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let (ann, bob) = (ann(), client("bob"));
    assert!(service.charge(&ann, Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(store.receipts(), [true]);
    store.close();
    let both = [begun(service.charge(&ann, Credits::ONE)).await, begun(service.charge(&bob, Credits::ONE)).await];
    store.came(2).await;
    assert_eq!(store.receipts(), [true, false]);
    store.open();
    let [first, second] = both;
    let (first, second) = join(first, second).await;
    assert!(first.unwrap().is_allowed() && second.unwrap().is_allowed());
    assert_eq!(store.receipts(), [true, true]);
}

/// Who is told that it is not known may ask by the id that was made, however much is answered after.
#[tokio::test(start_paused = true)]
async fn a_batch_of_which_one_was_late_never_is() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_deadline(Duration::from_secs(5)).build();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    store.close();
    let Err(ServiceError::Unknown { id: Some(made), .. }) = service.charge(&ann(), Credits::ONE).await else {
        panic!()
    };
    store.open();
    let again = service.charge_with(&ann(), Charge::new(Credits::ONE).with_id(made)).await.unwrap();
    assert!(is_replayed(&again));
    assert_eq!(store.receipts(), [true, false, true]);
}

#[tokio::test]
async fn a_batch_whose_caller_has_gone_never_is() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let ann = ann();
    store.close();
    let gone = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(1).await;
    drop(gone);
    store.open();
    assert!(service.charge(&ann, Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(store.receipts(), [false, true]);
}

#[tokio::test]
async fn a_batch_that_lost_an_answer_never_is() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    for fault in [Fault::AnswersOneTooFew, Fault::Panics] {
        store.next(fault);
        let lost = service.charge_with(&ann(), charge(1, "a")).await;
        assert!(matches!(lost, Err(ServiceError::Unknown { .. })), "{lost:?}");
    }
    assert_eq!(store.receipts(), [false, false]);
}
