//! The smallest store that passes the suite, pruning aside, and faults for it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quota_core::{
    Account, Answer, Asked, ClientId, Credits, DayUsage, Days, Decision, Detail, Entry, Fact, GroupBy, Instant, Label,
    Need, Plan, PlanVersion, PlanWrite, Removal, Stop, Terms, Turn, Window, Writes,
};
use quota_service::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStore, Pruned, Request, StoreError,
    StoredPlan, UsageStore,
};
use quota_testkit::{Shared, StoreFactory};

use crate::fault::{Fault, at_the_beginning, distort};

pub(crate) struct TinyStores {
    fault: Fault,
    store: Arc<Tiny>,
}

/// Accounts and lists of entries behind one lock.
pub(crate) struct Tiny {
    fault: Fault,
    batches: AtomicUsize,
    clients: Mutex<BTreeMap<ClientId, Kept>>,
}

#[derive(Clone, Default)]
struct Kept {
    account: Account,
    plan: Option<(Arc<Plan>, PlanVersion)>,
    /// By instant, of equals in the order of writing; the number is never used again.
    entries: Vec<(u64, Entry)>,
    next: u64,
    /// In the order of their first use.
    labels: Vec<Label>,
    /// Numbers of the entries that are not listed any more.
    folded: BTreeSet<u64>,
    /// The end of the last quarter whose ids were forgotten.
    forgot_until: Option<Instant>,
}

impl TinyStores {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, store: Arc::new(Tiny::new(fault)) }
    }
}

impl StoreFactory for TinyStores {
    type Store = Shared<Tiny>;

    async fn open(&self) -> Shared<Tiny> {
        match self.fault {
            Fault::CountsInEachProcess => {
                // Plans are shared, counters are not.
                let own = Tiny::new(self.fault);
                let clients = self.store.clients.lock().unwrap().clone();
                *own.clients.lock().unwrap() = clients;
                Shared(Arc::new(own))
            }
            _ => Shared(Arc::clone(&self.store)),
        }
    }
}

impl Tiny {
    fn new(fault: Fault) -> Self {
        Self { fault, batches: AtomicUsize::new(0), clients: Mutex::default() }
    }

    fn name(&self, client: &ClientId) -> ClientId {
        let name = match self.fault {
            Fault::FoldsCase => client.as_str().to_lowercase(),
            Fault::TrimsBlanks => client.as_str().trim_end().to_owned(),
            _ => return client.clone(),
        };
        ClientId::new(name).unwrap()
    }

    fn kept(&self, client: &ClientId) -> Kept {
        self.clients.lock().unwrap().get(&self.name(client)).cloned().unwrap_or_default()
    }

    fn keep(&self, clients: &mut BTreeMap<ClientId, Kept>, client: &ClientId, kept: Kept) {
        let blank = kept.account.is_blank() && kept.plan.is_none() && kept.entries.is_empty();
        if blank && self.fault != Fault::LeavesTraces {
            clients.remove(&self.name(client));
        } else {
            clients.insert(self.name(client), kept);
        }
    }

    async fn apply_one(&self, request: &Request) -> Result<Answer, StoreError> {
        if self.fault == Fault::ReadsStale {
            let mut kept = self.kept(&request.client);
            // Long enough for another lane to read the same.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let answer = kept.run(request, self.fault);
            self.keep(&mut self.clients.lock().unwrap(), &request.client, kept);
            return answer;
        }
        let mut clients = self.clients.lock().unwrap();
        let mut kept = clients.remove(&self.name(&request.client)).unwrap_or_default();
        let answer = kept.run(request, self.fault);
        self.keep(&mut clients, &request.client, kept);
        answer
    }

    async fn apply_all(&self, batch: &[Request]) -> Vec<Result<Answer, StoreError>> {
        let mut answers = Vec::new();
        for request in batch {
            answers.push(self.apply_one(request).await);
        }
        answers
    }
}

