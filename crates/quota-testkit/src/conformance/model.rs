//! Random sequences of operations against a list of entries.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use quota_core::{DayUsage, Days, GroupBy, Instant, Quota, Tz, Unit, Window};
use quota_service::{Clock, QuotaService, UsageStore};

use crate::{Harness, StoreFactory, Subject, quota, quota_from, scale, seed};

/// What should be known of one client, in whole credits. Windows are full quarters, and so are instants where only
/// quarters are kept.
#[derive(Debug, Default)]
struct Model {
    /// Whether instants may be any.
    exact: bool,
    /// Whether entries may be folded, so that only full quarters can be read.
    pruned: bool,
    /// Where entries are kept: only sums tell of what was before.
    folded_until: Option<Instant>,
    entries: Vec<(Option<String>, Instant, i64)>,
    /// At, credits, expires.
    holds: BTreeMap<String, (Instant, i64, Instant)>,
    latest: Option<Instant>,
    quotas: Option<Vec<(Quota, Option<i64>)>>,
}

impl Model {
    fn now(&self, at: Instant) -> Instant {
        at.max(self.latest.unwrap_or(Instant::MIN))
    }

    fn advance(&mut self, now: Instant) {
        self.latest = Some(now);
        self.holds.retain(|_, (_, _, expires)| now < *expires);
    }

    fn active(&self, id: &str, now: Instant) -> Option<(Instant, i64)> {
        self.holds.get(id).filter(|(_, _, expires)| now < *expires).map(|(at, credits, _)| (*at, *credits))
    }

    fn entry(&self, id: &str) -> Option<i64> {
        self.entries.iter().find(|(known, ..)| known.as_deref() == Some(id)).map(|(.., credits)| *credits)
    }

    fn used(&self, window: Window) -> i64 {
        self.entries.iter().filter(|(_, at, _)| window.contains(*at)).map(|(.., credits)| credits).sum()
    }

    fn held(&self, window: Window, now: Instant) -> i64 {
        let holds = self.holds.values().filter(|(at, _, expires)| window.contains(*at) && now < *expires);
        holds.map(|(_, credits, _)| credits).sum()
    }

    /// Used and held of each quota.
    fn stands(&self, at: Instant) -> Option<Vec<(String, String)>> {
        let now = self.now(at);
        let quota = |(quota, _): &(Quota, _)| {
            let window = quota.lattice().window_at(now).unwrap();
            (self.used(window).to_string(), self.held(window, now).to_string())
        };
        self.quotas.as_ref().map(|quotas| quotas.iter().map(quota).collect())
    }

    fn fits(&self, credits: i64, now: Instant) -> bool {
        self.quotas.iter().flatten().all(|(quota, limit)| {
            let window = quota.lattice().window_at(now).unwrap();
            limit.is_none_or(|limit| limit - self.used(window) - self.held(window, now) >= credits)
        })
    }

