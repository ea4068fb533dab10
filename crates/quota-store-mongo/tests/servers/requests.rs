//! Requests, and what the tests ask of their answers.

use std::error::Error;
use std::sync::Arc;

use quota_core::{
    Anchor, Answer, ClientId, Credits, Decision, EntryId, Instant, Limit, Operation, OperationId, PastEntry, Period,
    Plan, PlanCheck, Quota, Tz, Window,
};
use quota_service::{PlanStamp, PlanView, Request, StoreError, UsageStore};

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

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

/// An error as anybody may log it.
pub(crate) fn shown(error: &dyn Error) -> String {
    let mut text = format!("{error:?} {error:#?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

pub(crate) fn void(id: &str) -> Operation {
    Operation::Void { id: OperationId::new(id).unwrap(), at: None }
}

pub(crate) fn delete(range: Window) -> Operation {
    Operation::Delete { range }
}

/// So many milliseconds after noon.
pub(crate) fn after_noon(millis: i64) -> Instant {
    Instant::from_millis(noon().millis() + millis).unwrap()
}

/// A batch of one, a while after noon.
pub(crate) async fn one_at(store: &impl UsageStore, name: &str, operation: Operation, millis: i64) -> Answered {
    one(store, Request { at: after_noon(millis), ..request(name, operation, "1000") }).await
}

/// Past usage, all of it one credit, at these milliseconds after noon; told the day after.
pub(crate) fn backfill(entries: impl IntoIterator<Item = (String, i64)>) -> Operation {
    let past = |(id, millis): (String, i64)| PastEntry {
        id: OperationId::new(id).unwrap(),
        at: after_noon(millis),
        credits: Credits::ONE,
        label: None,
    };
    Operation::Backfill { entries: entries.into_iter().map(past).collect(), not_after: after_noon(DAY) }
}
