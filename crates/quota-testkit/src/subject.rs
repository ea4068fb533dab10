//! One client, and short words for what is done to it.

use std::time::Duration;

use quota_core::{
    Backfilled, ClientId, Credits, DayUsage, Decision, Entry, GroupBy, Instant, PastEntry, Plan, Quota, Status, Ttl,
    Window,
};
use quota_service::{Charge, DailyQuery, EntriesQuery, HoldGuard, Holding, QuotaService, ServiceError, UsageStore};

use crate::{at, credits, operation_id, range};

/// One client through one service. Every method panics where the store fails.
#[derive(Debug)]
pub struct Subject<S> {
    service: QuotaService<S>,
    client: ClientId,
}

impl<S> Clone for Subject<S> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), client: self.client.clone() }
    }
}

/// An outcome in one word: `allowed`, `replayed`, `denied`, `unchecked`, or the code of a refusal.
///
/// # Panics
/// For an error that is not a refusal.
#[must_use]
pub fn word(outcome: &Result<Decision, ServiceError>) -> &'static str {
    match outcome {
        Ok(Decision::Allowed(allowed)) if allowed.replayed() => "replayed",
        Ok(Decision::Allowed(_)) => "allowed",
        Ok(Decision::Denied(_)) => "denied",
        Ok(Decision::Unchecked) => "unchecked",
        Err(ServiceError::Refused(refusal)) => refusal.code(),
        Err(error) => panic!("the store failed: {error:?}"),
    }
}

impl<S: UsageStore> Subject<S> {
    /// This client through this service.
    #[must_use]
    pub const fn new(service: QuotaService<S>, client: ClientId) -> Self {
        Self { service, client }
    }

    /// The service.
    #[must_use]
    pub const fn service(&self) -> &QuotaService<S> {
        &self.service
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.client
    }

    /// Sets a plan of these quotas.
    pub async fn plan(&self, quotas: &[Quota]) -> Status {
        let plan = Plan::new(quotas.iter().copied()).expect("a plan");
        self.service.set_plan(&self.client, plan).await.expect("the plan is set")
    }

    /// Removes the plan.
    pub async fn unplan(&self) {
        self.service.remove_plan(&self.client).await.expect("the plan is removed");
    }