    fn spend(&mut self, id: Option<&str>, credits: i64, at: Instant, checked: bool) -> &'static str {
        let now = self.now(at);
        if self.quotas.is_none() {
            return "unknown_client";
        }
        if let Some(id) = id {
            if self.active(id, now).is_some() || self.entry(id).is_some_and(|known| known != credits) {
                return "id_conflict";
            }
            if self.entry(id).is_some() {
                return "replayed";
            }
        }
        if checked && !self.fits(credits, now) {
            return "denied";
        }
        self.advance(now);
        self.entries.push((id.map(str::to_owned), now, credits));
        "allowed"
    }

    fn hold(&mut self, id: &str, credits: i64, ttl: Duration, at: Instant) -> &'static str {
        let now = self.now(at);
        if self.quotas.is_none() {
            return "unknown_client";
        }
        match self.active(id, now) {
            Some((_, held)) if held == credits => return "replayed",
            Some(_) => return "id_conflict",
            None if self.entry(id).is_some() => return "id_conflict",
            None => {}
        }
        if !self.fits(credits, now) {
            return "denied";
        }
        self.advance(now);
        self.holds.insert(id.to_owned(), (now, credits, now.saturating_add(ttl)));
        "allowed"
    }

    /// `cost` is none for a release.
    fn end(&mut self, id: &str, cost: Option<i64>, at: Instant) -> &'static str {
        let now = self.now(at);
        let Some((made, _)) = self.active(id, now) else {
            return match (self.quotas.is_none(), cost, self.entry(id)) {
                (true, ..) => "unknown_client",
                (_, Some(cost), Some(settled)) if cost == settled => "replayed",
                (_, Some(_), Some(_)) => "id_conflict",
                _ => "hold_not_active",
            };
        };
        self.advance(now);
        self.holds.remove(id);
        if let Some(cost) = cost {
            self.entries.push((Some(id.to_owned()), made, cost));
        }
        "allowed"
    }

    fn extend(&mut self, id: &str, ttl: Duration, at: Instant) -> &'static str {
        let now = self.now(at);
        if self.active(id, now).is_none() {
            return if self.quotas.is_none() { "unknown_client" } else { "hold_not_active" };
        }
        self.advance(now);
        if let Some((.., expires)) = self.holds.get_mut(id) {
            *expires = now.saturating_add(ttl);
        }
        "allowed"
    }

    /// Added, skipped, in conflict.
    fn backfill(&mut self, id: &str, past: Instant, credits: i64, at: Instant) -> (u64, u64, usize) {
        let known = self.entries.iter().find(|(known, ..)| known.as_deref() == Some(id));
        if self.active(id, self.now(at)).is_some() {
            return (0, 0, 1);
        }
        match known {
            Some((_, at, known)) if (*at, *known) == (past, credits) => (0, 1, 0),
            Some(_) => (0, 0, 1),
            // It may be in the sum of its quarter already.
            None if self.folded_until.is_some_and(|folded| past < folded) => (0, 0, 1),
            None => {
                // An expired hold whose id is taken is gone for good, also for a clock behind.
                self.holds.remove(id);
                self.entries.push((Some(id.to_owned()), past, credits));
                (1, 0, 0)
            }
        }
    }

    /// Entries before are in sums alone, where their ids are not kept.
    fn prune(&mut self, before: Instant) {
        self.pruned = true;
        if self.exact {
            let before = quota_core::quarter_of(before);
            let last = self.entries.iter().map(|(_, at, _)| *at).filter(|at| *at < before).max();
            let folded = last.map(|at| quota_core::quarter_of(at).saturating_add(QUARTER));
            self.folded_until = self.folded_until.max(folded);
            self.entries.iter_mut().filter(|(_, at, _)| *at < before).for_each(|(id, ..)| *id = None);
        }
    }

    fn days(&self, range: Window, zone: Tz) -> Vec<DayUsage> {
        let mut days = Days::new(range, zone, GroupBy::Day);
        for (_, at, credits) in &self.entries {
            days.add_entry(*at, crate::credits(&credits.to_string()), None);
        }
        days.finish()
    }

    /// Some time of at most so many quarters.
    fn some_time(&self, random: &mut Rng, quarters: u32) -> Duration {
        let whole = QUARTER * random.u32(1..quarters);
        if self.exact { Duration::from_millis(random.u64(1..u64::try_from(whole.as_millis()).unwrap())) } else { whole }
    }

    fn range(&self, random: &mut Rng) -> (Instant, Instant) {
        let some_time = |random: &mut Rng, quarters| {
            if self.pruned { QUARTER * random.u32(1..quarters) } else { self.some_time(random, quarters) }
        };
        let from = crate::at("2024-03-15T09:00:00Z").saturating_add(some_time(random, 72));
        (from, from.saturating_add(some_time(random, 12)))
    }

    fn void(&mut self, id: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(known, ..)| known.as_deref() != Some(id));
        self.entries.len() < before
    }

    fn delete(&mut self, range: Window) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|(_, at, _)| !range.contains(*at));
        u64::try_from(before - self.entries.len()).unwrap()
    }
}

const QUARTER: Duration = Duration::from_secs(900);

