//! A client's entries, added to its ledger or looked for there.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::anyhow;
use quota_core::{ClientId, OperationId, PastEntry, Refusal, Window};
use quota_service::{AnyStore, EntriesQuery, QuotaService, ServiceError, StoreError};

use crate::import::folded::in_folded_time;
use crate::import::mark::Mark;
use crate::import::row::Skip;
use crate::import::source::PAGE;
use crate::shown;

/// How many entries of a client are written at once: few enough that its charges do not wait for long.
const BATCH: usize = 1_000;

/// What became of a client's entries.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) added: u64,
    pub(super) there: u64,
    pub(super) conflicts: Vec<OperationId>,
    /// Entries of a time that was folded into sums.
    pub(super) folded: Vec<OperationId>,
    /// Entries that the store does not take.
    pub(super) refused: Vec<(OperationId, Skip)>,
    /// Why the rest of them was not tried.
    pub(super) failed: Option<anyhow::Error>,
}

impl Filled {
    /// How many rows it is about.
    pub(super) fn rows(&self) -> u64 {
        let listed = self.conflicts.len().saturating_add(self.folded.len()).saturating_add(self.refused.len());
        self.added.saturating_add(self.there).saturating_add(u64::try_from(listed).unwrap_or(u64::MAX))
    }
}

/// What a client's entries are filled into.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) target: &'a QuotaService<AnyStore>,
    /// What tells whether the store has forgotten rows; none where it forgets none, or may count them again.
    pub(super) mark: Option<&'a Mark>,
    /// Set by a failure: no batch is begun after it.
    pub(super) stop: &'a Cell<bool>,
}

impl Filling<'_> {
    /// Adds a client's entries in batches. A batch that is refused for what an entry of it holds is halved until that entry
    /// is alone, so that the others are added. After a failure, here or elsewhere, no batch is begun.
    pub(super) async fn fill(self, client: ClientId, entries: Vec<PastEntry>) -> Filled {
        let mut filled = Filled::default();
        let mut waiting: Vec<Vec<PastEntry>> = entries.chunks(BATCH).rev().map(<[PastEntry]>::to_vec).collect();
        while let Some(mut batch) = waiting.pop() {
            if self.stop.get() {
                break;
            }
            // Before each batch, for an import may take longer than rows are told apart.
            if let Some(mark) = self.mark
                && let Err(error) = mark.check(self.target).await
            {
                self.fail(&mut filled, error);
                break;
            }
            match self.target.backfill(&client, batch.clone()).await {
                Ok(done) => {
                    filled.added += done.added;
                    filled.there += done.skipped;
                    if let Err(error) = self.leave_alone(&mut filled, &client, &batch, done.conflicts).await {
                        self.fail(&mut filled, about(error, &client));
                        break;
                    }
                }
                Err(ServiceError::Refused(refusal)) if skip(&refusal, &client).is_some() && batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    waiting.extend([rest, batch]);
                }
                Err(error) => {
                    let refused = match &error {
                        ServiceError::Refused(refusal) => skip(refusal, &client),
                        error => unreadable(error, &client),
                    };
                    let Some(skip) = refused else {
                        self.fail(&mut filled, about(error, &client));
                        break;
                    };
                    // Nor is any other of them taken, and to ask for each would take long.
                    let others = matches!(skip, Skip::TooManyIds(_) | Skip::Unreadable(_))
                        .then(|| waiting.drain(..).rev().flatten());
                    let all = batch.into_iter().chain(others.into_iter().flatten());
                    filled.refused.extend(all.map(|entry| (entry.id, skip.clone())));
                }
            }
        }
        filled
    }

    /// Notes entries that the store left alone, by why it did.
    async fn leave_alone(
        self,
        filled: &mut Filled,
        client: &ClientId,
        batch: &[PastEntry],
        left_alone: Vec<OperationId>,
    ) -> Result<(), ServiceError> {
        let looked = in_folded_time(self.target, client, batch, &left_alone).await;
        let (in_folded, done) = looked.map_or_else(|error| (HashSet::new(), Err(error)), |folded| (folded, Ok(())));
        let (folded, conflicts): (Vec<_>, Vec<_>) = left_alone.into_iter().partition(|id| in_folded.contains(id));
        filled.folded.extend(folded);
        filled.conflicts.extend(conflicts);
        done
    }

    /// Looks which of a client's entries are there already, and adds none. An entry that was folded into sums is not found,
    /// nor is one of another time with the id of one of these.
    pub(super) async fn look(self, client: ClientId, entries: Vec<PastEntry>) -> Filled {
        let mut filled = Filled::default();
        let times = || entries.iter().map(|entry| entry.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return filled };
        let Ok(range) = Window::new(first, last.saturating_add(Duration::from_millis(1))) else { return filled };
        let mut rest: HashMap<_, _> = entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
        let mut after = None;
        while !self.stop.get() {
            let page = match self.target.entries(&client, EntriesQuery { range, after, limit: PAGE }).await {
                Ok(page) => page,
                Err(error) => {
                    match unreadable(&error, &client) {
                        Some(skip) => filled.refused.extend(rest.into_keys().map(|id| (id, skip.clone()))),
                        None => self.fail(&mut filled, about(error, &client)),
                    }
                    return filled;
                }
            };
            for there in page.entries {
                let Some(entry) = there.id.and_then(|id| rest.remove(&id)) else { continue };
                if (there.at, there.credits) == (entry.at, entry.credits) {
                    filled.there += 1;
                } else {
                    filled.conflicts.push(entry.id);
                }
            }
            after = page.next;
            if after.is_none() {
                filled.added = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                break;
            }
        }
        filled
    }

    fn fail(self, filled: &mut Filled, error: anyhow::Error) {
        self.stop.set(true);
        filled.failed = Some(error);
    }
}

