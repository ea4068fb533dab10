//! Names and amounts are kept as they are.

use quota_core::{Answer, DayUsage, EntryId, GroupBy, Limit, Operation, Plan, Quota, Refusal, Tz, Window};
use quota_service::{ClientsQuery, DailyQuery, EntriesQuery, StoreError, UsageStore};

use crate::collections::run;
use crate::requests::{allowed, charge_as, client, credits, one, per_year, request};

/// Names that are different, whatever a collation, a parser or a format thinks.
const NAMES: [&str; 22] = [
    "client",
    "Client",
    "CLIENT",
    "cliènt",
    "clie\u{300}nt",
    "client ",
    " client",
    "cli%nt",
    "cli'nt",
    "cli\"nt",
    "cli\\nt",
    "cli\\\\nt",
    "$client",
    "$ne",
    "cli.nt",
    ".client",
    "cli{nt",
    "cli}nt",
    "cli:nt",
    "{\"$gt\": \"\"}",
    "^client$",
    "client\u{10ffff}",
];

#[test]
fn names_that_differ_in_any_byte_are_apart() {
    run(async |collections| {
        let store = collections.store().await;
        let long = "é".repeat(127);
        let names: Vec<&str> = NAMES.into_iter().chain([long.as_str()]).collect();
        let ids = |name: &str| names.iter().map(|id| request(name, charge_as(id, "2"), "100")).collect::<Vec<_>>();
        for answer in store.apply(names.iter().flat_map(|name| ids(name)).collect()).await {
            assert!(allowed(&answer));
        }
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let sum = (2 * names.len()).to_string();
        for name in &names {
            assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits(&sum), "{name:?}");
            let query = EntriesQuery { range: Window::ALL, after: None, limit: 100 };
            let page = store.entries(&client(name), &query).await.unwrap();
            let mut found: Vec<_> = page.entries.iter().map(|entry| entry.id.as_ref().unwrap().to_string()).collect();
            found.sort();
            assert_eq!(found, sorted, "{name:?}");
        }
        let query = ClientsQuery { limit: 100, ..ClientsQuery::default() };
        let clients: Vec<String> = store.clients(&query).await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(clients, sorted);
    });
}

#[test]
fn amounts_are_exact_at_64_bits() {
    run(async |collections| {
        let store = collections.store().await;
        let quotas = per_year("1");
        let quotas = quotas.quotas().iter().map(|quota| Quota::new(quota.period(), Limit::Unlimited, quota.anchor()));
        let plan = std::sync::Arc::new(Plan::new(quotas).unwrap());
        let ask = |cost: &str, id: &str| {
            let id = EntryId::Given(quota_core::OperationId::new(id).unwrap());
            let mut request = request("a", Operation::Charge { credits: credits(cost), id, label: None }, "1");
            request.plan.plan = Some(std::sync::Arc::clone(&plan));
            request
        };
        // The greatest sum, in two odd parts.
        for (cost, id) in [("9223372036854.775806", "h"), ("0.000001", "i")] {
            assert!(allowed(&one(&store, ask(cost, id)).await));
        }
        let other = collections.store().await;
        let over = one(&other, ask("0.000001", "j")).await;
        assert!(matches!(over, Err(StoreError::Refused(Refusal::Overflow))), "{over:?}");
        assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap().to_string(), "9223372036854.775807");
        let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
        let days: Vec<DayUsage> = other.daily(&client("a"), &query).await.unwrap();
        assert_eq!(days[0].credits.to_string(), "9223372036854.775807");
        let voided = one(&other, request("a", crate::requests::void("h"), "1")).await;
        assert!(matches!(voided, Ok(Answer::Voided(true))), "{voided:?}");
        assert_eq!(other.total(&client("a"), Window::ALL).await.unwrap().to_string(), "0.000001");
    });
}
