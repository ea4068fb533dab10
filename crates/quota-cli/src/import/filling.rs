//! A client's entries, added to its ledger or looked for there.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::anyhow;
use quota_core::{ClientId, OperationId, PastEntry, Refusal, Window};
use quota_service::{AnyStore, EntriesQuery, QuotaService, ServiceError, StoreError};

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
    /// Entries that the store does not take.
    pub(super) refused: Vec<(OperationId, Skip)>,
    /// Why the rest of them was not tried.
    pub(super) failed: Option<anyhow::Error>,
}

impl Filled {
    /// How many rows it is about.
    pub(super) fn rows(&self) -> u64 {
        let listed = self.conflicts.len().saturating_add(self.refused.len());
        self.added.saturating_add(self.there).saturating_add(u64::try_from(listed).unwrap_or(u64::MAX))
    }
}

/// Adds a client's entries in batches. A batch that is refused for what an entry of it holds is halved until that entry is
/// alone, so that the others are added. After a failure, here or elsewhere (`stop`), no batch is begun.
pub(super) async fn fill(
    target: &QuotaService<AnyStore>,
    client: ClientId,
    entries: Vec<PastEntry>,
    stop: &Cell<bool>,
) -> Filled {
    let mut filled = Filled::default();
    let mut waiting: Vec<Vec<PastEntry>> = entries.chunks(BATCH).rev().map(<[PastEntry]>::to_vec).collect();
    while let Some(mut batch) = waiting.pop() {
        if stop.get() {
            break;
        }
        match target.backfill(&client, batch.clone()).await {
            Ok(done) => {
                filled.added += done.added;
                filled.there += done.skipped;
                filled.conflicts.extend(done.conflicts);
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
                    stop.set(true);
                    filled.failed = Some(about(error, &client));
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

/// Looks which of a client's entries are there already, and adds none. An entry that was folded into sums is not found, nor is
/// one of another time with the id of one of these.
pub(super) async fn look(
    target: &QuotaService<AnyStore>,
    client: ClientId,
    entries: Vec<PastEntry>,
    stop: &Cell<bool>,
) -> Filled {
    let mut filled = Filled::default();
    let times = || entries.iter().map(|entry| entry.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return filled };
    let Ok(range) = Window::new(first, last.saturating_add(Duration::from_millis(1))) else { return filled };
    let mut rest: HashMap<_, _> = entries.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
    let mut after = None;
    while !stop.get() {
        let page = match target.entries(&client, EntriesQuery { range, after, limit: PAGE }).await {
            Ok(page) => page,
            Err(error) => {
                match unreadable(&error, &client) {
                    Some(skip) => filled.refused.extend(rest.into_keys().map(|id| (id, skip.clone()))),
                    None => {
                        stop.set(true);
                        filled.failed = Some(about(error, &client));
                    }
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

/// What a failure makes of a client's rows where it is that client's alone, and no later attempt's either: the others are
/// not to wait for it.
fn unreadable(error: &ServiceError, client: &ClientId) -> Option<Skip> {
    let is_unreadable = matches!(
        error,
        ServiceError::NotDone { source: StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. } }
    );
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
