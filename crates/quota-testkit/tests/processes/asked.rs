//! Operations that a network fails, and how it is told whether they were done.

use std::time::Duration;

use quota_core::{Credits, Decision, Instant, OperationId, Refusal, Ttl, quarter_of};
use quota_service::{AnyStore, Charge, Clock, Holding, ManualClock, QuotaService, ServiceError, SystemClock};
use quota_testkit::past_entry;

use crate::ground::{Ground, agreed, plan};
use crate::stage::Stage;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Record,
    Hold,
    Extend,
    Release,
    Backfill,
    Plan,
    Unplan,
    Settle,
    Void,
}

/// What an answer says, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Done,
    /// Nothing was to be done: it is there already, or what it ends is not there.
    Nothing,
}

/// One client, and processes beside the one whose network fails.
pub(crate) struct Trials {
    pub(crate) stage: Stage,
    /// One that sees what is held in half an hour.
    later: QuotaService<AnyStore>,
    past: Instant,
    /// How many entries there are.
    count: usize,
}

/// Longer than [`HALF_AN_HOUR`], which a hold is not made for.
const EXTENDED: Duration = Duration::from_secs(7_200);

const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);

/// All of a backfill or nothing is added.
const ENTRIES: usize = 3;

impl Asked {
    pub(crate) const ALL: [Self; 9] = [
        Self::Record,
        Self::Hold,
        Self::Extend,
        Self::Release,
        Self::Backfill,
        Self::Plan,
        Self::Unplan,
        Self::Settle,
        Self::Void,
    ];

    /// Whether an error names an id of it.
    pub(crate) const fn has_id(self) -> bool {
        !matches!(self, Self::Backfill | Self::Plan | Self::Unplan)
    }

    /// Whether the answer says that it was done before.
    pub(crate) const fn tells_again(self) -> bool {
        !matches!(self, Self::Extend | Self::Plan | Self::Unplan)
    }

    /// Whether it ends something, of which nothing is left that could be told as done before.
    pub(crate) const fn takes_away(self) -> bool {
        matches!(self, Self::Release | Self::Void)
    }
}

impl Trials {
    pub(crate) async fn new(ground: &Ground) -> Self {
        let now = SystemClock.now();
        let past = quarter_of(now.saturating_sub(HALF_AN_HOUR));
        Self { stage: Stage::new(ground).await, later: later(ground).await, past, count: 0 }
    }

    /// With processes whose connections were not cut: in a cluster others go by the proxies as well.
    pub(crate) async fn reopen(&mut self, ground: &Ground) {
        self.stage.reopen(ground).await;
        self.later = later(ground).await;
    }

    /// Makes what it needs; gives its id.
    pub(crate) async fn begin(&mut self, asked: Asked) -> OperationId {
        self.stage.begin_round();
        let id = self.stage.id("cut");
        match asked {
            Asked::Extend | Asked::Release | Asked::Settle => assert!(!self.stage.hold(&id).await),
            Asked::Void => assert!(!self.stage.charge(&id).await),
            Asked::Record | Asked::Hold | Asked::Backfill | Asked::Plan | Asked::Unplan => {}
        }
        id
    }

    /// Asks a process for it.
    pub(crate) async fn ask(
        &self,
        service: &QuotaService<AnyStore>,
        asked: Asked,
        id: &OperationId,
    ) -> Result<Told, ServiceError> {
        let (client, charge) = (&self.stage.client, Charge::new(Credits::ONE).with_id(id.clone()));
        match asked {
            Asked::Record => Ok(told(&service.record(client, charge).await?)),
            Asked::Hold => match service.hold(client, charge, Ttl::DEFAULT).await? {
                Holding::Held(guard) => {
                    let told = told(guard.decision());
                    let _left_to_its_ttl = guard.detach();
                    Ok(told)
                }
                other => panic!("{other:?}"),
            },
            Asked::Extend => Ok(told(&service.extend(client, id, Ttl::new(EXTENDED).unwrap()).await?)),
            Asked::Settle => Ok(told(&service.settle(client, id, Credits::ONE).await?)),
            Asked::Release => match service.release(client, id).await {
                Err(ServiceError::Refused(Refusal::HoldNotActive { .. })) => Ok(Told::Nothing),
                released => Ok(told(&released?)),
            },
            Asked::Backfill => {
                let past = entries(id).into_iter().map(|id| past_entry(id.as_str(), self.past, Credits::ONE)).collect();
                let done = service.backfill(client, past).await?;
                assert!(done.conflicts.is_empty(), "{done:?}");
                Ok(told_if(all_or_none(usize::try_from(done.added).unwrap())))
            }
            Asked::Void => Ok(told_if(service.void(client, id).await?)),
            Asked::Plan => service.set_plan(client, plan(&self.limit())).await.map(|_| Told::Done),
            Asked::Unplan => service.remove_plan(client).await.map(|()| Told::Done),
        }
    }

