//! What one process sees of another's work.

use quota_core::{GroupBy, Label};
use quota_service::{Charge, ClientsQuery, UsageStore};

use super::concurrency::all;
use crate::{Harness, StoreFactory, Subject, credits, minutes, per_day, scale};

pub async fn an_answer_reflects_what_another_process_was_answered_before<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("1000000")]).await;
    for round in 1..=scale(20, 500) {
        let (writer, reader) = (&handles[round % 2], &handles[(round + 1) % 2]);
        assert_eq!(writer.charge_as(&format!("i{round}"), "1").await, "allowed");
        let sum = round.to_string();
        assert_eq!((reader.total().await, reader.used().await), (sum.clone(), sum.clone()));
        let days = reader.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
        assert_eq!(days, [("2024-03-15".into(), sum, u64::try_from(round).unwrap())]);
    }
}

/// What is done to a client: ids, instants, credits.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Plan(&'static str),
    Charge(&'static str, &'static str),
    Hold(&'static str, &'static str),
    Release(&'static str),
    Settle(&'static str, &'static str),
    Void(&'static str),
    Backfill(&'static str, &'static str, &'static str),
    Delete(&'static str, &'static str),
}

/// What is to be seen of a client.
#[derive(Debug)]
struct Sight {
    used: &'static str,
    held: &'static str,
    /// A whole number.
    remaining: &'static str,
    total: &'static str,
    days: &'static [(&'static str, &'static str, u64)],
    ids: &'static [&'static str],
}

const NOTHING: Sight = Sight { used: "0", held: "0", remaining: "10", total: "0", days: &[], ids: &[] };
const CHARGED: Sight =
    Sight { used: "3", remaining: "7", total: "3", days: &[("2024-03-15", "3", 1)], ids: &["a"], ..NOTHING };
const SETTLED: Sight =
    Sight { used: "4", remaining: "6", total: "4", days: &[("2024-03-15", "4", 2)], ids: &["a", "s"], ..NOTHING };
const VOIDED: Sight =
    Sight { used: "1", remaining: "9", total: "1", days: &[("2024-03-15", "1", 1)], ids: &["s"], ..NOTHING };
const YESTERDAY_TOO: &[(&str, &str, u64)] = &[("2024-03-14", "2", 1), ("2024-03-15", "1", 1)];
const BACKFILLED: Sight = Sight { total: "3", days: YESTERDAY_TOO, ids: &["past", "s"], ..VOIDED };
const BACKFILLED_TODAY: Sight = Sight {
    used: "6",
    remaining: "4",
    total: "8",
    days: &[("2024-03-14", "2", 1), ("2024-03-15", "6", 2)],
    ids: &["past", "s", "today"],
    ..NOTHING
};

const STORY: [(Deed, Sight); 11] = [
    (Deed::Plan("10"), NOTHING),
    (Deed::Charge("a", "3"), CHARGED),
    (Deed::Hold("h", "4"), Sight { held: "4", remaining: "3", ..CHARGED }),
    (Deed::Release("h"), CHARGED),
    (Deed::Hold("s", "7"), Sight { held: "7", remaining: "0", ..CHARGED }),
    (Deed::Settle("s", "1"), SETTLED),
    (Deed::Void("a"), VOIDED),
    (Deed::Backfill("past", "2024-03-14T12:00:00Z", "2"), BACKFILLED),
    (Deed::Backfill("today", "2024-03-15T11:00:00Z", "5"), BACKFILLED_TODAY),
    (Deed::Delete("2024-03-15T11:00:00Z", "2024-03-15T11:15:00Z"), BACKFILLED),
    (Deed::Plan("5"), Sight { remaining: "4", ..BACKFILLED }),
];

async fn act<S: UsageStore>(client: &Subject<S>, deed: Deed) {
    match deed {
        Deed::Plan(limit) => drop(client.plan(&[per_day(limit)]).await),
        Deed::Charge(id, amount) => assert_eq!(client.charge_as(id, amount).await, "allowed"),
        Deed::Hold(id, amount) => assert_eq!(client.hold(id, amount, minutes(5)).await, "allowed"),
        Deed::Release(id) => assert_eq!(client.release(id).await, "allowed"),
        Deed::Settle(id, cost) => assert_eq!(client.settle(id, cost).await, "allowed"),
        Deed::Void(id) => assert!(client.void(id).await),
        Deed::Backfill(id, at, amount) => assert_eq!(client.backfill(&[(id, at, amount)]).await.added, 1),
        Deed::Delete(from, to) => assert_eq!(client.delete(from, to).await, 1),
    }
}

/// Asks in every way there is.
async fn look<F: StoreFactory>(harness: &Harness<F>, client: &Subject<F::Store>, sight: &Sight, after: &str) {
    // First, for a status would tell a process what it does not know.
    let a_millionth_more = format!("{}.000001", sight.remaining);
    assert_eq!(client.charge(&a_millionth_more).await, "denied", "{after}");
    let stands = [sight.used, sight.held, sight.remaining].map(str::to_owned);
    assert_eq!(<[String; 3]>::from(client.stands().await), stands, "{after}");
    assert_eq!(client.total().await, sight.total, "{after}");
    let days = client.days("2024-03-14T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
    let days: Vec<_> = days.iter().map(|(day, sum, entries)| (day.as_str(), sum.as_str(), *entries)).collect();
    assert_eq!(days, sight.days, "{after}");
    if harness.keeps_entries().await {
        assert_eq!(client.ids().await, sight.ids, "{after}");
    }
    let query = ClientsQuery { prefix: client.client().to_string(), after: None, limit: 10 };
    assert_eq!(client.service().clients(query).await.unwrap(), [client.client().clone()], "{after}");
}

pub async fn whatever_one_process_does_the_other_sees_at_once<F: StoreFactory>(harness: &Harness<F>) {
    let services = [harness.service().await, harness.service().await];
    for round in 0..scale(2, 50) {
        let name = format!("c{round}");
        let handles = services.each_ref().map(|service| harness.subject_of(service, &name));
        for (number, (deed, sight)) in STORY.iter().enumerate() {
            let writer = (round + number) % 2;
            act(&handles[writer], *deed).await;
            look(harness, &handles[1 - writer], sight, &format!("{name} after {deed:?}")).await;
        }
    }
}

pub async fn labels_that_come_at_once_are_64_in_sums<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("1000")]).await;
    let outcomes = all(80, |number| {
        let client = handles[number % 2].clone();
        let label = Label::new(format!("label {number:02}")).unwrap();
        async move { client.charge_with(Charge::new(credits("1")).with_label(label)).await }
    })
    .await;
    assert!(outcomes.iter().all(|outcome| *outcome == "allowed"), "{outcomes:?}");
    let (from, to) = ("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z");
    let days = handles[0].days_by(from, to, "UTC", GroupBy::DayAndLabel).await;
    let counted: Vec<_> = days.iter().map(|day| (day.label.is_some(), day.entries)).collect();
    let mut expected = vec![(true, 1); 65];
    expected[0] = (false, 16);
    assert_eq!(counted, expected);
    assert!(days.iter().all(|day| day.credits.whole() == day.entries), "{days:?}");
    for client in &handles {
        assert_eq!(client.days_by(from, to, "UTC", GroupBy::DayAndLabel).await, days);
        assert_eq!((client.used().await, client.total().await), ("80".into(), "80".into()));
    }
}
