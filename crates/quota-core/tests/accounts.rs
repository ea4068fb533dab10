//! The worked scenarios, on the smallest store.

mod support;

use std::collections::HashMap;

use quota_core::{
    Anchor, Answer, ClientId, Credits, Days, Decision, EntryId, GroupBy, Instant, Operation, OperationId, PastEntry,
    Plan, PlanVersion, Quota, Stop, Ttl, Window, zone,
};
use serde::Deserialize;
use serde_json::{Value, json};
use support::ListStore;

fn text<'a>(step: &'a Value, member: &str) -> &'a str {
    step[member].as_str().unwrap()
}

fn range(step: &Value) -> Window {
    Window::new(text(step, "from").parse().unwrap(), text(step, "to").parse().unwrap()).unwrap()
}

fn credits(step: &Value) -> Credits {
    text(step, "credits").parse().unwrap()
}

fn id(step: &Value) -> OperationId {
    text(step, "id").parse().unwrap()
}

fn entry_id(step: &Value) -> EntryId {
    step["id"].as_str().map_or(EntryId::Absent, |id| EntryId::Given(id.parse().unwrap()))
}

fn ttl(step: &Value) -> Ttl {
    Ttl::new(std::time::Duration::from_millis(step["ttl_ms"].as_u64().unwrap())).unwrap()
}

#[derive(Deserialize)]
struct Past {
    id: OperationId,
    at: Instant,
    credits: Credits,
}

fn operation(step: &Value) -> Option<Operation> {
    Some(match text(step, "op") {
        "charge" => Operation::Charge { credits: credits(step), id: entry_id(step), label: None },
        "record" => Operation::Record { credits: credits(step), id: entry_id(step), label: None },
        "hold" => {
            Operation::Hold { credits: credits(step), id: entry_id(step), ttl: ttl(step), label: None, asker: None }
        }
        "extend" => Operation::Extend { id: id(step), ttl: ttl(step), at: None, at_least: false },
        "settle" => Operation::Settle { id: id(step), credits: credits(step) },
        "release" => Operation::Release { id: id(step), at: None, asker: None },
        "void" => Operation::Void { id: id(step), at: None },
        "status" => Operation::Status,
        "delete" => Operation::Delete { range: range(step) },
        "backfill" => {
            let entries: Vec<Past> = serde_json::from_value(step["entries"].clone()).unwrap();
            let past = |entry: Past| PastEntry { id: entry.id, at: entry.at, credits: entry.credits, label: None };
            Operation::Backfill { entries: entries.into_iter().map(past).collect(), not_after: Instant::MAX }
        }
        _ => return None,
    })
}

fn answer(store: &mut ListStore, step: &Value) -> Value {
    let at: Instant = text(step, "at").parse().unwrap();
    match text(step, "op") {
        "plan" => set_plan(store, step, at),
        "unplan" => {
            store.plan = None;
            json!({})
        }
        "total" => json!({ "credits": store.sum(range(step)) }),
        "daily" => {
            let mut days = Days::new(range(step), zone(text(step, "tz")).unwrap(), GroupBy::Day);
            for entry in &store.entries {
                days.add_entry(entry.at, entry.credits, entry.label.clone());
            }
            json!({ "days": days.finish() })
        }
        _ => match store.run(&operation(step).unwrap(), at) {
            Ok(Answer::Decision(Decision::Allowed(allowed))) => json!(allowed),
            Ok(Answer::Decision(Decision::Denied(denied))) => json!(denied),
            Ok(Answer::Status(status)) => json!(status),
            Ok(Answer::Voided(voided)) => json!({ "voided": voided }),
            Ok(Answer::Deleted(deleted)) => json!({ "deleted": deleted }),
            Ok(Answer::Backfilled(done)) => {
                json!({ "added": done.added, "skipped": done.skipped, "conflicts": done.conflicts })
            }
            Err(Stop::Refused(refusal)) => json!({ "error": refusal.code() }),
            other => panic!("{other:?}"),
        },
    }
}

