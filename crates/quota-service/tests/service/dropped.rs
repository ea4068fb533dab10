//! Futures that are dropped at every point where they wait.

use std::future::{Future, poll_fn};
use std::task::Poll;

use quota_service::{Credits, Holding, QuotaService, ServiceError, Ttl};

use crate::gated::Gated;
use crate::given::{ann, charge, clock, credits, daily, held, is_replayed, used};
use crate::told::Told;

/// What happens while a future is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Poll,
    /// The source of plans answers.
    Plan,
    /// The lane gets to run.
    Run,
    /// The store lets one batch pass.
    Pass,
}

/// A hold and its settlement wait for the plan, in the queue and in the store, one after the other.
const STEPS: [Step; 12] = [
    Step::Poll,
    Step::Plan,
    Step::Poll,
    Step::Run,
    Step::Pass,
    Step::Run,
    Step::Poll,
    Step::Run,
    Step::Pass,
    Step::Run,
    Step::Poll,
    Step::Run,
];

struct World {
    store: Gated,
    source: Told,
    service: QuotaService<Gated>,
}

impl World {
    fn new() -> Self {
        let (store, source) = (Gated::batched(), Told::new());
        source.set(ann(), daily(100));
        source.wait(true);
        store.close();
        let service = QuotaService::builder(store.clone()).with_plan_source(source.clone()).with_clock(clock()).build();
        Self { store, source, service }
    }

    /// Takes these steps and drops the future; true if it ended before.
    async fn drop_after(&self, steps: &[Step], future: impl Future<Output = Result<(), ServiceError>>) -> bool {
        let mut future = Box::pin(future);
        let mut ended = false;
        for step in steps {
            match step {
                Step::Poll if !ended => {
                    let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
                    if let Poll::Ready(answer) = polled {
                        answer.unwrap();
                        ended = true;
                    }
                }
                Step::Poll => {}
                Step::Plan => self.source.wait(false),
                Step::Run => {
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Pass => self.store.pass_one(),
            }
        }
        ended
    }

    /// Lets everything run to its end.
    async fn settle_down(&self) {
        self.source.wait(false);
        self.store.open();
        // The second follows whatever the first one's batch has set free.
        for _ in 0..2 {
            used(&self.service, &ann()).await;
        }
    }
}

#[tokio::test]
async fn a_hold_and_its_settlement_dropped_anywhere_leave_nothing_held() {
    let mut costs = Vec::new();
    for count in 0..=STEPS.len() {
        let world = World::new();
        let work = async {
            let holding = world.service.hold(&ann(), charge(60, "a"), Ttl::DEFAULT).await?;
            let Holding::Held(guard) = holding else { panic!("{holding:?}") };
            guard.settle(credits(5)).await.map(drop)
        };
        let ended = world.drop_after(&STEPS[..count], work).await;
        world.settle_down().await;
        assert_eq!(held(&world.service, &ann()).await, Credits::ZERO, "after {:?}", &STEPS[..count]);
        let cost = world.store.ledger(&ann()).await;
        assert!(cost == Credits::ZERO || cost == credits(5), "{cost} after {:?}", &STEPS[..count]);
        assert!(!ended || cost == credits(5), "what was answered is stored");
        costs.push(cost);
    }
    assert!(costs.is_sorted(), "once it is sent it stands: {costs:?}");
    assert_eq!((costs[0], costs[STEPS.len()]), (Credits::ZERO, credits(5)));
}

#[tokio::test]
async fn a_charge_dropped_anywhere_is_done_once_or_not_at_all_and_a_retry_finds_out() {
    let mut replays = Vec::new();
    for count in 0..=STEPS.len() {
        let world = World::new();
        let work = async { world.service.charge_with(&ann(), charge(5, "a")).await.map(drop) };
        let ended = world.drop_after(&STEPS[..count], work).await;
        world.settle_down().await;
        let before = world.store.ledger(&ann()).await;
        let replayed = is_replayed(&world.service.charge_with(&ann(), charge(5, "a")).await.unwrap());
        assert_eq!(replayed, before == credits(5), "after {:?}", &STEPS[..count]);
        assert!(!ended || replayed, "what was answered is stored");
        assert_eq!(world.store.ledger(&ann()).await, credits(5));
        replays.push(replayed);
    }
    assert!(replays.is_sorted(), "once it is sent it stands: {replays:?}");
    assert!(!replays[0] && replays[STEPS.len()]);
}
