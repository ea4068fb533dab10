//! Requests, and what the tests ask of their answers.

use std::sync::Arc;

use quota_core::{
    Anchor, Answer, ClientId, Credits, Decision, EntryId, Instant, Limit, Operation, OperationId, Period, Plan,
    PlanCheck, Quota, Tz,
};
use quota_service::{PlanStamp, PlanView, Request, StoreError, UsageStore};

pub(crate) type Answered = Result<Answer, StoreError>;

pub(crate) fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

pub(crate) fn noon() -> Instant {
    "2024-03-15T12:00:00Z".parse().unwrap()
}

pub(crate) fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

/// A plan of one quota a year.
pub(crate) fn per_year(limit: &str) -> Arc<Plan> {
    let anchor = Anchor::new("2020-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
    Arc::new(Plan::new([Quota::new(Period::YEAR, Limit::Finite(credits(limit)), anchor)]).unwrap())
}

pub(crate) fn request(name: &str, operation: Operation, limit: &str) -> Request {
    let stamp = PlanStamp::lasting(0);
    let plan = PlanView { plan: Some(per_year(limit)), check: PlanCheck::Any, stamp };
    Request { client: client(name), operation, at: noon(), asked: noon(), plan }
}

pub(crate) fn charge(cost: &str) -> Operation {
    Operation::Charge { credits: credits(cost), id: EntryId::Absent, label: None }
}

pub(crate) fn charge_as(id: &str, cost: &str) -> Operation {
    let id = EntryId::Given(OperationId::new(id).unwrap());
    Operation::Charge { credits: credits(cost), id, label: None }
}

pub(crate) async fn one(store: &impl UsageStore, request: Request) -> Answered {
    store.apply(vec![request]).await.remove(0)
}

pub(crate) fn allowed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(_))) => true,
        Ok(Answer::Decision(Decision::Denied(_))) => false,
        other => panic!("no decision: {other:?}"),
    }
}

/// What the only quota of a decision or a status says is used.
pub(crate) fn used(answer: &Answered) -> String {
    let quotas = match answer {
        Ok(Answer::Decision(decision)) => decision.quotas().unwrap(),
        Ok(Answer::Status(status)) => status.quotas(),
        other => panic!("no quotas: {other:?}"),
    };
    quotas.as_slice()[0].used().to_string()
}

pub(crate) fn is_not_done(answer: &Answered) -> bool {
    matches!(answer, Err(StoreError::NotDone { .. }))
}