fn random_plan(random: &mut Rng) -> Vec<(Quota, Option<i64>)> {
    let shapes: [fn(&str) -> Quota; 6] = [
        |limit| quota(Unit::Hour, 1, limit),
        |limit| quota(Unit::Minute, 45, limit),
        |limit| quota(Unit::Day, 1, limit),
        |limit| quota_from(Unit::Day, 1, limit, "2024-01-01T05:45:00Z", "Asia/Kathmandu"),
        |limit| quota(Unit::Month, 1, limit),
        |limit| quota_from(Unit::Week, 1, limit, "2024-01-01T00:00:00+01:00", "Europe/Berlin"),
    ];
    let mut quotas: Vec<(Quota, Option<i64>)> = Vec::new();
    for _ in 0..random.usize(..4) {
        let limit = if random.u8(..8) == 0 { None } else { Some(random.i64(0..40)) };
        let text = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        let quota = shapes[random.usize(..shapes.len())](&text);
        if quotas.iter().all(|(other, _)| other.period() != quota.period()) {
            quotas.push((quota, limit));
        }
    }
    quotas.sort_by_key(|(quota, _)| quota.period());
    quotas
}

/// One random operation on the store and on the model.
async fn step<F: StoreFactory, S: UsageStore>(
    harness: &Harness<F>,
    client: &Subject<S>,
    model: &mut Model,
    random: &mut Rng,
) -> String {
    let at = harness.clock().now();
    let (id, amount) = (format!("i{}", random.u8(..6)), random.i64(0..12));
    let text = amount.to_string();
    let ttl = model.some_time(random, 12);
    match random.u8(..28) {
        0..6 => compare("charge", client.charge(&text).await, model.spend(None, amount, at, true)),
        6..10 => compare("charge as", client.charge_as(&id, &text).await, model.spend(Some(&id), amount, at, true)),
        10..12 => compare("record as", client.record_as(&id, &text).await, model.spend(Some(&id), amount, at, false)),
        12..15 => compare("hold", client.hold(&id, &text, ttl).await, model.hold(&id, amount, ttl, at)),
        15..17 => compare("settle", client.settle(&id, &text).await, model.end(&id, Some(amount), at)),
        17 => compare("release", client.release(&id).await, model.end(&id, None, at)),
        18 => compare("void", client.void(&id).await, model.void(&id)),
        19 => {
            let (from, to) = model.range(random);
            let deleted = client.delete(&from.to_string(), &to.to_string()).await;
            compare("delete", deleted, model.delete(Window::new(from, to).unwrap()))
        }
        20 if random.u8(..4) == 0 => {
            client.unplan().await;
            model.quotas = None;
            "unplan".to_owned()
        }
        24 => compare("extend", client.extend(&id, ttl).await, model.extend(&id, ttl, at)),
        25 => {
            let past = at.saturating_sub(model.some_time(random, 8));
            let done = client.backfill(&[(&id, &past.to_string(), &text)]).await;
            let done = (done.added, done.skipped, done.conflicts.len());
            compare("backfill", done, model.backfill(&id, past, amount, at))
        }
        26 if random.u8(..3) == 0 => {
            let before = at.saturating_sub(model.some_time(random, 8));
            client.service().store().prune(before).await.unwrap();
            model.prune(before);
            "prune".to_owned()
        }
        20..22 => {
            let quotas = random_plan(random);
            client.plan(&quotas.iter().map(|(quota, _)| *quota).collect::<Vec<_>>()).await;
            model.quotas = Some(quotas);
            "plan".to_owned()
        }
        _ => {
            // Mostly on, at times back.
            let back = random.u8(..4) == 0;
            let by = model.some_time(random, 6);
            let floor = Harness::<F>::noon();
            harness.clock().set(if back { at.saturating_sub(by).max(floor) } else { at.saturating_add(by) });
            format!("clock {}", harness.clock().now())
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "words, flags and counts")]
fn compare<T: PartialEq + std::fmt::Debug>(name: &str, answer: T, expected: T) -> String {
    assert_eq!(answer, expected, "{name}");
    format!("{name}: {answer:?}")
}

/// After this long no other sequence is begun, where as many have run as must.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

#[expect(clippy::print_stdout, reason = "what was tried")]
pub async fn any_sequence_answers_as_a_list_of_entries_would<F: StoreFactory>(harness: &Harness<F>) {
    let mut random = Rng::with_seed(seed());
    let services = [harness.service().await, harness.service().await];
    let play = Play { harness, services, exact: harness.keeps_entries().await };
    // A server that takes milliseconds for each step ends a soak earlier, but not with fewer than a tenth, and an ordinary
    // run with none fewer.
    let (wanted, least) = (scale(50, 5_000), scale(50, 500));
    let (began, mut ran) = (std::time::Instant::now(), 0);
    while ran < wanted && (ran < least || began.elapsed() <= PATIENCE) {
        // Mostly short ones: most mistakes need few steps, but not all.
        let count = if random.u8(..8) == 0 { 80 } else { 12 };
        let mut steps: Vec<u64> = (0..count).map(|_| random.u64(..)).collect();
        let (name, mut told) = (format!("c{ran}"), Vec::new());
        let played = play.run(&name, &steps, &mut told).await;
        if let Err(panic) = played {
            println!("{name} failed; panics after this one are those of shorter sequences");
            steps.truncate(told.len() + 1);
            let told = play.fewest(&name, steps, told).await;
            println!("the fewest steps that fail, but for the last where it panicked: {told:#?}");
            resume_unwind(panic);
        }
        ran += 1;
    }
    println!("{ran} of {wanted} sequences in {:?}", began.elapsed());
}

/// Steps on the store and on the model, each made of a number of its own, so that some can be left out.
struct Play<'a, F: StoreFactory> {
    harness: &'a Harness<F>,
    /// Two processes.
    services: [QuotaService<F::Store>; 2],
    exact: bool,
}

