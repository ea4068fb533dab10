//! Deletions of so many quarters that a store may take their sums out step by step, held against a list of what is there.

use fastrand::Rng;
use quota_core::{Answer, Backfilled, Credits, GroupBy, Instant, Operation, QUARTER_MILLIS, Tz, Unit, Window};
use quota_service::{DailyQuery, UsageStore};

use super::batches::empty_plan;
use super::deletion::applied;
use crate::{Harness, StoreFactory, Subject, past_entry, quota, scale};

/// More than any store takes out at once.
const QUARTERS: i64 = 2_400;
/// So many of them are deleted at least.
const DELETED: i64 = 2_100;

/// A client, and what it is to have.
struct Ledger<'a, F: StoreFactory> {
    harness: &'a Harness<F>,
    client: Subject<F::Store>,
    /// Whether a range may divide a quarter. What reads its entries takes out first what is left.
    divides: bool,
    seed: u64,
    rng: Rng,
    /// When each entry is, of one credit.
    there: Vec<i64>,
    ids: u32,
}

impl<'a, F: StoreFactory> Ledger<'a, F> {
    async fn new(harness: &'a Harness<F>, seed: u64) -> Self {
        let client = harness.subject("a").await;
        client.plan(&[quota(Unit::Year, 1, "1000000")]).await;
        Self { harness, client, divides: false, seed, rng: Rng::with_seed(seed), there: Vec::new(), ids: 0 }
    }

    fn begin() -> i64 {
        Harness::<F>::noon().millis() - QUARTERS * QUARTER_MILLIS
    }

    /// Some instant of that quarter.
    fn within(&mut self, quarter: i64) -> i64 {
        Self::begin() + quarter * QUARTER_MILLIS + self.rng.i64(0..QUARTER_MILLIS)
    }

    /// Where a range may begin or end.
    fn bound(&mut self, quarter: i64) -> i64 {
        let divides = self.divides && self.rng.bool();
        if divides { self.within(quarter) } else { Self::begin() + quarter * QUARTER_MILLIS }
    }

    /// Adds an entry in each of these quarters.
    async fn fill(&mut self, quarters: impl Iterator<Item = i64>) {
        let instants: Vec<i64> = quarters.map(|quarter| self.within(quarter)).collect();
        for page in instants.chunks(Operation::MAX_BACKFILL) {
            let entries: Vec<_> = page
                .iter()
                .map(|millis| {
                    self.ids += 1;
                    past_entry(&format!("past {}", self.ids), instant(*millis), Credits::ONE)
                })
                .collect();
            let Backfilled { added, .. } = self.client.service().backfill(self.client.client(), entries).await.unwrap();
            assert_eq!(usize::try_from(added).unwrap(), page.len());
        }
        self.there.extend(instants);
    }

    async fn charge(&mut self) {
        self.ids += 1;
        assert_eq!(self.client.charge_as(&format!("now {}", self.ids), "1").await, "allowed");
        self.there.push(Harness::<F>::noon().millis());
    }

    /// As far as the store answers for: a service waits until all is taken out.
    async fn delete(&mut self) {
        let first = self.rng.i64(0..QUARTERS - DELETED);
        let from = self.bound(first);
        let to = match self.rng.bool() {
            true => Instant::MAX.millis(),
            false => {
                let end = self.rng.i64(first + DELETED + 1..=QUARTERS);
                self.bound(end)
            }
        };
        let before = self.there.len();
        self.there.retain(|millis| !(from..to).contains(millis));
        let range = Window::new(instant(from), instant(to)).unwrap();
        let answers = applied(self.harness, vec![empty_plan(self.harness, "a", Operation::Delete { range })]).await;
        let gone = u64::try_from(before - self.there.len()).unwrap();
        assert!(matches!(answers.last(), Some(Ok(Answer::Deleted(count))) if *count == gone), "{gone}: {answers:?}");
    }

    async fn check(&mut self) {
        let seed = self.seed;
        let (client, service) = (self.client.client().clone(), self.client.service().clone());
        let all = self.there.len().to_string();
        assert_eq!(self.client.total().await, all, "seed {seed}");
        assert_eq!(self.client.used().await, all, "seed {seed}");
        let query = DailyQuery { range: Window::ALL, zone: Tz::Asia__Kathmandu, by: GroupBy::Day };
        let days = service.daily_usage(&client, query).await.unwrap();
        assert_eq!(days.iter().map(|day| day.entries).sum::<u64>().to_string(), all, "seed {seed}");
        assert_eq!(
            days.iter().map(|day| day.credits.micros()).sum::<i64>(),
            Credits::ONE.micros() * count(&self.there),
            "seed {seed}"
        );
        for _ in 0..3 {
            let first = self.rng.i64(0..QUARTERS);
            let last = self.rng.i64(first..QUARTERS + 1);
            let (from, to) = (self.bound(first), self.bound(last + 1));
            let within: Vec<i64> = self.there.iter().copied().filter(|millis| (from..to).contains(millis)).collect();
            let range = Window::new(instant(from), instant(to)).unwrap();
            assert_eq!(
                service.total_usage(&client, range).await.unwrap().micros(),
                Credits::ONE.micros() * count(&within),
                "seed {seed}"
            );
        }
    }
}

fn instant(millis: i64) -> Instant {
    Instant::from_millis(millis).unwrap()
}

fn count(entries: &[i64]) -> i64 {
    i64::try_from(entries.len()).unwrap()
}

pub async fn many_sums_are_deleted_whole_at_once<F: StoreFactory>(harness: &Harness<F>) {
    let mut ledger = Ledger::new(harness, fastrand::u64(..)).await;
    let keeps_entries = harness.keeps_entries().await;
    for _ in 0..scale(3, 30) {
        ledger.fill(0..QUARTERS).await;
        ledger.divides = keeps_entries;
        ledger.delete().await;
        ledger.divides &= ledger.rng.bool();
        ledger.check().await;
        for _ in 0..3 {
            match ledger.rng.u8(0..3) {
                0 => ledger.charge().await,
                _ => {
                    let quarter = ledger.rng.i64(0..QUARTERS);
                    ledger.fill([quarter, (quarter + 1) % QUARTERS].into_iter()).await;
                }
            }
            ledger.check().await;
        }
        if ledger.rng.bool() {
            let store = ledger.client.service().store();
            store.finish_deletion(ledger.client.client()).await.unwrap();
            ledger.check().await;
        }
    }
}

/// No entries are left, but for what is charged.
pub async fn many_sums_of_what_is_folded_are_deleted_whole_at_once<F: StoreFactory>(harness: &Harness<F>) {
    let mut ledger = Ledger::new(harness, fastrand::u64(..)).await;
    ledger.fill(0..QUARTERS).await;
    harness.store().await.prune(Harness::<F>::noon()).await.unwrap();
    ledger.check().await;
    ledger.delete().await;
    ledger.check().await;
    for _ in 0..2 {
        ledger.charge().await;
        ledger.check().await;
    }
    harness.store().await.prune(Harness::<F>::noon()).await.unwrap();
    ledger.check().await;
}
