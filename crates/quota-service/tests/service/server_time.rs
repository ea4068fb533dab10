//! The present of a service whose store has a server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quota_service::{
    Credits, Decision, Instant, ManualClock, OnStoreError, PlanRegistry, QuotaService, QuotaServiceBuilder, Refusal,
    ServiceError, StoreError,
};

use crate::gated::{Gated, not_done};
use crate::given::{ann, begun, charge, daily, noon};

fn told_noon() -> Result<Instant, StoreError> {
    Ok(noon())
}

fn fails() -> Result<Instant, StoreError> {
    Err(not_done())
}

fn over(store: &Gated) -> QuotaServiceBuilder<Gated> {
    QuotaService::builder(store.clone()).with_registry(PlanRegistry::new().with_default(daily(100)))
}

fn present(store: &Gated) -> Instant {
    store.requests().last().unwrap().at
}

#[tokio::test(start_paused = true)]
async fn the_present_is_the_servers_and_is_asked_again_after_a_minute() {
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    let (one, two) = (ann(), ann());
    let (one, two) = tokio::join!(service.charge(&one, Credits::ONE), service.charge(&two, Credits::ONE));
    assert!(one.unwrap().is_allowed() && two.unwrap().is_allowed());
    assert_eq!(store.time_questions(), 1, "whoever comes first asks for all");
    assert_eq!(present(&store), noon());

    tokio::time::advance(Duration::from_secs(59)).await;
    service.status(&ann()).await.unwrap();
    assert_eq!(present(&store).since(noon()), Duration::from_secs(59), "it goes on by itself");
    assert_eq!(store.time_questions(), 1);

    tokio::time::advance(Duration::from_secs(1)).await;
    service.status(&ann()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(store.time_questions(), 2);
    service.status(&ann()).await.unwrap();
    assert!(present(&store).since(noon()) < Duration::from_secs(1), "the server still says noon");
}

/// Nobody asked while nobody came: another server may stand there now.
#[tokio::test(start_paused = true)]
async fn the_server_is_asked_before_anything_else_where_nobody_came_for_two_minutes() {
    fn told_ten() -> Result<Instant, StoreError> {
        Ok(noon().saturating_sub(Duration::from_secs(2 * 3_600)))
    }
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    service.status(&ann()).await.unwrap();
    tokio::time::advance(Duration::from_secs(120)).await;
    store.tell_time(told_ten);
    let (one, two) = (ann(), ann());
    let (one, two) = tokio::join!(service.charge(&one, Credits::ONE), service.charge(&two, Credits::ONE));
    assert!(one.unwrap().is_allowed() && two.unwrap().is_allowed());
    assert_eq!((present(&store), store.time_questions()), (told_ten().unwrap(), 2), "one asks for all");
    let late = charge(1, "late").with_at(noon());
    let answer = service.charge_with(&ann(), late).await;
    assert!(matches!(answer, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_told_its_time_and_does_not_any_more_stops_nobody() {
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    service.status(&ann()).await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    store.tell_time(fails);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(present(&store).since(noon()), Duration::from_secs(300));
    assert_eq!(store.time_questions(), 2);
    // From here on it is asked in the background, and not by everybody.
    for _ in 0..10 {
        assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    }
    assert_eq!(store.time_questions(), 3);
    tokio::time::advance(Duration::from_secs(5)).await;
    store.tell_time(told_noon);
    service.status(&ann()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    service.status(&ann()).await.unwrap();
    assert!(present(&store).since(noon()) < Duration::from_secs(1), "it has told again");
}

#[tokio::test(start_paused = true)]
async fn who_has_asked_and_is_not_polled_any_more_keeps_nobody_waiting() {
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    let client = ann();
    let left_alone = begun(service.charge(&client, Credits::ONE)).await;
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(store.time_questions(), 1);
    assert!(left_alone.await.unwrap().is_allowed());
}

/// As where the process is stopped between the question and its answer: that may be of any moment in between.
#[tokio::test(start_paused = true)]
async fn a_time_that_was_long_on_its_way_is_asked_for_again() {
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    store.delay_time(Duration::from_secs(3));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!((present(&store), store.time_questions()), (noon(), 2));
}

#[tokio::test(start_paused = true)]
async fn the_server_is_asked_before_anything_else_where_the_machine_has_slept() {
    fn told_one() -> Result<Instant, StoreError> {
        Ok(noon().saturating_add(Duration::from_secs(3_600)))
    }
    let store = Gated::batched();
    store.tell_time(told_noon);
    let service = over(&store).build();
    service.status(&ann()).await.unwrap();
    assert_eq!(present(&store), noon());

    // The monotonic clock stands still, and the machine's own goes on.
    std::thread::sleep(Duration::from_millis(2_100));
    store.tell_time(fails);
    let answer = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(answer, Err(ServiceError::NotDone { .. })), "nobody knows how long it has slept: {answer:?}");
    store.tell_time(told_one);
    let (one, two) = (ann(), ann());
    let (one, two) = tokio::join!(service.charge(&one, Credits::ONE), service.charge(&two, Credits::ONE));
    assert!(one.unwrap().is_allowed() && two.unwrap().is_allowed());
    assert_eq!((present(&store), store.time_questions()), (told_one().unwrap(), 3), "one asks for all");
    service.status(&ann()).await.unwrap();
    assert_eq!(store.time_questions(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_again_where_the_machine_slept_before_its_answer_came() {
    fn told_one_after_a_sleep() -> Result<Instant, StoreError> {
        static ASKED: AtomicBool = AtomicBool::new(false);
        if ASKED.swap(true, Ordering::SeqCst) {
            return Ok(noon().saturating_add(Duration::from_secs(3_600)));
        }
        std::thread::sleep(Duration::from_millis(2_100));
        Ok(noon())
    }
    let store = Gated::batched();
    store.tell_time(told_one_after_a_sleep);
    let service = over(&store).build();
    service.status(&ann()).await.unwrap();
    assert_eq!(present(&store).since(noon()), Duration::from_secs(3_600));
    assert_eq!(store.time_questions(), 2);
}

#[tokio::test]
async fn no_clock_may_be_too_far_ahead_of_the_servers() {
    let store = Gated::batched();
    store.tell_time(told_noon);
    let ahead = ManualClock::new(noon().saturating_add(Duration::from_secs(120)));
    let service = over(&store).with_clock(ahead).build();
    let answer = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(answer, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{answer:?}");

    let service = over(&store).build();
    let late = noon().saturating_add(Duration::from_secs(120));
    let answer = service.charge_with(&ann(), charge(1, "a").with_at(late)).await;
    assert!(matches!(answer, Err(ServiceError::Refused(Refusal::ClockAhead { .. }))), "{answer:?}");
    assert!(store.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_tell_its_time_is_a_store_that_fails_until_it_does() {
    let store = Gated::batched();
    store.tell_time(fails);
    let service = over(&store).build();
    let answer = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(answer, Err(ServiceError::NotDone { .. })), "{answer:?}");
    let open = over(&store).with_on_store_error(OnStoreError::FailOpen).build();
    assert_eq!(open.charge(&ann(), Credits::ONE).await.unwrap(), Decision::Unchecked);
    store.tell_time(told_noon);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
}

#[tokio::test]
async fn a_store_without_a_server_goes_by_the_machines_clock() {
    let store = Gated::batched();
    let service = over(&store).build();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(present(&store) > "2025-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(store.time_questions(), 1);
}
