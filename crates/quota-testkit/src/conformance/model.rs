//! Random sequences of operations against a list of entries.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use quota_core::{GroupBy, OperationId, PastEntry, Quota, Refusal, Unit, Window};
use quota_service::{Charge, Clock, DailyQuery, EntriesQuery, QuotaService, ServiceError, UsageStore};

use super::expected::{Cost, Expected, Listed};
use crate::{Harness, StoreFactory, Subject, operation_id, quota, quota_from, scale, seed};

/// What operations are given: few, so that they meet.
const IDS: [&str; 6] = ["i0", "i1", "i2", "i3", "i4", "i5"];
const LABELS: [Option<&str>; 4] = [None, Some("/a"), Some("/b"), Some("/B")];

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
    model: &mut Expected,
    random: &mut Rng,
) -> String {
    let at = harness.clock().now();
    let (id, amount) = (IDS[random.usize(..IDS.len())], random.i64(0..12));
    let cost = Cost { credits: amount, label: LABELS[random.usize(..LABELS.len())] };
    let charge = cost.label().into_iter().fold(Charge::new(cost.credits()), Charge::with_label);
    let named = charge.clone().with_id(operation_id(id));
    let ttl = model.some_time(random, 12);
    match random.u8(..28) {
        0..6 => compare("charge", client.charge_with(charge).await, model.spend(None, cost, at, true)),
        6..10 => compare("charge as", client.charge_with(named).await, model.spend(Some(id), cost, at, true)),
        10..12 => compare("record as", client.record_with(named).await, model.spend(Some(id), cost, at, false)),
        12..15 => compare("hold", client.hold_with(named, ttl).await, model.hold(id, cost, ttl, at)),
        15..17 => compare("settle", client.settle(id, &amount.to_string()).await, model.end(id, Some(amount), at)),
        17 => compare("release", client.release(id).await, model.end(id, None, at)),
        18 => compare("void", client.void(id).await, model.void(id)),
        19 => {
            let range = model.range(random);
            let deleted = client.service().delete_usage(client.client(), range).await.unwrap();
            compare("delete", deleted, model.delete(range))
        }
        20 if random.u8(..4) == 0 => {
            client.unplan().await;
            model.set_plan(None);
            "unplan".to_owned()
        }
        24 => compare("extend", client.extend(id, ttl).await, model.extend(id, ttl, at)),
        25 => {
            let past = at.saturating_sub(model.some_time(random, 8));
            let entry = PastEntry { id: operation_id(id), at: past, credits: cost.credits(), label: cost.label() };
            let done = client.service().backfill(client.client(), vec![entry]).await.unwrap();
            let done = (done.added, done.skipped, done.conflicts.len());
            compare("backfill", done, model.backfill(id, past, cost, at))
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
            model.set_plan(Some(quotas));
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

/// The entries of a range as the store lists them, sorted: the order of equals is its own.
async fn listed<S: UsageStore>(client: &Subject<S>, range: Window) -> Vec<Listed> {
    let query = EntriesQuery { range, after: None, limit: 10_000 };
    let page = client.service().entries(client.client(), query).await.unwrap();
    let given = |id: &OperationId| IDS.contains(&id.as_str());
    let entries = page.entries.into_iter();
    let mut listed: Vec<_> =
        entries.map(|entry| (entry.at, entry.credits, entry.label, entry.id.filter(given))).collect();
    listed.sort();
    listed
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
        let mut model = Expected::new(self.exact);
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
            let stands = match status {
                Ok(status) => {
                    let quota = |quota: &quota_core::QuotaStatus| (quota.used().to_string(), quota.held().to_string());
                    Some(status.quotas().iter().map(quota).collect::<Vec<_>>())
                }
                Err(ServiceError::Refused(Refusal::UnknownClient)) => None,
                Err(error) => panic!("{place}: {error:?}"),
            };
            assert_eq!(stands, model.stands(at), "{place}");
            assert_eq!(client.total().await, model.used(Window::ALL).to_string(), "{place}");
            self.read_some(client, &model, &mut random, &place).await;
        }
        assert_eq!(listed(&clients[0], Window::ALL).await, model.listed(Window::ALL), "{name} at the end, {model:?}");
    }

    /// Reads what is asked of some range.
    async fn read_some(&self, client: &Subject<F::Store>, model: &Expected, random: &mut Rng, place: &str) {
        let range = model.range(random);
        let total = client.service().total_usage(client.client(), range).await.unwrap();
        assert_eq!(total.to_string(), model.used(range).to_string(), "{place} in {range}");
        let zone = quota_core::zone(["UTC", "Asia/Kathmandu", "America/New_York"][random.usize(..3)]).unwrap();
        let by = if random.bool() { GroupBy::Day } else { GroupBy::DayAndLabel };
        let days = client.service().daily_usage(client.client(), DailyQuery { range, zone, by }).await.unwrap();
        assert_eq!(days, model.days(range, zone, by), "{place} in {range}, {zone}");
        // Not after each step: a server takes its time for every question.
        if random.u8(..4) == 0 {
            assert_eq!(listed(client, range).await, model.listed(range), "{place} in {range}");
        }
    }
}
