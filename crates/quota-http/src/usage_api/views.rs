//! What the usage API shows, as `openapi.json` describes it.

use chrono::NaiveDate;
use quota_core::{
    ClientId, Credits, DayUsage, Denied, Entry, Instant, Limit, Plan, Quota, QuotaStatus, Quotas, Remaining, Status,
};
use quota_core::{Refusal, WindowOutOfRange};
use serde::Serialize;

use crate::usage_api::query::DayRange;

/// As many renewals of a quota are told.
const RENEWALS: usize = 12;

#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    at: Instant,
    quotas: Vec<QuotaView>,
    /// The name of the finite quota with the fewest remaining.
    lowest: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct QuotaView {
    name: String,
    limit: Limit,
    used: Credits,
    held: Credits,
    remaining: Remaining,
    starts_at: Instant,
    resets_at: Instant,
}

#[derive(Debug, Serialize)]
pub(crate) struct UsageView {
    from: String,
    to: String,
    tz: &'static str,
    days: Vec<DayUsage>,
    total: Credits,
}

#[derive(Debug, Serialize)]
pub(crate) struct ClientsView {
    clients: Vec<ClientId>,
    /// What to ask the next page with.
    next: Option<ClientId>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlanView<'a> {
    quotas: &'a [Quota],
}

#[derive(Debug, Serialize)]
pub(crate) struct PreviewView {
    quotas: Vec<RenewalsView>,
    status: StatusView,
}

#[derive(Debug, Serialize)]
pub(crate) struct RenewalsView {
    name: String,
    renewals: Vec<Instant>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EntriesView {
    entries: Vec<EntryView>,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EntryView {
    id: Option<String>,
    at: Instant,
    credits: Credits,
    label: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeletedView {
    pub(crate) deleted: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct DenialsView {
    denials: Vec<DenialView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DenialView {
    at: Instant,
    required: Credits,
    /// The names of the quotas that had too little.
    violated: Vec<String>,
    binding: Option<String>,
    retry_at: Option<Instant>,
    quotas: Vec<QuotaView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HealthView {
    pub(crate) status: &'static str,
}

fn name(quota: &QuotaStatus) -> String {
    quota.period().to_string()
}

fn quotas(quotas: &Quotas) -> Vec<QuotaView> {
    let view = |quota: &QuotaStatus| QuotaView {
        name: name(quota),
        limit: quota.limit(),
        used: quota.used(),
        held: quota.held(),
        remaining: quota.remaining(),
        starts_at: quota.starts_at(),
        resets_at: quota.resets_at(),
    };
    quotas.iter().map(view).collect()
}

impl StatusView {
    pub(crate) fn new(status: &Status) -> Self {
        Self { at: status.at(), quotas: quotas(status.quotas()), lowest: status.lowest().map(name) }
    }
}

impl UsageView {
    pub(crate) fn new(asked: &DayRange, days: Vec<DayUsage>) -> Self {
        // The lifetime sum bounds it.
        let total = days.iter().fold(Credits::ZERO, |sum, day| sum.saturating_add(day.credits));
        let (from, to) = (asked.from.to_string(), asked.to.to_string());
        Self { from, to, tz: asked.query.zone.name(), days, total }
    }

    pub(crate) fn days(&self) -> &[DayUsage] {
        &self.days
    }
}

impl ClientsView {
    /// A page; where it is full there may be more after its last client.
    pub(crate) fn new(clients: Vec<ClientId>, limit: usize) -> Self {
        let next = clients.last().filter(|_| clients.len() >= limit).cloned();
        Self { clients, next }
    }
}

impl<'a> PlanView<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { quotas: plan.quotas() }
    }
}

impl PreviewView {
    /// The windows that follow each other from now on, by their ends.
    pub(crate) fn new(plan: &Plan, status: &Status, now: Instant) -> Result<Self, Refusal> {
        let renewals = |quota: &Quota| {
            let windows = quota.lattice().windows_from(now, RENEWALS)?;
            let renewals = windows.iter().map(|window| window.end()).collect();
            Ok(RenewalsView { name: quota.period().to_string(), renewals })
        };
        let quotas: Result<Vec<_>, WindowOutOfRange> = plan.quotas().iter().map(renewals).collect();
        Ok(Self { quotas: quotas?, status: StatusView::new(status) })
    }
}

impl EntriesView {
    pub(crate) fn new(entries: Vec<Entry>, next: Option<String>) -> Self {
        let view = |entry: Entry| EntryView {
            id: entry.id.map(|id| id.as_str().to_owned()),
            at: entry.at,
            credits: entry.credits,
            label: entry.label.map(|label| label.as_str().to_owned()),
        };
        Self { entries: entries.into_iter().map(view).collect(), next }
    }

    pub(crate) fn entries(&self) -> &[EntryView] {
        &self.entries
    }
}

impl EntryView {
    /// Its cells in a table.
    pub(crate) fn cells(&self) -> [String; 4] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [self.at.to_string(), text(&self.id), self.credits.to_string(), text(&self.label)]
    }
}

impl DenialsView {
    pub(crate) fn new(denials: &[Denied]) -> Self {
        let view = |denied: &Denied| DenialView {
            at: denied.at(),
            required: denied.required(),
            violated: denied.violated().map(name).collect(),
            binding: denied.binding().map(name),
            retry_at: denied.retry_at(),
            quotas: quotas(denied.quotas()),
        };
        Self { denials: denials.iter().map(view).collect() }
    }
}

/// A day's cells in a table.
pub(crate) fn day_cells(usage: &DayUsage) -> [String; 4] {
    let day: NaiveDate = usage.day;
    let label = usage.label.as_ref().map(|label| label.as_str().to_owned()).unwrap_or_default();
    [day.to_string(), label, usage.credits.to_string(), usage.entries.to_string()]
}
