//! Plans of the application's own, and plans set in code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quota_service::quota_core::Remaining;
use quota_service::{
    Balance, ClientId, Credits, Decision, ManualClock, Plan, PlanRegistry, PlanSource, QuotaService, Refusal,
    ServiceError, Source,
};
use quota_store_memory::MemoryStore;
use tokio::sync::Barrier;

use crate::given::{ann, begun, charge, client, clock, credits, daily, monthly, noon, out_of_range, used};
use crate::told::Told;

fn service(source: &Told, clock: &Arc<ManualClock>) -> QuotaService<MemoryStore> {
    QuotaService::builder(MemoryStore::new()).with_plan_source(source.clone()).with_clock(clock.clone()).build()
}

fn is_unknown_client<T>(answer: &Result<T, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::UnknownClient)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_first_requests_of_one_client_ask_once() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    let service = service(&source, &clock());
    let start = Arc::new(Barrier::new(101));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (service, start) = (service.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                service.charge(&ann(), Credits::ONE).await
            })
        })
        .collect();
    start.wait().await;
    source.wait(false);
    for caller in callers {
        assert!(caller.await.unwrap().unwrap().is_allowed());
    }
    assert_eq!(source.asked(), 1);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_denied(), "all hundred were charged");
}

#[tokio::test]
async fn callers_who_wait_for_one_answer_all_get_it() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    let service = service(&source, &clock());
    let client = ann();
    let mut callers = Vec::new();
    for _ in 0..100 {
        callers.push(begun(service.charge(&client, Credits::ONE)).await);
    }
    assert_eq!(source.asked(), 1);
    source.wait(false);
    for answer in futures_util::future::join_all(callers).await {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test]
async fn a_failing_source_is_an_error_and_the_next_request_asks_again() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.fail(true);
    let service = service(&source, &clock());
    for asked in 1..=3 {
        let answer = service.charge(&ann(), Credits::ONE).await;
        assert!(matches!(&answer, Err(ServiceError::Plans(cause)) if cause.to_string().contains("database is down")));
        assert_eq!(source.asked(), asked);
    }
    source.fail(false);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(used(&service, &ann()).await, Credits::ONE);
}

#[tokio::test]
async fn an_asker_who_goes_away_does_not_keep_the_others_waiting() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    let service = service(&source, &clock());
    let client = ann();
    let asker = begun(service.charge(&client, Credits::ONE)).await;
    let waiting = begun(service.charge(&client, Credits::ONE)).await;
    assert_eq!(source.asked(), 1);
    drop(asker);
    source.wait(false);
    assert!(waiting.await.unwrap().is_allowed());
    assert_eq!(source.asked(), 1, "the one who waited goes on with the question");
    assert_eq!(used(&service, &client).await, Credits::ONE, "who went away is not charged");
}

/// As one in a list of futures of which another one is worked on.
#[tokio::test]
async fn an_asker_who_is_not_polled_any_more_keeps_nobody_waiting() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    let service = service(&source, &clock());
    let client = ann();
    let left_alone = begun(service.charge(&client, Credits::ONE)).await;
    let waiting = begun(service.charge(&client, Credits::ONE)).await;
    source.wait(false);
    for answer in [waiting.await, service.charge(&client, Credits::ONE).await, left_alone.await] {
        assert!(answer.unwrap().is_allowed());
    }
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_was_waited_for_in_vain_is_asked_anew() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    let service = service(&source, &clock());
    let client = ann();
    let other = begun(service.charge(&client, Credits::ONE)).await;
    let late = service.charge(&client, Credits::ONE).await;
    assert!(matches!(&late, Err(ServiceError::Plans(_))), "{late:?}");
    let next = begun(service.charge(&client, Credits::ONE)).await;
    assert_eq!(source.asked(), 2);
    source.wait(false);
    assert!(next.await.unwrap().is_allowed());
    drop(other);
}

/// Answers once, after four seconds, and then no more.
struct Late {
    asked: AtomicUsize,
    generation: Arc<AtomicU64>,
}