impl Kept {
    fn run(&mut self, request: &Request, fault: Fault) -> Result<Answer, StoreError> {
        let before = (fault == Fault::DropsAccount).then(|| self.account.clone());
        let mut request = request.clone();
        distort(&mut request, fault);
        let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
        if fault == Fault::IgnoresLatest {
            self.account = at_the_beginning(&self.account);
        }
        let folded_until = self.forgot_until.unwrap_or(Instant::MIN);
        let mut account = std::mem::take(&mut self.account);
        let mut turn = Turn::new(&mut account, Terms { folded_until, ..Terms::ENTRIES });
        let answer = loop {
            match turn.run(&request.operation, asked) {
                Ok(answer) => break Ok(answer),
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = self.fact(&need, fault);
                        turn.learn(need, fact);
                    }
                }
                Err(Stop::Refused(refusal)) => break Err(StoreError::Refused(refusal)),
                Err(Stop::PlanChanged(version)) => break Err(StoreError::PlanChanged(version)),
                Err(Stop::WriteFirst) => panic!("one operation has nothing to write before it"),
            }
        };
        let writes = turn.take_writes();
        self.account = before.filter(|_| writes.plan.is_none()).unwrap_or(account);
        self.write(writes, fault);
        answer
    }

    fn write(&mut self, writes: Writes, fault: Fault) {
        match writes.removal {
            Some(Removal::Entry(gone)) => self.entries.retain(|(_, entry)| entry.id != gone.id),
            Some(Removal::Range(range)) => self.entries.retain(|(_, entry)| !contains(range, entry.at, fault)),
            None => {}
        }
        for entry in writes.entries {
            if let Some(label) = &entry.label
                && !self.labels.contains(label)
                && self.labels.len() < 64
            {
                self.labels.push(label.clone());
            }
            if fault != Fault::DropsEntries {
                self.entries.push((self.next, entry));
                self.next += 1;
            }
        }
        self.entries.sort_by_key(|(number, entry)| (entry.at, *number));
        match writes.plan {
            Some(PlanWrite::Set(plan, version)) => self.plan = Some((plan, version)),
            Some(PlanWrite::Remove) => self.plan = None,
            None => {}
        }
    }

    fn fact(&self, need: &Need, fault: Fault) -> Fact {
        match need {
            Need::Entry(id) => {
                let found = self.entries.iter().find(|(_, entry)| entry.id.as_ref() == Some(id));
                Fact::Entry(found.map(|(_, entry)| entry.clone()))
            }
            Need::Sum { window, except } => {
                let kept = |entry: &&Entry| !except.is_some_and(|range| range.contains(entry.at));
                Fact::Sum(sum(self.within(*window, fault).filter(kept)))
            }
            Need::Count(range) => {
                let entries = self.within(*range, fault).count().try_into().unwrap();
                Fact::Count { entries, credits: sum(self.within(*range, fault)) }
            }
        }
    }

    fn within(&self, range: Window, fault: Fault) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry).filter(move |entry| contains(range, entry.at, fault))
    }
}

fn contains(range: Window, at: Instant, fault: Fault) -> bool {
    range.contains(at) || (fault == Fault::ClosedRanges && at == range.end())
}

fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> Credits {
    entries.fold(Credits::ZERO, |sum, entry| sum.checked_add(entry.credits).unwrap())
}

impl UsageStore for Tiny {
    fn dispatch(&self) -> Dispatch {
        let most = NonZeroUsize::new(64).unwrap();
        Dispatch::Batched { lanes: NonZeroUsize::new(4).unwrap(), max_batch: most, hot: NonZeroUsize::new(2) }
    }

    fn detail(&self) -> Detail {
        Detail::Entries
    }