    /// Whether all of it is there; nothing of it where it is not.
    pub(crate) async fn is_done(&self, asked: Asked, id: &OperationId) -> bool {
        let stage = &self.stage;
        match asked {
            Asked::Record => stage.known(std::slice::from_ref(id)).await == 1,
            Asked::Hold => is_one(stage.held().await),
            Asked::Extend => {
                assert!(is_one(stage.held().await), "it is gone");
                let status = stage.insist(async || self.later.status(&stage.client).await).await.unwrap();
                is_one(status.quotas().as_slice()[0].held())
            }
            Asked::Release | Asked::Settle => !is_one(stage.held().await),
            Asked::Backfill => all_or_none(stage.known(&entries(id)).await),
            Asked::Void => stage.known(std::slice::from_ref(id)).await == 0,
            Asked::Plan => self.is_other_than("unlimited", Some(&self.limit())).await,
            Asked::Unplan => self.is_other_than("unlimited", None).await,
        }
    }

    /// Ends what was done, which was done once.
    pub(crate) async fn end(&mut self, asked: Asked, id: &OperationId) {
        let stage = &self.stage;
        let left = match asked {
            Asked::Record | Asked::Settle => vec![id.clone()],
            Asked::Hold | Asked::Extend => {
                assert_eq!(stage.settle(id).await, "allowed");
                vec![id.clone()]
            }
            Asked::Backfill => entries(id),
            Asked::Release | Asked::Void => Vec::new(),
            Asked::Plan | Asked::Unplan => {
                stage.limit("unlimited").await;
                Vec::new()
            }
        };
        self.count += left.len();
        assert_eq!(stage.known(&left).await, left.len(), "it is not there");
        assert_eq!(agreed(&stage.service, &stage.client).await, self.count, "it is there more than once");
        assert!(!is_one(stage.held().await), "what has ended is held");
    }

    /// Another one each time, and more than all of them charge.
    fn limit(&self) -> String {
        (1_000_000 + self.stage.round()).to_string()
    }

    /// Whether the stored plan is the second and not the first: it is one of them.
    async fn is_other_than(&self, before: &str, after: Option<&str>) -> bool {
        let is_after = self.stage.has_limit(after).await;
        assert!(is_after || self.stage.has_limit(Some(before)).await, "a plan that nobody has set is stored");
        is_after
    }
}

async fn later(ground: &Ground) -> QuotaService<AnyStore> {
    QuotaService::builder(quota_stores::connect(ground.url()).await.expect("the store opens"))
        .with_stored_plans()
        .with_clock(ManualClock::new(SystemClock.now().saturating_add(HALF_AN_HOUR)))
        .with_max_ahead(2 * HALF_AN_HOUR)
        .with_deadline(Duration::from_secs(60))
        .build()
}

fn told(decision: &Decision) -> Told {
    match decision {
        Decision::Allowed(allowed) => told_if(!allowed.replayed()),
        other => panic!("{other:?}"),
    }
}

const fn told_if(is_done: bool) -> Told {
    if is_done { Told::Done } else { Told::Nothing }
}

/// The ids of the entries of a backfill.
fn entries(id: &OperationId) -> Vec<OperationId> {
    (0..ENTRIES).map(|number| OperationId::new(format!("{id}.{number}")).unwrap()).collect()
}

fn all_or_none(count: usize) -> bool {
    assert!([0, ENTRIES].contains(&count), "{count} of {ENTRIES}: neither all nor nothing");
    count == ENTRIES
}

/// Whether the one credit is held that a hold is of; else nothing is.
fn is_one(held: Credits) -> bool {
    assert!([Credits::ZERO, Credits::ONE].contains(&held), "{held} are held: a part of it, or twice of it");
    held == Credits::ONE
}
