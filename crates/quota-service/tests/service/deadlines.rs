//! Who waits for an answer, and for how long.

use std::time::Duration;

use futures_util::future::{join, join_all};
use quota_service::{Credits, QuotaService, ServiceError, Ttl};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::gated::Gated;
use crate::given::{ann, begun, charge, client, credits, guard, hundred_a_day, id, used};

const DEADLINE: Duration = Duration::from_secs(5);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A service of another runtime, whose lane has been at work.
fn of_another_runtime(store: &Gated, deadline: Duration) -> (Runtime, QuotaService<Gated>) {
    let runtime = runtime();
    let service = runtime.block_on(async {
        let service = hundred_a_day(store.clone()).with_deadline(deadline).build();
        assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
        service
    });
    (runtime, service)
}

#[tokio::test(start_paused = true)]
async fn a_lane_at_work_tells_all_whose_deadlines_have_passed_and_has_room_again() {
    let store = Gated::lanes(1, 2);
    let service = hundred_a_day(store.clone()).with_deadline(DEADLINE).with_queue_size(3).build();
    let (ann, bob) = (ann(), client("bob"));
    assert!(service.charge(&ann, Credits::ONE).await.unwrap().is_allowed());
    store.close();
    let begin = Instant::now();
    let sent = [
        begun(service.charge_with(&ann, charge(1, "a"))).await,
        begun(service.charge_with(&bob, charge(1, "b"))).await,
    ];
    store.came(2).await;
    let names = ["c", "d", "e"];
    let mut queued = Vec::new();
    for name in names {
        queued.push(begun(service.charge_with(&ann, charge(1, name))).await);
    }
    assert!(matches!(service.charge(&bob, Credits::ONE).await, Err(ServiceError::Overloaded)));
    let (sent, queued) = join(join_all(sent), join_all(queued)).await;
    assert_eq!(begin.elapsed().as_secs(), DEADLINE.as_secs());
    for (answer, name) in sent.into_iter().zip(["a", "b"]) {
        assert!(
            matches!(&answer, Err(ServiceError::Unknown { id: Some(known), source: None }) if *known == id(name)),
            "{answer:?}"
        );
    }
    assert!(queued.iter().all(|answer| matches!(answer, Err(ServiceError::DeadlineQueued))), "{queued:?}");
    // While the store still hangs, and nobody who waited for it does any more.
    assert_is_told_in_time(&service).await;
    let mut again = Vec::new();
    for name in names {
        again.push(begun(service.charge_with(&ann, charge(1, name))).await);
    }
    store.open();
    assert!(join_all(again).await.into_iter().all(|answer| answer.unwrap().is_allowed()));
    assert_eq!(store.batches()[1..], [vec!["charge a", "charge b"], vec!["charge c", "charge d"], vec!["charge e"]]);
    assert_eq!((used(&service, &ann).await, used(&service, &bob).await), (credits(5), credits(1)));
}

/// Whose lane has a batch in flight.
async fn assert_is_told_in_time(service: &QuotaService<Gated>) {
    let begin = Instant::now();
    let late = service.charge(&ann(), Credits::ONE).await;
    assert!(matches!(late, Err(ServiceError::DeadlineQueued)), "{late:?}");
    assert_eq!(begin.elapsed().as_secs(), DEADLINE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn who_comes_behind_a_batch_that_nobody_waits_for_is_told_in_time() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_deadline(DEADLINE).build();
    let guard = guard(service.hold(&ann(), charge(5, "hold"), Ttl::DEFAULT).await.unwrap());
    tokio::time::sleep(2 * DEADLINE).await;
    store.close();
    drop(guard);
    store.came(2).await;
    assert_is_told_in_time(&service).await;
    store.open();
    assert_eq!(used(&service, &ann()).await, Credits::ZERO);
    store.close();
    let ann = ann();
    let sent = begun(service.charge(&ann, Credits::ONE)).await;
    store.came(4).await;
    drop(sent);
    tokio::time::sleep(DEADLINE).await;
    assert_is_told_in_time(&service).await;
}

/// The lane's one timer is set for the first of them.
#[tokio::test(start_paused = true)]
async fn a_lane_at_work_tells_each_at_its_own_deadline() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).with_deadline(DEADLINE).build();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    store.close();
    let later = |millis: u64| {
        let service = service.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            let begin = Instant::now();
            let answer = service.charge(&ann(), Credits::ONE).await;
            assert_eq!(begin.elapsed().as_millis(), DEADLINE.as_millis());
            matches!(answer, Err(ServiceError::DeadlineQueued))
        }
    };
    let queued = join_all([0, 3, 6, 9, 100].map(later)).await;
    assert_eq!(queued, [false, true, true, true, true]);
    store.open();
    assert_eq!(used(&service, &ann()).await, credits(2), "the first was sent");
}

#[test]
fn a_lane_that_nobody_drives_keeps_nobody_waiting_beyond_the_deadline() {
    let store = Gated::batched();
    let (other, service) = of_another_runtime(&store, Duration::from_millis(200));
    std::thread::sleep(Duration::from_millis(50));
    let answer = runtime().block_on(service.charge(&ann(), Credits::ONE));
    assert!(matches!(answer, Err(ServiceError::DeadlineQueued)), "{answer:?}");
    assert!(other.block_on(service.charge(&ann(), Credits::ONE)).unwrap().is_allowed());
    assert_eq!(other.block_on(used(&service, &ann())), credits(2));
}

#[test]
fn what_a_lane_had_when_its_runtime_ended_was_not_done_or_is_unknown() {
    let store = Gated::batched();
    let (other, service) = of_another_runtime(&store, Duration::from_secs(60));
    store.close();
    let (own, ann) = (runtime(), ann());
    let sent = own.block_on(begun(service.charge_with(&ann, charge(1, "sent"))));
    other.block_on(store.came(2));
    let queued = own.block_on(begun(service.charge_with(&ann, charge(1, "queued"))));
    drop(other);
    let (sent, queued) = own.block_on(join(sent, queued));
    assert!(matches!(&sent, Err(ServiceError::Unknown { id: Some(known), .. }) if *known == id("sent")), "{sent:?}");
    assert!(matches!(queued, Err(ServiceError::ShutDown)), "{queued:?}");
    let late = own.block_on(service.charge_with(&ann, charge(1, "late")));
    assert!(matches!(late, Err(ServiceError::ShutDown)), "{late:?}");
}

#[tokio::test]
async fn a_service_that_is_dropped_sends_what_is_queued() {
    let store = Gated::batched();
    let service = hundred_a_day(store.clone()).build();
    let guard = guard(service.hold(&ann(), charge(5, "hold"), Ttl::DEFAULT).await.unwrap());
    drop(service);
    drop(guard);
    store.came(2).await;
    assert_eq!(store.batches(), [["hold hold"], ["release hold"]]);
}
