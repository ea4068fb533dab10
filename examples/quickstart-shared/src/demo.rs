//! A month of plausible usage, so that the first look at the page shows something.

use fastrand::Rng;
use quota_service::{
    Anchor, ClientId, Credits, Instant, Label, Limit, OperationId, PastEntry, Period, Plan, Quota, QuotaService, Tz,
    UsageStore,
};

const DAY_MILLIS: i64 = 86_400_000;
const DAYS: i64 = 35;

/// A client that has been at work for a while.
struct Customer {
    id: &'static str,
    tz: Tz,
    /// The beginning of 2022 there.
    anchor: &'static str,
    day: u32,
    month: u32,
    /// Requests on a working day, about.
    requests: u32,
}

const CUSTOMERS: [Customer; 3] = [
    Customer { id: "client1", tz: Tz::UTC, anchor: "2022-01-01T00:00:00Z", day: 500, month: 10_000, requests: 120 },
    Customer {
        id: "acme",
        tz: Tz::Europe__Berlin,
        anchor: "2021-12-31T23:00:00Z",
        day: 900,
        month: 12_000,
        requests: 190,
    },
    Customer {
        id: "hobby",
        tz: Tz::America__New_York,
        anchor: "2022-01-01T05:00:00Z",
        day: 60,
        month: 800,
        requests: 12,
    },
];

/// What the routes cost, and how often each of them is called.
const ROUTES: [(&str, u32, u32); 3] =
    [("/api/fetch-data", 1_000_000, 6), ("/api/fetch-expensive-data", 5_000_000, 2), ("/api/compute", 2_500_000, 1)];

/// `client1` as without a demonstration, a larger client and a small one.
pub(crate) fn plans() -> anyhow::Result<Vec<(ClientId, Plan)>> {
    let mut plans = Vec::new();
    for customer in CUSTOMERS {
        let anchor = Anchor::new(customer.anchor.parse()?, customer.tz);
        let finite = |credits: u32| anyhow::Ok(Limit::Finite(Credits::new(credits.into())?));
        let day = Quota::new(Period::DAY, finite(customer.day)?, anchor);
        let month = Quota::new(Period::MONTH, finite(customer.month)?, anchor);
        plans.push((ClientId::new(customer.id)?, Plan::new([day, month])?));
    }
    Ok(plans)
}

/// Fills in what is not there yet: a day is made of the same entries whenever it is made.
pub(crate) async fn fill<S: UsageStore>(service: &QuotaService<S>) -> anyhow::Result<()> {
    let now = service.now();
    let today = now.millis().div_euclid(DAY_MILLIS);
    for customer in CUSTOMERS {
        let client = ClientId::new(customer.id)?;
        for day in today - DAYS..=today {
            let entries = customer.entries(day, now)?;
            if !entries.is_empty() {
                service.backfill(&client, entries).await?;
            }
        }
        if let Some(cost) = more_than_ever(service.plan(&client).await?.as_deref()) {
            // A refusal, for operators to look at.
            let _ = service.charge(&client, cost).await?;
        }
    }
    Ok(())
}

/// A credit more than the smallest limit of a plan, which operators may have changed; none where nothing is too much.
fn more_than_ever(plan: Option<&Plan>) -> Option<Credits> {
    let limits = plan?.quotas().iter().filter_map(|quota| quota.limit().credits());
    limits.min()?.checked_add(Credits::ONE)
}