/// What a failure makes of a client's rows where it is that client's alone, and no later attempt's either: the others are
/// not to wait for it.
fn unreadable(error: &ServiceError, client: &ClientId) -> Option<Skip> {
    // What a newer version has written is no client's own: the import ends.
    let is_unreadable = matches!(error, ServiceError::NotDone { source: StoreError::Corrupt { .. } });
    is_unreadable.then(|| Skip::Unreadable(client.clone()))
}

fn about(error: ServiceError, client: &ClientId) -> anyhow::Error {
    anyhow!(error).context(format!("the client {}", shown::escape(client.as_str())))
}

/// What a refusal makes of a row; none where it is not about the row.
fn skip(refusal: &Refusal, client: &ClientId) -> Option<Skip> {
    match refusal {
        Refusal::Overflow => Some(Skip::Overflow(client.clone())),
        Refusal::TooManyIds => Some(Skip::TooManyIds(client.clone())),
        Refusal::EntryInFuture { .. } => Some(Skip::InFuture),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use quota_core::{Credits, Instant};

    use super::*;
    use crate::import::mark::Repeated;

    #[tokio::test]
    async fn no_batch_is_begun_when_the_store_may_have_forgotten_rows() {
        let store = QuotaService::new(quota_stores::connect("memory:").await.unwrap());
        let (client, mark) = (ClientId::new("c").unwrap(), Mark::of("s").unwrap());
        let entry = |id: u32| PastEntry {
            id: OperationId::new(format!("frappy:s:{id}")).unwrap(),
            at: Instant::from_millis(1_709_251_200_000).unwrap(),
            credits: Credits::ONE,
            label: None,
        };
        let stop = Cell::new(false);
        let filling = Filling { target: &store, mark: Some(&mark), stop: &stop };
        let filled = filling.fill(client.clone(), vec![entry(1)]).await;
        assert_eq!((filled.added, filled.failed.is_none()), (1, true));
        let old = PastEntry { label: Some("import-frappy".parse().unwrap()), credits: Credits::ZERO, ..entry(0) };
        store.backfill(&ClientId::new("frappy:s").unwrap(), vec![old]).await.unwrap();
        let filled = filling.fill(client.clone(), vec![entry(2)]).await;
        assert!(filled.failed.as_ref().is_some_and(anyhow::Error::is::<Repeated>) && stop.get(), "{:?}", filled.failed);
        assert_eq!(store.total_usage(&client, Window::ALL).await.unwrap(), Credits::ONE);
        stop.set(false);
        let filled = Filling { mark: None, ..filling }.fill(client, vec![entry(2)]).await;
        assert_eq!(filled.added, 1, "where that was asked for");
    }
}
