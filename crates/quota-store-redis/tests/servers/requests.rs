//! Requests, and what the tests ask of their answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use quota_core::{
    Anchor, Answer, ClientId, Credits, Decision, EntryId, Limit, Operation, OperationId, Period, Plan, PlanCheck,
    Quota, Tz, Window,
};
use quota_service::{EntriesQuery, PlanStamp, PlanView, Request, StoreError, UsageStore};
use quota_store_redis::RedisStore;

pub(crate) type Answered = Result<Answer, StoreError>;

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// More than any test charges.
pub(crate) const PLENTY: &str = "1000000";

pub(crate) fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
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
    let at = "2024-03-15T12:00:00Z".parse().unwrap();
    Request { client: client(name), operation, at, asked: at, plan }
}

pub(crate) fn charge(cost: &str) -> Operation {
    Operation::Charge { credits: credits(cost), id: EntryId::Absent, label: None }
}

pub(crate) fn charge_as(id: &str, cost: &str) -> Operation {
    let id = EntryId::Given(OperationId::new(id).unwrap());
    Operation::Charge { credits: credits(cost), id, label: None }
}

/// An id as a service makes them for who gave none: of a block, by its last digit.
pub(crate) fn made_of(block: &str, last: char) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let random = block.bytes().fold(0_u64, |sum, byte| sum.rotate_left(8) ^ u64::from(byte));
    let mut rest = uuid::Builder::from_unix_timestamp_millis(1_710_500_000_000, &[0; 10]).into_uuid().as_u128();
    rest ^= u128::from(random & 0xff_ffff_ffff_ffff);
    let mut digits = [0; 21];
    for digit in digits.iter_mut().rev() {
        (*digit, rest) = (DIGITS[usize::try_from(rest % 62).unwrap()], rest / 62);
    }
    format!("{}{last}", std::str::from_utf8(&digits).unwrap())
}

pub(crate) async fn one(store: &RedisStore, request: Request) -> Answered {
    store.apply(vec![request]).await.remove(0)
}

/// Charges one credit of plenty.
pub(crate) async fn charge_one(store: &RedisStore, name: &str, id: &str) -> Answered {
    one(store, request(name, charge_as(id, "1"), PLENTY)).await
}

pub(crate) fn allowed(answer: &Answered) -> bool {
    match answer {
        Ok(Answer::Decision(Decision::Allowed(_))) => true,
        Ok(Answer::Decision(Decision::Denied(_))) => false,
        other => panic!("no decision: {other:?}"),
    }
}

/// Lets a store put what it has added to its keys: where something is taken out, it is there.
pub(crate) async fn put_in_place(store: &RedisStore, name: &str, quarters: u32) {
    let void = Operation::Void { id: OperationId::new("nobody's").unwrap(), at: None };
    let answer = one(store, at_quarter(request(name, void, PLENTY), quarters)).await;
    assert!(matches!(answer, Ok(Answer::Voided(false))), "{answer:?}");
}

/// The same, so many quarters of an hour later: what was added before stands in its day's key then.
pub(crate) async fn charge_later(store: &RedisStore, name: &str, id: &str, quarters: u32) -> Answered {
    one(store, at_quarter(request(name, charge_as(id, "1"), PLENTY), quarters)).await
}

pub(crate) fn at_quarter(request: Request, quarters: u32) -> Request {
    Request { at: request.at.saturating_add(QUARTER.saturating_mul(quarters)), ..request }
}

/// What the only quota of a decision or a status says is used.
pub(crate) fn used(answer: &Answered) -> Credits {
    let quotas = match answer {
        Ok(Answer::Decision(decision)) => decision.quotas().unwrap(),
        Ok(Answer::Status(status)) => status.quotas(),
        other => panic!("no quotas: {other:?}"),
    };
    quotas.as_slice()[0].used()
}

pub(crate) fn is_not_done(answer: &Answered) -> bool {
    matches!(answer, Err(StoreError::NotDone { .. }))
}

pub(crate) fn is_unknown(answer: &Answered) -> bool {
    matches!(answer, Err(StoreError::Unknown { .. }))
}

/// Waits until a client has used so much in all.
pub(crate) async fn wait_for_total(store: &RedisStore, name: &str, wanted: &str) {
    while !matches!(store.total(&client(name), Window::ALL).await, Ok(total) if total == credits(wanted)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a client has used: as a decision sees it, as its quarters' sums and as its entries have it, all the same, and no
/// id twice.
pub(crate) async fn agreed_usage(store: &RedisStore, name: &str) -> Credits {
    let status = one(store, request(name, Operation::Status, PLENTY)).await;
    let total = store.total(&client(name), Window::ALL).await.unwrap();
    assert_eq!(used(&status), total, "{name}");
    if store.detail() == quota_core::Detail::Entries {
        let (mut sum, mut ids, mut after) = (Credits::ZERO, BTreeSet::new(), None);
        loop {
            let query = EntriesQuery { range: Window::ALL, after, limit: 1_000 };
            let page = store.entries(&client(name), &query).await.unwrap();
            for entry in page.entries {
                sum = sum.checked_add(entry.credits).unwrap();
                assert!(entry.id.is_none_or(|id| ids.insert(id)), "an id is there twice");
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sum, total, "{name}");
    }
    total
}
