//! What is measured of ours, in memory.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use quota_core::{Anchor, ClientId, Credits, Instant, Limit, OperationId, Period, Plan, Quota, Unit};
use quota_service::{Charge, Decision, PlanRegistry, QuotaService, ServiceError};
use quota_store_memory::MemoryStore;

use crate::contest::Start;

/// A service over memory and the clients that it is asked about. Every client has the same plan.
pub(crate) struct Ours {
    service: QuotaService<MemoryStore>,
    clients: Vec<ClientId>,
    cost: Credits,
}

/// The texts of so many client ids.
pub(crate) fn names(clients: usize) -> Vec<String> {
    (0..clients).map(|number| format!("client-{number:06}")).collect()
}

/// The texts as ids.
pub(crate) fn ids(names: &[String]) -> anyhow::Result<Vec<ClientId>> {
    Ok(names.iter().map(ClientId::new).collect::<Result<_, _>>()?)
}

/// Quotas of `units` with the same limit.
pub(crate) fn plan(units: &[Unit], limit: u64) -> anyhow::Result<Plan> {
    let anchor = Anchor::in_zone("2024-01-31T00:00:00Z".parse::<Instant>()?, "UTC")?;
    let limit = Limit::Finite(Credits::new(limit)?);
    let quotas = units.iter().map(|&unit| Period::new(unit, 1).map(|period| Quota::new(period, limit, anchor)));
    Ok(Plan::new(quotas.collect::<Result<Vec<_>, _>>()?)?)
}

/// A limit that no run reaches.
pub(crate) const ENOUGH: u64 = 4_000_000_000;

/// Two quotas, as most plans have.
pub(crate) const DAY_AND_MONTH: [Unit; 2] = [Unit::Day, Unit::Month];

impl Ours {
    /// As an application makes it: the system clock, plans in a registry, sums by quarter.
    pub(crate) fn new(names: &[String], plan: Plan) -> anyhow::Result<Self> {
        let registry = PlanRegistry::new().with_default(plan);
        let service = QuotaService::builder(MemoryStore::new()).with_registry(registry).build();
        Ok(Self { service, clients: ids(names)?, cost: Credits::new(1)? })
    }

    fn client(&self, visit: usize) -> anyhow::Result<&ClientId> {
        self.clients.get(visit).with_context(|| format!("there is no client {visit}"))
    }

    /// Charges every client once, so that no visit makes an account.
    pub(crate) fn charge_each(&self) -> anyhow::Result<()> {
        for client in &self.clients {
            if !matches!(self.charge(client), Some(Ok(Decision::Allowed(_)))) {
                bail!("{client} was not allowed");
            }
        }
        Ok(())
    }

    /// The memory store never waits, so its future is ready at once and needs no runtime. Looked at where it is
    /// returned: to move the answer into another error type would be measured too.
    fn charge(&self, client: &ClientId) -> Option<Result<Decision, ServiceError>> {
        self.service.charge(client, self.cost).now_or_never()
    }

    /// See [`crate::contest::Run`]: every charge has to be allowed.
    pub(crate) fn allowed(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        start.wait();
        let began = std::time::Instant::now();
        for &visit in visits {
            let client = self.client(visit)?;
            if !matches!(self.charge(client), Some(Ok(Decision::Allowed(_)))) {
                bail!("{client} was not allowed");
            }
        }
        Ok(began.elapsed())
    }

    /// See [`crate::contest::Run`]: every charge has to be denied.
    pub(crate) fn denied(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        start.wait();
        let began = std::time::Instant::now();
        for &visit in visits {
            let client = self.client(visit)?;
            if !matches!(self.charge(client), Some(Ok(Decision::Denied(_)))) {
                bail!("{client} was not denied");
            }
        }
        Ok(began.elapsed())
    }

    /// See [`crate::contest::Run`]: every charge has an id that was never used.
    pub(crate) fn with_ids(&self, visits: &[usize], start: &Start<'_>) -> anyhow::Result<Duration> {
        let run = fastrand::u64(..);
        let id = |number: usize| OperationId::new(format!("{run:x}-{number}"));
        let ids = (0..visits.len()).map(id).collect::<Result<Vec<_>, _>>();
        start.wait();
        let ids = ids?;
        let began = std::time::Instant::now();
        for (&visit, id) in visits.iter().zip(ids) {
            let client = self.client(visit)?;
            let charge = Charge::new(self.cost).with_id(id);
            let answer = self.service.charge_with(client, charge).now_or_never();
            if !matches!(answer, Some(Ok(Decision::Allowed(_)))) {
                bail!("{client} was not allowed");
            }
        }
        Ok(began.elapsed())
    }
}
