//! A store of one's own: a map behind a lock. It keeps an account as a document and a ledger as a list of entries, and
//! passes the conformance suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use quota_service::quota_core::{
    Account, Answer, Asked, Days, Detail, DocumentError, Fact, Need, PlanWrite, Refusal, Removal, Stop, Terms, Turn,
    Writes,
};
use quota_service::{
    ClientId, ClientsQuery, Credits, DailyQuery, DayUsage, Decision, Dispatch, EntriesPage, EntriesQuery, Entry,
    Instant, PlainCharge, Plan, PlanStore, Pruned, Request, StoreError, StoredPlan, UsageStore, Window,
};

/// All clients of one process.
#[derive(Debug, Default)]
pub struct MapStore {
    rows: Mutex<BTreeMap<ClientId, Row>>,
}

/// What is stored of one client.
#[derive(Clone, Debug, Default)]
struct Row {
    /// None before anything was stored: an unknown client leaves no trace.
    document: Option<String>,
    entries: Vec<Entry>,
    plan: Option<Arc<Plan>>,
}

impl MapStore {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<ClientId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_of(&self, client: &ClientId, range: Window) -> Vec<Entry> {
        let rows = self.rows();
        let entries = rows.get(client).map(|row| row.entries.as_slice()).unwrap_or_default();
        entries.iter().filter(|entry| range.contains(entry.at)).cloned().collect()
    }
}

impl Row {
    fn account(&self) -> Result<Account, StoreError> {
        let Some(document) = &self.document else { return Ok(Account::new()) };
        Account::from_document(document).map_err(|error| match error {
            // A newer process wrote it: to overwrite it would lose what that one knows.
            DocumentError::Newer { found, known } => StoreError::UpgradeNeeded { found, known },
            error => StoreError::corrupt("the account", error),
        })
    }

    /// What the ledger says. A database answers this with an index; here, every entry is looked at.
    fn look_up(&self, need: &Need) -> Fact {
        match need {
            Need::Entry(id) => Fact::Entry(self.entries.iter().find(|entry| entry.id.as_ref() == Some(id)).cloned()),
            Need::Sum { window, except } => {
                let counts = |at| window.contains(at) && !except.is_some_and(|range| range.contains(at));
                Fact::Sum(sum(self.entries.iter().filter(|entry| counts(entry.at))))
            }
            Need::Count(range) => {
                let inside: Vec<&Entry> = self.entries.iter().filter(|entry| range.contains(entry.at)).collect();
                let entries = u64::try_from(inside.len()).unwrap_or(u64::MAX);
                Fact::Count { entries, credits: sum(inside.into_iter()) }
            }
        }
    }

    /// Runs one operation. What it changes is in the row afterwards; on an error the row is as it was.
    fn apply(&mut self, request: &Request) -> Result<Answer, StoreError> {
        let mut account = self.account()?;
        let asked = Asked { plan: request.plan.plan.as_deref(), check: request.plan.check, at: request.at };
        let mut turn = Turn::new(&mut account, Terms::ENTRIES);
        let answer = loop {
            match turn.run(&request.operation, asked) {
                Ok(answer) => break answer,
                Err(Stop::Needs(needs)) => {
                    for need in needs {
                        let fact = self.look_up(&need);
                        turn.learn(need, fact);
                    }
                }
                Err(Stop::PlanChanged(version)) => return Err(StoreError::PlanChanged(version)),
                Err(Stop::Refused(refusal)) => return Err(StoreError::Refused(refusal)),
                // Only where several operations share a turn.
                Err(Stop::WriteFirst) => {
                    let message = "nothing of this turn is written yet".to_owned();
                    return Err(StoreError::NotDone { message, source: None });
                }
            }
        };
        let writes = turn.take_writes();
        if !writes.is_empty() {
            self.write(writes, &account);
        }
        Ok(answer)
    }

