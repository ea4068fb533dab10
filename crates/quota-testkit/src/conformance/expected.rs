//! What a store should know of a client, as a list of entries.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use quota_core::{Credits, DayUsage, Days, GroupBy, Instant, Label, OperationId, Quota, Tz, Window};

pub(super) const QUARTER: Duration = Duration::from_secs(900);

/// What should be known of one client, in whole credits. Windows are full quarters, and so are instants where only
/// quarters are kept.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Whether instants may be any.
    exact: bool,
    /// Whether entries may be folded, so that only full quarters can be read.
    pruned: bool,
    /// Where entries are kept: only sums tell of what was before.
    folded_until: Option<Instant>,
    entries: Vec<Used>,
    holds: BTreeMap<String, Held>,
    latest: Option<Instant>,
    quotas: Option<Vec<(Quota, Option<i64>)>>,
}

/// How much, and what for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) credits: i64,
    pub(super) label: Option<&'static str>,
}

#[derive(Debug)]
struct Used {
    id: Option<String>,
    at: Instant,
    cost: Cost,
    /// Whether it is in its quarter's sum alone.
    folded: bool,
}

#[derive(Debug)]
struct Held {
    at: Instant,
    cost: Cost,
    expires: Instant,
}

/// An entry as it is listed, but for an id that the service has made.
pub(super) type Listed = (Instant, Credits, Option<Label>, Option<OperationId>);

impl Expected {
    pub(super) fn new(exact: bool) -> Self {
        Self { exact, ..Self::default() }
    }

    pub(super) fn set_plan(&mut self, quotas: Option<Vec<(Quota, Option<i64>)>>) {
        self.quotas = quotas;
    }

    /// Used and held of each quota.
    pub(super) fn stands(&self, at: Instant) -> Option<Vec<(String, String)>> {
        let now = self.now(at);
        let quota = |(quota, _): &(Quota, _)| {
            let window = quota.lattice().window_at(now).unwrap();
            (self.used(window).to_string(), self.held(window, now).to_string())
        };
        self.quotas.as_ref().map(|quotas| quotas.iter().map(quota).collect())
    }

    pub(super) fn used(&self, window: Window) -> i64 {
        self.entries.iter().filter(|used| window.contains(used.at)).map(|used| used.cost.credits).sum()
    }

    pub(super) fn days(&self, range: Window, zone: Tz, by: GroupBy) -> Vec<DayUsage> {
        let mut days = Days::new(range, zone, by);
        for Used { at, cost, .. } in &self.entries {
            days.add_entry(*at, cost.credits(), cost.label());
        }
        days.finish()
    }

    /// The entries of a range, sorted; none where only quarters are kept.
    pub(super) fn listed(&self, range: Window) -> Vec<Listed> {
        let kept = self.entries.iter().filter(|used| self.exact && !used.folded && range.contains(used.at));
        let id = |used: &Used| used.id.as_deref().map(crate::operation_id);
        let mut listed: Vec<_> = kept.map(|used| (used.at, used.cost.credits(), used.cost.label(), id(used))).collect();
        listed.sort();
        listed
    }