fn set_plan(store: &mut ListStore, step: &Value, at: Instant) -> Value {
    let quotas: Vec<Quota> = serde_json::from_value(step["quotas"].clone()).unwrap();
    let Ok(plan) = Plan::new(quotas) else { return json!({ "error": "duplicate_period" }) };
    store.plan = Some(plan.clone());
    let version = PlanVersion::new(std::num::NonZeroU64::MIN);
    match store.run(&Operation::SetPlan { plan: plan.into(), version }, at) {
        Ok(Answer::Status(status)) => json!({ "quotas": status.quotas() }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn worked_scenarios_hold() {
    let mut count = 0;
    for line in include_str!("vectors/accounts.jsonl").lines() {
        let scenario: Value = serde_json::from_str(line).unwrap();
        let mut stores: HashMap<ClientId, ListStore> = HashMap::new();
        for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            let client = text(step, "client").parse().unwrap();
            let store = stores.entry(client).or_default();
            let document = store.account.to_document();
            store.account = quota_core::Account::from_document(&document).unwrap();
            assert_eq!(answer(store, step), step["expect"], "{} step {number}: {step}", scenario["name"]);
        }
        count += 1;
    }
    assert_eq!(count, 200);
}

#[test]
fn windows_of_another_time_zone_database_are_asked_anew() {
    let anchor = Anchor::in_zone("2024-01-01T00:00:00Z".parse().unwrap(), "Europe/Berlin").unwrap();
    let quota = Quota::new(quota_core::Period::DAY, quota_core::Limit::Unlimited, anchor);
    let mut store = ListStore { plan: Some(Plan::new([quota]).unwrap()), ..ListStore::default() };
    let at = "2024-03-01T12:00:00Z".parse().unwrap();
    let charge = Operation::Charge { credits: Credits::ONE, id: EntryId::Absent, label: None };
    store.run(&charge, at).unwrap();
    let own = chrono_tz::IANA_TZDB_VERSION;
    let shifted = store
        .account
        .to_document()
        .replace(own, "1999z")
        .replace("1709251200000,1709337600000,1000000", "1709247600000,1709334000000,7000000");
    assert!(shifted.contains("7000000"));
    store.account = quota_core::Account::from_document(&shifted).unwrap();
    let Ok(Answer::Status(status)) = store.run(&Operation::Status, at) else { panic!() };
    let day = status.quotas().iter().next().unwrap();
    assert_eq!((day.used(), day.window().start()), (Credits::ONE, "2024-03-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_document_of_a_newer_format_is_refused() {
    let newer = quota_core::Account::new().to_document().replace("\"format\":1", "\"format\":2");
    let error = quota_core::Account::from_document(&newer).unwrap_err();
    assert_eq!(error, quota_core::DocumentError::Newer { found: 2, known: 1 });
    let other = quota_core::Account::from_document(r#"{"format":3,"all":"else"}"#).unwrap_err();
    assert_eq!(other, quota_core::DocumentError::Newer { found: 3, known: 1 });
    assert!(quota_core::Account::from_document("{}").is_err());
}

/// It would be counted twice and ended once.
#[test]
fn a_document_that_holds_one_id_twice_is_damaged() {
    let mut store = ListStore { plan: Some(Plan::default()), ..ListStore::default() };
    let id = EntryId::Given("h".parse().unwrap());
    let hold = Operation::Hold { credits: Credits::ONE, id, ttl: Ttl::DEFAULT, label: None, asker: None };
    store.run(&hold, "2024-03-01T12:00:00Z".parse().unwrap()).unwrap();
    let document: Value = serde_json::from_str(&store.account.to_document()).unwrap();
    let mut twice = document.clone();
    let held = document["holds"][0].clone();
    twice["holds"].as_array_mut().unwrap().push(held);
    quota_core::Account::from_document(&document.to_string()).unwrap();
    let error = quota_core::Account::from_document(&twice.to_string()).unwrap_err();
    assert!(matches!(error, quota_core::DocumentError::Malformed(_)), "{error:?}");
}