    fn charge_now(&self, _charge: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    async fn apply(&self, mut batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        match self.fault {
            Fault::LosesEveryThirdBatch if self.batches.fetch_add(1, Ordering::SeqCst) % 3 == 2 => {
                // Answered, and then lost.
                let kept = self.clients.lock().unwrap().clone();
                let answers = self.apply_all(&batch).await;
                *self.clients.lock().unwrap() = kept;
                answers
            }
            Fault::AppliesTwice => {
                let answers = self.apply_all(&batch).await;
                self.apply_all(&batch).await;
                answers
            }
            Fault::ReordersBatch => {
                batch.reverse();
                let mut answers = self.apply_all(&batch).await;
                answers.reverse();
                answers
            }
            Fault::ShufflesAnswers => {
                let mut answers = self.apply_all(&batch).await;
                let last = answers.len().saturating_sub(1);
                if last > 0 {
                    answers.swap(0, last);
                }
                answers
            }
            Fault::OneFailsAll => {
                let answers = self.apply_all(&batch).await;
                let overflown =
                    |answer: &Result<_, _>| matches!(answer, Err(StoreError::Refused(quota_core::Refusal::Overflow)));
                if answers.iter().any(overflown) {
                    return batch.iter().map(|_| Err(StoreError::Refused(quota_core::Refusal::Overflow))).collect();
                }
                answers
            }
            _ => self.apply_all(&batch).await,
        }
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        Ok(sum(self.kept(client).within(range, self.fault)))
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let kept = self.kept(client);
        let mut days = Days::new(query.range, query.zone, query.by);
        for entry in kept.within(query.range, self.fault) {
            let known = entry.label.clone().filter(|label| kept.labels.contains(label));
            days.add_entry(entry.at, entry.credits, known.filter(|_| query.by == GroupBy::DayAndLabel));
        }
        Ok(days.finish())
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let kept = self.kept(client);
        let after = query.after.as_deref().map(|text| read_cursor(text, query.range)).transpose()?;
        let mut entries = kept.entries.iter().filter(|(number, entry)| {
            let place = (entry.at.millis(), *number);
            let later = |after| if self.fault == Fault::RepeatsOnPages { place >= after } else { place > after };
            query.range.contains(entry.at) && !kept.folded.contains(number) && after.is_none_or(later)
        });
        let page: Vec<_> = entries.by_ref().take(query.limit.max(1)).collect();
        let more = entries.next().is_some();
        let next = page.last().filter(|_| more).map(|(number, entry)| format!("{}.{number}", entry.at.millis()));
        let mut entries: Vec<_> = page.into_iter().map(|(_, entry)| entry.clone()).collect();
        if self.fault == Fault::ListsOtherCredits {
            entries.iter_mut().for_each(|entry| entry.credits = entry.credits.saturating_add(Credits::ONE));
        }
        Ok(EntriesPage { entries, next })
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        let clients = self.clients.lock().unwrap();
        let wanted = clients.keys().filter(|client| {
            client.as_str().starts_with(&query.prefix) && query.after.as_ref().is_none_or(|after| *client > after)
        });
        Ok(wanted.take(query.limit.max(1)).cloned().collect())
    }

    /// Forgets old ids and lists no old entries, and nothing more: what is only summed can be cut as before.
    async fn prune(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = if self.fault == Fault::PrunesEverything { Instant::MAX } else { before };
        let before = quota_core::quarter_of(before);
        let mut pruned = Pruned::default();
        for kept in self.clients.lock().unwrap().values_mut() {
            for (number, entry) in kept.entries.iter_mut().filter(|(_, entry)| entry.at < before) {
                entry.id = None;
                kept.folded.insert(*number);
                let end = quota_core::quarter_of(entry.at).saturating_add(Duration::from_secs(900));
                kept.forgot_until = kept.forgot_until.max(Some(end));
                pruned.entries += 1;
            }
            if self.fault == Fault::GivesBackOnPrune {
                kept.entries.retain(|(_, entry)| entry.at >= before);
            }
        }
        Ok(pruned)
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        Ok(None)
    }

    async fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl PlanStore for Tiny {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        let kept = self.kept(client);
        let (plan, version) = kept.plan.unzip();
        Ok(StoredPlan { plan, version })
    }
}

fn read_cursor(text: &str, range: Window) -> Result<(i64, u64), StoreError> {
    let read = || {
        let (at, number) = text.split_once('.')?;
        let at: i64 = at.parse().ok()?;
        let is_of_range = range.contains(Instant::from_millis(at).ok()?);
        is_of_range.then_some((at, number.parse().ok()?))
    };
    read().ok_or_else(|| StoreError::Refused(quota_core::Refusal::InvalidCursor))
}