    pub(super) fn spend(&mut self, id: Option<&str>, cost: Cost, at: Instant, checked: bool) -> &'static str {
        let now = self.now(at);
        if self.quotas.is_none() {
            return "unknown_client";
        }
        if let Some(id) = id {
            if self.active(id, now).is_some() || self.entry(id).is_some_and(|known| known != cost.credits) {
                return "id_conflict";
            }
            if self.entry(id).is_some() {
                return "replayed";
            }
        }
        if checked && !self.fits(cost.credits, now) {
            return "denied";
        }
        self.advance(now);
        self.add(id, now, cost);
        "allowed"
    }

    pub(super) fn hold(&mut self, id: &str, cost: Cost, ttl: Duration, at: Instant) -> &'static str {
        let now = self.now(at);
        if self.quotas.is_none() {
            return "unknown_client";
        }
        match self.active(id, now) {
            Some((_, held)) if held.credits == cost.credits => return "replayed",
            Some(_) => return "id_conflict",
            None if self.entry(id).is_some() => return "id_conflict",
            None => {}
        }
        if !self.fits(cost.credits, now) {
            return "denied";
        }
        self.advance(now);
        self.holds.insert(id.to_owned(), Held { at: now, cost, expires: now.saturating_add(ttl) });
        "allowed"
    }

    /// `actual` is none for a release.
    pub(super) fn end(&mut self, id: &str, actual: Option<i64>, at: Instant) -> &'static str {
        let now = self.now(at);
        let Some((made, held)) = self.active(id, now) else {
            return match (self.quotas.is_none(), actual, self.entry(id)) {
                (true, ..) => "unknown_client",
                (_, Some(actual), Some(settled)) if actual == settled => "replayed",
                (_, Some(_), Some(_)) => "id_conflict",
                _ => "hold_not_active",
            };
        };
        self.advance(now);
        self.holds.remove(id);
        if let Some(credits) = actual {
            self.add(Some(id), made, Cost { credits, ..held });
        }
        "allowed"
    }

    pub(super) fn extend(&mut self, id: &str, ttl: Duration, at: Instant) -> &'static str {
        let now = self.now(at);
        if self.active(id, now).is_none() {
            return if self.quotas.is_none() { "unknown_client" } else { "hold_not_active" };
        }
        self.advance(now);
        if let Some(held) = self.holds.get_mut(id) {
            held.expires = now.saturating_add(ttl);
        }
        "allowed"
    }

    /// Added, skipped, in conflict.
    pub(super) fn backfill(&mut self, id: &str, past: Instant, cost: Cost, at: Instant) -> (u64, u64, usize) {
        if self.active(id, self.now(at)).is_some() {
            return (0, 0, 1);
        }
        match self.entries.iter().find(|used| used.id.as_deref() == Some(id)) {
            Some(known) if (known.at, known.cost.credits) == (past, cost.credits) => (0, 1, 0),
            Some(_) => (0, 0, 1),
            // It may be in the sum of its quarter already.
            None if self.folded_until.is_some_and(|folded| past < folded) => (0, 0, 1),
            None => {
                // An expired hold whose id is taken is gone for good, also for a clock behind.
                self.holds.remove(id);
                self.add(Some(id), past, cost);
                (1, 0, 0)
            }
        }
    }

    pub(super) fn void(&mut self, id: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|used| used.id.as_deref() != Some(id));
        self.entries.len() < before
    }

    pub(super) fn delete(&mut self, range: Window) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|used| !range.contains(used.at));
        u64::try_from(before - self.entries.len()).unwrap()
    }

    /// Entries before are in sums alone, where their ids are not kept.
    pub(super) fn prune(&mut self, before: Instant) {
        self.pruned = true;
        if self.exact {
            let before = quota_core::quarter_of(before);
            for used in self.entries.iter_mut().filter(|used| used.at < before) {
                (used.id, used.folded) = (None, true);
                let folded = quota_core::quarter_of(used.at).saturating_add(QUARTER);
                self.folded_until = self.folded_until.max(Some(folded));
            }
        }
    }

    /// Some time of at most so many quarters.
    pub(super) fn some_time(&self, random: &mut Rng, quarters: u32) -> Duration {
        let whole = QUARTER * random.u32(1..quarters);
        if self.exact { Duration::from_millis(random.u64(1..u64::try_from(whole.as_millis()).unwrap())) } else { whole }
    }

    /// Some range that can be read.
    pub(super) fn range(&self, random: &mut Rng) -> Window {
        let some_time = |random: &mut Rng, quarters| {
            if self.pruned { QUARTER * random.u32(1..quarters) } else { self.some_time(random, quarters) }
        };
        let from = crate::at("2024-03-15T09:00:00Z").saturating_add(some_time(random, 72));
        Window::new(from, from.saturating_add(some_time(random, 12))).unwrap()
    }

    fn now(&self, at: Instant) -> Instant {
        at.max(self.latest.unwrap_or(Instant::MIN))
    }

    fn advance(&mut self, now: Instant) {
        self.latest = Some(now);
        self.holds.retain(|_, held| now < held.expires);
    }

    fn add(&mut self, id: Option<&str>, at: Instant, cost: Cost) {
        self.entries.push(Used { id: id.map(str::to_owned), at, cost, folded: false });
    }

    fn active(&self, id: &str, now: Instant) -> Option<(Instant, Cost)> {
        self.holds.get(id).filter(|held| now < held.expires).map(|held| (held.at, held.cost))
    }

    fn entry(&self, id: &str) -> Option<i64> {
        self.entries.iter().find(|used| used.id.as_deref() == Some(id)).map(|used| used.cost.credits)
    }

    fn held(&self, window: Window, now: Instant) -> i64 {
        let holds = self.holds.values().filter(|held| window.contains(held.at) && now < held.expires);
        holds.map(|held| held.cost.credits).sum()
    }

    fn fits(&self, credits: i64, now: Instant) -> bool {
        self.quotas.iter().flatten().all(|(quota, limit)| {
            let window = quota.lattice().window_at(now).unwrap();
            limit.is_none_or(|limit| limit - self.used(window) - self.held(window, now) >= credits)
        })
    }
}

impl Cost {
    pub(super) fn credits(self) -> Credits {
        crate::credits(&self.credits.to_string())
    }

    pub(super) fn label(self) -> Option<Label> {
        self.label.map(|label| Label::new(label).unwrap())
    }
}