#[async_trait]
impl PlanSource for Late {
    async fn plan(&self, _: &ClientId) -> Result<Option<Arc<Plan>>, Source> {
        if self.asked.fetch_add(1, Ordering::SeqCst) > 0 {
            return std::future::pending().await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(Some(Arc::new(daily(100))))
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn however_often_a_plan_is_asked_for_it_is_waited_for_until_the_deadline() {
    let generation = Arc::new(AtomicU64::new(1));
    let source = Late { asked: AtomicUsize::new(0), generation: Arc::clone(&generation) };
    let service = QuotaService::builder(MemoryStore::new()).with_plan_source(source).build();
    let began = tokio::time::Instant::now();
    let client = ann();
    let first = begun(service.charge(&client, Credits::ONE)).await;
    generation.store(2, Ordering::SeqCst);
    // What the first one has asked is old when it is told, and is asked for again.
    let second = service.charge(&client, Credits::ONE).await;
    assert!(matches!(&second, Err(ServiceError::Plans(_))), "{second:?}");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(first.await.unwrap().is_allowed());
}

#[tokio::test]
async fn an_asker_whose_source_fails_fails_alone_or_with_those_who_ask_after_it() {
    let source = Told::new();
    source.set(ann(), daily(100));
    source.wait(true);
    source.fail(true);
    let service = service(&source, &clock());
    let client = ann();
    let first = begun(service.charge(&client, Credits::ONE)).await;
    let second = begun(service.charge(&client, Credits::ONE)).await;
    source.wait(false);
    assert!(matches!(first.await, Err(ServiceError::Plans(_))));
    source.fail(false);
    assert!(second.await.unwrap().is_allowed());
}

#[tokio::test]
async fn a_plan_is_asked_again_exactly_when_its_ttl_has_passed() {
    let (source, clock) = (Told::new(), clock());
    source.set(ann(), daily(1));
    let service = QuotaService::builder(MemoryStore::new())
        .with_plan_source(source.clone())
        .with_clock(clock.clone())
        .with_plan_ttl(Duration::from_secs(30))
        .build();
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    source.set(ann(), daily(3));
    clock.advance(Duration::from_millis(29_999));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_denied());
    assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_denied());
    assert_eq!(source.asked(), 1);
    clock.advance(Duration::from_millis(1));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_plan_for_longer() {
    let (source, clock) = (Told::new(), clock());
    source.set(ann(), daily(1));
    let service = service(&source, &clock);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(is_unknown_client(&service.charge(&client("bob"), Credits::ONE).await));
    source.set(ann(), daily(3));
    source.set(client("bob"), daily(1));
    clock.set(noon().saturating_sub(Duration::from_secs(3_600)));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge_with(&ann(), charge(1, "a")).await.unwrap().is_allowed());
    assert!(service.charge(&client("bob"), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(source.asked(), 4, "each once before and once after");
}

#[tokio::test]
async fn an_unknown_client_is_asked_again_exactly_when_its_ttl_has_passed() {
    let (source, clock) = (Told::new(), clock());
    let service = QuotaService::builder(MemoryStore::new())
        .with_plan_source(source.clone())
        .with_clock(clock.clone())
        .with_unknown_ttl(Duration::from_secs(5))
        .build();
    assert!(is_unknown_client(&service.charge(&ann(), Credits::ONE).await));
    source.set(ann(), daily(1));
    clock.advance(Duration::from_millis(4_999));
    assert!(is_unknown_client(&service.charge(&ann(), Credits::ONE).await));
    assert!(is_unknown_client(&service.status(&ann()).await));
    assert_eq!(source.asked(), 1);
    clock.advance(Duration::from_millis(1));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(source.asked(), 2);
    source.remove(&ann());
    clock.advance(Duration::from_secs(30));
    assert!(is_unknown_client(&service.charge(&ann(), Credits::ONE).await));
}

#[tokio::test]
async fn a_new_generation_binds_the_next_charge_and_an_old_one_lasts() {
    let (source, clock) = (Told::new(), clock());
    source.set_generation(1);
    source.set(ann(), daily(1));
    let service = service(&source, &clock);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    clock.advance(Duration::from_secs(300 * 86_400));
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert_eq!(source.asked(), 1, "nothing has changed");

    source.set(ann(), daily(2));
    source.set_generation(2);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_denied());
    assert_eq!(source.asked(), 2);

    source.remove(&ann());
    source.set_generation(3);
    assert!(is_unknown_client(&service.charge(&ann(), Credits::ONE).await));
    source.set(ann(), daily(3));
    source.set_generation(4);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed(), "unknown_ttl does not delay it");
}

#[tokio::test]
async fn a_cache_that_overflows_forgets_and_stays_right() {
    for (size, remembers_all) in [(0, false), (1, false), (4, false), (1_000, true)] {
        let source = Told::new();
        let service = QuotaService::builder(MemoryStore::new())
            .with_plan_source(source.clone())
            .with_clock(clock())
            .with_plan_cache_size(size)
            .build();
        let clients: Vec<_> = (0..50_u64).map(|number| (number, client(&format!("client{number}")))).collect();
        for (number, client) in &clients {
            source.set(client.clone(), daily(*number));
        }
        for _ in 0..2 {
            for (number, client) in &clients {
                let status = service.status(client).await.unwrap();
                let left = Balance::from(credits(*number));
                assert_eq!(status.lowest().unwrap().remaining(), Remaining::Finite(left), "of {size}");
            }
        }
        assert_eq!(source.asked() == 50, remembers_all, "of {size}: asked {} times", source.asked());
    }
}

#[tokio::test]
async fn the_plan_that_was_not_asked_for_the_longest_is_forgotten_first() {
    let source = Told::new();
    let service = QuotaService::builder(MemoryStore::new())
        .with_plan_source(source.clone())
        .with_clock(clock())
        .with_plan_cache_size(2)
        .build();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(client);
    for client in [&ann, &bob, &eve] {
        source.set(client.clone(), daily(1));
    }
    // Eve's plan takes the place of Bob's, since Ann's was used after it.
    for (client, asked) in [(&ann, 1), (&bob, 2), (&ann, 2), (&eve, 3), (&ann, 3), (&eve, 3), (&bob, 4), (&ann, 5)] {
        service.status(client).await.unwrap();
        assert_eq!(source.asked(), asked, "after {client}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_meets_the_deadline() {
    let source = Told::new();
    source.wait(true);
    let service = QuotaService::builder(MemoryStore::new())
        .with_plan_source(source.clone())
        .with_deadline(Duration::from_secs(2))
        .with_clock(clock())
        .build();
    let begun = tokio::time::Instant::now();
    assert!(matches!(service.charge(&ann(), Credits::ONE).await, Err(ServiceError::Plans(_))));
    assert_eq!(begun.elapsed().as_secs(), 2);
    source.set(ann(), daily(1));
    source.wait(false);
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
}

#[tokio::test]
async fn plans_of_a_source_are_read_only() {
    let source = Told::new();
    source.set(ann(), daily(1));
    let service = service(&source, &clock());
    assert!(matches!(service.set_plan(&ann(), daily(2)).await, Err(ServiceError::PlansReadOnly)));
    assert!(matches!(service.remove_plan(&ann()).await, Err(ServiceError::PlansReadOnly)));
    assert_eq!(service.plan(&ann()).await.unwrap().as_deref(), Some(&daily(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_a_plan_in_code_while_charging_never_opens_the_gate() {
    let plans = PlanRegistry::new().with(ann(), daily(50));
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans.clone()).with_clock(clock()).build();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut allowed = 0;
                for _ in 0..200 {
                    match service.charge(&ann(), Credits::ONE).await {
                        Ok(decision) => allowed += u64::from(decision.is_allowed()),
                        Err(ServiceError::Refused(Refusal::UnknownClient)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
                allowed
            })
        })
        .collect();
    for round in 0..100_u64 {
        match round % 3 {
            0 => plans.set(ann(), daily(round % 50)),
            1 => assert!(plans.remove(&ann())),
            _ => plans.set(ann(), monthly(50)),
        }
        tokio::task::yield_now().await;
    }
    let mut allowed = 0;
    for caller in callers {
        allowed += caller.await.unwrap();
    }
    assert!(allowed <= 50, "{allowed}");
    plans.set(ann(), daily(50));
    assert_eq!(used(&service, &ann()).await, credits(allowed));
}

#[tokio::test]
async fn what_was_used_counts_at_once_under_a_new_plan() {
    let service = QuotaService::builder(MemoryStore::new()).with_clock(clock()).build();
    service.set_plan(&ann(), daily(10)).await.unwrap();
    assert!(service.charge(&ann(), credits(6)).await.unwrap().is_allowed());

    let status = service.set_plan(&ann(), daily(5)).await.unwrap();
    assert_eq!(status.lowest().unwrap().balance().unwrap().to_string(), "-1");
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_denied());

    let status = service.set_plan(&ann(), monthly(7)).await.unwrap();
    assert_eq!(status.lowest().unwrap().balance().unwrap().to_string(), "1");
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_allowed());
    assert!(service.charge(&ann(), Credits::ONE).await.unwrap().is_denied());
}

#[tokio::test]
async fn a_default_plan_is_for_every_client_without_one_of_its_own() {
    let plans = PlanRegistry::new().with_default(daily(1)).with(client("bob"), daily(3));
    let service = QuotaService::builder(MemoryStore::new()).with_registry(plans.clone()).with_clock(clock()).build();
    assert!(service.charge(&ann(), credits(2)).await.unwrap().is_denied());
    assert!(service.charge(&client("bob"), credits(2)).await.unwrap().is_allowed());
    service.remove_plan(&client("bob")).await.unwrap();
    let decision = service.charge(&client("bob"), Credits::ONE).await.unwrap();
    let Decision::Denied(denied) = decision else { panic!("{decision:?}") };
    assert_eq!(denied.binding().unwrap().used(), credits(2), "the default counts what was used before");
    assert!(!plans.remove(&client("bob")), "the default is nobody's own");
}

#[tokio::test]
async fn a_plan_without_a_window_now_is_refused_and_the_old_one_stays() {
    let service = QuotaService::builder(MemoryStore::new()).with_clock(clock()).build();
    service.set_plan(&ann(), daily(2)).await.unwrap();
    let refused = service.set_plan(&ann(), out_of_range()).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::WindowOutOfRange(_)))), "{refused:?}");
    assert_eq!(service.plan(&ann()).await.unwrap().as_deref(), Some(&daily(2)));
    assert!(service.charge(&ann(), credits(2)).await.unwrap().is_allowed());

    let refused = service.set_plan(&client("new"), out_of_range()).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::WindowOutOfRange(_)))), "{refused:?}");
    assert!(is_unknown_client(&service.charge(&client("new"), Credits::ONE).await));
    assert_eq!(service.now(), noon());
}