type Panic = Box<dyn std::any::Any + Send>;

impl<F: StoreFactory> Play<'_, F> {
    /// Lets a new client take the steps, and tells what they did until one is answered otherwise than the model has it.
    async fn run(&self, name: &str, steps: &[u64], told: &mut Vec<String>) -> Result<(), Panic> {
        // On the heap: without optimization they fill a thread's stack.
        AssertUnwindSafe(Box::pin(self.steps(name, steps, told))).catch_unwind().await
    }

    /// What is told of as few of these steps as fail still, each left out once.
    async fn fewest(&self, name: &str, mut steps: Vec<u64>, mut told: Vec<String>) -> Vec<String> {
        for place in (0..steps.len()).rev() {
            let (mut fewer, mut less) = (steps.clone(), Vec::new());
            fewer.remove(place);
            let played = self.run(&format!("{name}-{place}"), &fewer, &mut less).await;
            if played.is_err() {
                (steps, told) = (fewer, less);
            }
        }
        told
    }

    async fn steps(&self, name: &str, steps: &[u64], told: &mut Vec<String>) {
        let harness = self.harness;
        harness.clock().set(Harness::<F>::noon());
        let mut model = Model { exact: self.exact, ..Model::default() };
        let mut clients = self.services.each_ref().map(|service| harness.subject_of(service, name));
        for seed in steps {
            let mut random = Rng::with_seed(*seed);
            if random.u8(..40) == 0 {
                // A process begins anew.
                clients[random.usize(..2)] = harness.subject(name).await;
            }
            let client = &clients[random.usize(..2)];
            let done = Box::pin(step(harness, client, &mut model, &mut random)).await;
            let place = format!("{name} step {} {done} with {model:?}", told.len());
            told.push(done);
            let at = harness.clock().now();
            let status = clients[random.usize(..2)].service().status(client.client()).await;
            let stands = status.ok().map(|status| {
                let quota = |quota: &quota_core::QuotaStatus| (quota.used().to_string(), quota.held().to_string());
                status.quotas().iter().map(quota).collect::<Vec<_>>()
            });
            assert_eq!(stands, model.stands(at), "{place}");
            assert_eq!(client.total().await, model.used(Window::ALL).to_string(), "{place}");
            let (from, to) = model.range(&mut random);
            let range = Window::new(from, to).unwrap();
            let total = client.total_in(&from.to_string(), &to.to_string()).await;
            assert_eq!(total, model.used(range).to_string(), "{place} in {range}");
            let zone = ["UTC", "Asia/Kathmandu", "America/New_York"][random.usize(..3)];
            let days = client.days_by(&from.to_string(), &to.to_string(), zone, GroupBy::Day).await;
            assert_eq!(days, model.days(range, quota_core::zone(zone).unwrap()), "{place} in {range}, {zone}");
        }
    }
}