    /// Charges without an id.
    pub async fn charge(&self, amount: &str) -> &'static str {
        word(&self.service.charge(&self.client, credits(amount)).await)
    }

    /// Charges with what the charge says.
    pub async fn charge_with(&self, charge: Charge) -> &'static str {
        word(&self.service.charge_with(&self.client, charge).await)
    }

    /// Charges with an id.
    pub async fn charge_as(&self, id: &str, amount: &str) -> &'static str {
        self.charge_with(Charge::new(credits(amount)).with_id(operation_id(id))).await
    }

    /// Records without an id.
    pub async fn record(&self, amount: &str) -> &'static str {
        self.record_with(Charge::new(credits(amount))).await
    }

    /// Records with what the charge says.
    pub async fn record_with(&self, charge: Charge) -> &'static str {
        word(&self.service.record(&self.client, charge).await)
    }

    /// Records with an id.
    pub async fn record_as(&self, id: &str, amount: &str) -> &'static str {
        self.record_with(Charge::new(credits(amount)).with_id(operation_id(id))).await
    }

    /// Makes a hold that lives by its ttl.
    pub async fn hold(&self, id: &str, amount: &str, ttl: Duration) -> &'static str {
        self.hold_with(Charge::new(credits(amount)).with_id(operation_id(id)), ttl).await
    }

    /// Makes a hold with what the charge says, that lives by its ttl.
    pub async fn hold_with(&self, charge: Charge, ttl: Duration) -> &'static str {
        let held = self.service.hold(&self.client, charge, Ttl::new(ttl).expect("a ttl")).await;
        word(&held.map(|holding| match holding {
            Holding::Denied(denied) => Decision::Denied(denied),
            Holding::Held(guard) | Holding::Unchecked(guard) => {
                let decision = guard.decision().clone();
                let _left_to_its_ttl = guard.detach();
                decision
            }
        }))
    }

    /// Makes a hold that lives by its guard.
    pub async fn guard(&self, id: &str, amount: &str, ttl: Duration) -> HoldGuard {
        let charge = Charge::new(credits(amount)).with_id(operation_id(id));
        match self.service.hold(&self.client, charge, Ttl::new(ttl).expect("a ttl")).await.expect("a hold") {
            Holding::Held(guard) => guard,
            other => panic!("{other:?}"),
        }
    }

    /// Extends a hold.
    pub async fn extend(&self, id: &str, ttl: Duration) -> &'static str {
        let ttl = Ttl::new(ttl).expect("a ttl");
        word(&self.service.extend(&self.client, &operation_id(id), ttl).await)
    }

    /// Settles a hold.
    pub async fn settle(&self, id: &str, cost: &str) -> &'static str {
        word(&self.service.settle(&self.client, &operation_id(id), credits(cost)).await)
    }

    /// Releases a hold.
    pub async fn release(&self, id: &str) -> &'static str {
        word(&self.service.release(&self.client, &operation_id(id)).await)
    }

    /// Voids an entry.
    pub async fn void(&self, id: &str) -> bool {
        self.service.void(&self.client, &operation_id(id)).await.expect("an answer")
    }

    /// Voids an entry if it counts at this instant.
    pub async fn void_at(&self, id: &str, instant: &str) -> bool {
        self.service.void_at(&self.client, &operation_id(id), at(instant)).await.expect("an answer")
    }

    /// The status of a client that has a plan.
    pub async fn status(&self) -> Status {
        self.service.status(&self.client).await.expect("a status")
    }

    /// Used, held and remaining of the shortest quota; remaining is empty where it is unlimited.
    pub async fn stands(&self) -> (String, String, String) {
        let status = self.status().await;
        let quota = status.quotas().iter().next().expect("a quota");
        let remaining = quota.balance().map(|balance| balance.to_string()).unwrap_or_default();
        (quota.used().to_string(), quota.held().to_string(), remaining)
    }

    /// What is used of the shortest quota.
    pub async fn used(&self) -> String {
        self.stands().await.0
    }

    /// What is held of the shortest quota.
    pub async fn held(&self) -> String {
        self.stands().await.1
    }

    /// The sum of all entries.
    pub async fn total(&self) -> String {
        self.service.total_usage(&self.client, Window::ALL).await.expect("a sum").to_string()
    }

    /// The sum of the entries of a range.
    pub async fn total_in(&self, from: &str, to: &str) -> String {
        self.service.total_usage(&self.client, range(from, to)).await.expect("a sum").to_string()
    }

    /// Days with usage.
    pub async fn days(&self, from: &str, to: &str, zone: &str) -> Vec<(String, String, u64)> {
        let days = self.days_by(from, to, zone, GroupBy::Day).await;
        days.into_iter().map(|day| (day.day.to_string(), day.credits.to_string(), day.entries)).collect()
    }

    /// Days with usage, told apart as asked.
    pub async fn days_by(&self, from: &str, to: &str, zone: &str, by: GroupBy) -> Vec<DayUsage> {
        let zone = quota_core::zone(zone).expect("a zone");
        let query = DailyQuery { range: range(from, to), zone, by };
        self.service.daily_usage(&self.client, query).await.expect("days")
    }

    /// How many entries a deletion took.
    pub async fn delete(&self, from: &str, to: &str) -> u64 {
        self.service.delete_usage(&self.client, range(from, to)).await.expect("a deletion")
    }

    /// Adds past usage: id, instant, credits.
    pub async fn backfill(&self, entries: &[(&str, &str, &str)]) -> Backfilled {
        let past = |(id, instant, amount): &(&str, &str, &str)| past_entry(id, at(instant), credits(amount));
        self.service.backfill(&self.client, entries.iter().map(past).collect()).await.expect("a backfill")
    }

    /// All entries, in pages of three.
    pub async fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = EntriesQuery { range: Window::ALL, after, limit: 3 };
            let page = self.service.entries(&self.client, query).await.expect("a page");
            all.extend(page.entries);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// Ids of all entries that have one, sorted.
    pub async fn ids(&self) -> Vec<String> {
        let entries = self.entries().await;
        let mut ids: Vec<String> =
            entries.iter().filter_map(|entry| entry.id.as_ref().map(ToString::to_string)).collect();
        ids.sort();
        ids
    }
}

/// An entry for a backfill.
#[must_use]
pub fn past_entry(id: &str, at: Instant, credits: Credits) -> PastEntry {
    PastEntry { id: operation_id(id), at, credits, label: None }
}