impl Customer {
    /// One day's, as far as it has gone by.
    fn entries(&self, day: i64, now: Instant) -> anyhow::Result<Vec<PastEntry>> {
        let seed =
            self.id.bytes().fold(day.unsigned_abs(), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = Rng::with_seed(seed);
        // 1970-01-01 was a Thursday.
        let is_weekend = matches!((day + 3).rem_euclid(7), 5 | 6);
        let usual = if is_weekend { self.requests / 4 } else { self.requests };
        let mut entries = Vec::new();
        for number in 0..random.u32(usual / 2..=usual + usual / 4) {
            // Mostly in the middle of the day.
            let at = day * DAY_MILLIS + (random.i64(0..DAY_MILLIS) + random.i64(0..DAY_MILLIS)) / 2;
            let (route, micros) = some_route(&mut random);
            let at = Instant::from_millis(at)?;
            if at < now {
                let id = OperationId::new(format!("demo-{day}-{number}"))?;
                let credits = Credits::from_micros(micros.into())?;
                entries.push(PastEntry { id, at, credits, label: Some(Label::new(route)?) });
            }
        }
        Ok(entries)
    }
}

fn some_route(random: &mut Rng) -> (&'static str, u32) {
    let mut left = random.u32(0..ROUTES.iter().map(|(_, _, often)| often).sum());
    for (route, micros, often) in ROUTES {
        if left < often {
            return (route, micros);
        }
        left -= often;
    }
    ("/api/generate", 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quota_service::{DailyQuery, GroupBy, ManualClock, PlanRegistry, Window};
    use quota_store_memory::MemoryStore;

    use super::*;

    fn registry() -> PlanRegistry {
        plans().unwrap().into_iter().fold(PlanRegistry::new(), |registry, (client, plan)| registry.with(client, plan))
    }

    #[tokio::test]
    async fn a_demonstration_fills_a_month_once_and_leaves_something() {
        let clock = std::sync::Arc::new(ManualClock::new("2024-03-15T12:00:00Z".parse().unwrap()));
        let store = MemoryStore::with_entries();
        let service = QuotaService::builder(store).with_registry(registry()).with_clock(clock).build();
        let mut seen = Vec::new();
        for _ in 0..2 {
            fill(&service).await.unwrap();
            let mut used = Vec::new();
            for customer in CUSTOMERS {
                let status = service.status(&ClientId::new(customer.id).unwrap()).await.unwrap();
                for quota in status.quotas() {
                    assert!(
                        !quota.used().is_zero() && quota.limit().credits() >= Some(quota.used()),
                        "{}: {status:?}",
                        customer.id
                    );
                    used.push(quota.used());
                }
            }
            seen.push(used);
        }
        assert_eq!(seen[0], seen[1], "what is there is not filled in again");
    }

    #[tokio::test]
    async fn a_demonstration_starts_again_whatever_operators_have_made_of_its_plans() {
        let clock = std::sync::Arc::new(ManualClock::new("2024-03-15T12:00:00Z".parse().unwrap()));
        let store = MemoryStore::with_entries();
        let service = QuotaService::builder(store).with_stored_plans().with_clock(clock).with_denials(20).build();
        for (client, plan) in plans().unwrap() {
            service.set_plan(&client, plan).await.unwrap();
        }
        fill(&service).await.unwrap();
        let raised = |limit| {
            let anchor = Anchor::new("2022-01-01T00:00:00Z".parse().unwrap(), Tz::UTC);
            Plan::new([Quota::new(Period::MONTH, limit, anchor)]).unwrap()
        };
        let client = ClientId::new("client1").unwrap();
        let five_thousand = Limit::Finite(Credits::new(5_000).unwrap());
        for (limit, denials) in [(five_thousand, 2), (Limit::Unlimited, 2), (Limit::Finite(Credits::MAX), 2)] {
            service.set_plan(&client, raised(limit)).await.unwrap();
            let before = service.status(&client).await.unwrap();
            fill(&service).await.unwrap();
            let after = service.status(&client).await.unwrap();
            assert_eq!(after.quotas(), before.quotas(), "{limit}");
            assert_eq!(service.denials(&client).unwrap().len(), denials, "{limit}");
        }
        service.remove_plan(&client).await.unwrap();
        fill(&service).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_uses_more_of_a_day_or_a_month_than_its_plan_allows() {
        let now: Instant = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = std::sync::Arc::new(ManualClock::new(now));
        let service = QuotaService::builder(MemoryStore::new()).with_registry(registry()).with_clock(clock).build();
        let today = now.millis() / DAY_MILLIS;
        for customer in CUSTOMERS {
            let client = ClientId::new(customer.id).unwrap();
            for day in today - 730..today {
                service.backfill(&client, customer.entries(day, now).unwrap()).await.unwrap();
            }
            let query = DailyQuery { range: Window::ALL, zone: customer.tz, by: GroupBy::Day };
            let mut months: BTreeMap<String, Credits> = BTreeMap::new();
            for usage in service.daily_usage(&client, query).await.unwrap() {
                let (day, month) = (usage.day.to_string(), usage.day.to_string()[..7].to_owned());
                assert!(usage.credits <= Credits::new(customer.day.into()).unwrap(), "{client} on {day}: {usage:?}");
                let used = months.entry(month).or_default();
                *used = used.checked_add(usage.credits).unwrap();
            }
            for (month, used) in months {
                assert!(used <= Credits::new(customer.month.into()).unwrap(), "{client} in {month}: {used}");
            }
        }
    }
}