    /// In a database all of this is one transaction.
    fn write(&mut self, writes: Writes, account: &Account) {
        match writes.removal {
            Some(Removal::Entry(gone)) => self.entries.retain(|entry| entry.id != gone.id),
            Some(Removal::Range(range)) => self.entries.retain(|entry| !range.contains(entry.at)),
            None => {}
        }
        self.entries.extend(writes.entries);
        match writes.plan {
            Some(PlanWrite::Set(plan, _)) => self.plan = Some(plan),
            Some(PlanWrite::Remove) => self.plan = None,
            None => {}
        }
        self.document = (!account.is_blank()).then(|| account.to_document());
    }
}

impl UsageStore for MapStore {
    fn dispatch(&self) -> Dispatch {
        // There is nothing to wait for. A store behind a network asks for batches instead.
        Dispatch::Direct
    }

    fn detail(&self) -> Detail {
        Detail::Entries
    }

    fn charge_now(&self, _: &PlainCharge<'_>) -> Option<Decision> {
        None
    }

    async fn apply(&self, batch: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let mut rows = self.rows();
        let mut answers = Vec::with_capacity(batch.len());
        for request in &batch {
            let mut row = rows.get(&request.client).cloned().unwrap_or_default();
            answers.push(row.apply(request));
            if row.document.is_some() {
                rows.insert(request.client.clone(), row);
            } else {
                rows.remove(&request.client);
            }
        }
        answers
    }

    async fn total(&self, client: &ClientId, range: Window) -> Result<Credits, StoreError> {
        Ok(sum(self.entries_of(client, range).iter()))
    }

    async fn daily(&self, client: &ClientId, query: &DailyQuery) -> Result<Vec<DayUsage>, StoreError> {
        let mut days = Days::new(query.range, query.zone, query.by);
        for entry in self.entries_of(client, query.range) {
            days.add_entry(entry.at, entry.credits, entry.label);
        }
        Ok(days.finish())
    }

    async fn entries(&self, client: &ClientId, query: &EntriesQuery) -> Result<EntriesPage, StoreError> {
        let mut entries = self.entries_of(client, query.range);
        // Stable: entries of one instant stay in the order of writing.
        entries.sort_by_key(|entry| entry.at);
        let of_range = format!("{}.{}.", query.range.start().millis(), query.range.end().millis());
        let skipped = |text: &str| text.strip_prefix(&of_range)?.parse().ok();
        let skip: usize = match query.after.as_deref().map(skipped) {
            None => 0,
            Some(Some(skip)) => skip,
            Some(None) => return Err(StoreError::Refused(Refusal::InvalidCursor)),
        };
        let more = entries.len().saturating_sub(skip) > query.limit;
        let next = more.then(|| format!("{of_range}{}", skip.saturating_add(query.limit)));
        Ok(EntriesPage { entries: entries.into_iter().skip(skip).take(query.limit).collect(), next })
    }

    async fn clients(&self, query: &ClientsQuery) -> Result<Vec<ClientId>, StoreError> {
        let rows = self.rows();
        let wanted = |client: &&ClientId| {
            client.as_str().starts_with(&query.prefix) && query.after.as_ref().is_none_or(|after| *client > after)
        };
        Ok(rows.keys().filter(wanted).take(query.limit).cloned().collect())
    }

    async fn prune(&self, _: Instant) -> Result<Pruned, StoreError> {
        // It keeps every entry: there are no sums that old entries could be folded into.
        Ok(Pruned::default())
    }

    async fn server_time(&self) -> Result<Option<Instant>, StoreError> {
        Ok(None)
    }

    async fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl PlanStore for MapStore {
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError> {
        match self.rows().get(client) {
            Some(row) => Ok(StoredPlan { plan: row.plan.clone(), version: row.account()?.plan_version() }),
            None => Ok(StoredPlan::default()),
        }
    }
}

/// Cannot overflow: the core bounds the sum of all of a client's entries.
fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> Credits {
    entries.fold(Credits::ZERO, |sum, entry| sum.saturating_add(entry.credits))
}
