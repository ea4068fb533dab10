//! Old entries folded into their quarters' sums.

use std::sync::Arc;

use quota_core::{ClientId, Cut, Instant, QUARTER_MILLIS, quarter_of};
use quota_service::{Pruned, StoreError};

use crate::failure::{Failure, Undone};
use crate::rows;
use crate::server::batch::Applying;
use crate::server::engine::{Engine, Fault, Link};
use crate::server::reading::{Old, What, read};

/// About as many entries as are folded in one transaction, so that charges wait for milliseconds and not for the
/// whole pruning. A quarter of one client is never divided.
const ENTRIES_AT_ONCE: i64 = 2_000;

/// As many clients are looked through in one reading.
const CLIENTS_AT_ONCE: i64 = 500;

/// How often a transaction is tried.
const TRIES: u32 = 3;

impl<E: Engine> Applying<E> {
    /// Folds the entries before `before`, rounded down to a quarter, client by client, each in transactions of a
    /// bounded size that hold its account. Whoever else folds at the same time finds nothing left; an end in between
    /// leaves whole quarters folded or not.
    pub(crate) async fn fold_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        let mut pruned = Pruned::default();
        let mut after = String::new();
        while let Some((last, clients)) = self.old(&after, before, What::Entries).await? {
            for client in clients {
                while let Some(folded) = self.step(&client, before, What::Entries).await? {
                    pruned.entries = pruned.entries.saturating_add(folded.entries);
                    pruned.ids = pruned.ids.saturating_add(folded.ids);
                }
            }
            after = last;
        }
        if let Some(retention) = self.terms.retention {
            self.forget_before(quarter_of(before.saturating_sub(retention))).await?;
        }
        Ok(pruned)
    }

    /// Forgets the sums of quarters before this instant, a client at a time.
    async fn forget_before(&self, before: Instant) -> Result<(), StoreError> {
        let mut after = String::new();
        while let Some((last, clients)) = self.old(&after, before, What::Quarters).await? {
            for client in clients {
                self.step(&client, before, What::Quarters).await?;
            }
            after = last;
        }
        Ok(())
    }

    /// Some clients after this one: the last that was looked at, and those that have something older than `before`.
    async fn old(
        &self,
        after: &str,
        before: Instant,
        what: What,
    ) -> Result<Option<(String, Vec<ClientId>)>, StoreError> {
        let old = Old { after, before, limit: CLIENTS_AT_ONCE, what };
        let rows = read(&self.connections, &old).await?;
        let Some((last, _)) = rows.last().cloned() else { return Ok(None) };
        let old = rows.iter().filter(|(_, first)| first.is_some()).map(|(client, _)| rows::client(client));
        let clients: Result<Vec<_>, _> = old.collect();
        Ok(Some((last, clients?)))
    }

    /// One transaction, tried again where that is safe.
    async fn step(&self, client: &ClientId, before: Instant, what: What) -> Result<Option<Pruned>, StoreError> {
        let mut tries = 1;
        loop {
            let undone = match self.transact_step(client, before, what).await {
                Ok(done) => return Ok(done),
                Err(undone) => undone,
            };
            match &undone {
                Undone::NotDone(Failure::Database(error)) if tries < TRIES => {
                    if E::fault(error) == Fault::Lost {
                        self.connections.close_idle();
                    }
                    tries += 1;
                }
                _ => return Err(undone.into()),
            }
        }
    }

    async fn transact_step(&self, client: &ClientId, before: Instant, what: What) -> Result<Option<Pruned>, Undone> {
        let mut session = self.connections.session().await.map_err(Undone::NotDone)?;
        let link = session.link().map_err(|error| Undone::NotDone(error.into()))?;
        let done = self.connections.timely(async {
            let done = match what {
                What::Entries => fold(link, client, before).await,
                What::Quarters => forget(link, client, before).await.map(|()| None),
            };
            let done = done.map_err(Undone::NotDone)?;
            link.commit().await?;
            Ok(done)
        });
        let done = done.await.map_err(|late| Undone::Unknown(Arc::new(late)))??;
        session.ended();
        Ok(done)
    }
}

/// Folds some whole quarters of a client; none where there is nothing left.
async fn fold<L: Link>(link: &mut L, client: &ClientId, before: Instant) -> Result<Option<Pruned>, Failure> {
    let texts = link.texts();
    let name = client.as_str();
    link.begin_writing().await?;
    link.numbers(&texts.lock_one, &[name.into()]).await?;
    let Some(first) = nth_entry(link, name, before, 0).await? else { return Ok(None) };
    let end_of_first = Cut::floor(first).saturating_add(QUARTER_MILLIS);
    let cut = match nth_entry(link, name, before, ENTRIES_AT_ONCE).await? {
        Some(at) => Cut::floor(at).max(end_of_first),
        None => before.millis(),
    };
    let sizes = link.fold_sizes(&texts.fold_size, &[name.into(), cut.into()]).await?;
    let (last, entries, ids) = sizes.first().copied().unwrap_or_default();
    // Not further than there were entries: where none were folded, ranges may go on to begin and end anywhere.
    let folded_until = last.map_or(0, |last| Cut::floor(last).saturating_add(QUARTER_MILLIS));
    link.execute(&texts.fold, &[folded_until.into(), name.into(), folded_until.into()]).await?;
    link.execute(&texts.remove_entries, &[name.into(), 0.into(), cut.into()]).await?;
    Ok(Some(Pruned { entries: rows::count(entries)?, ids: rows::count(ids)? }))
}

async fn forget<L: Link>(link: &mut L, client: &ClientId, before: Instant) -> Result<(), Failure> {
    let texts = link.texts();
    link.begin_writing().await?;
    link.numbers(&texts.lock_one, &[client.as_str().into()]).await?;
    link.execute(&texts.remove_quarters, &[client.as_str().into(), 0.into(), before.millis().into()]).await?;
    Ok(())
}

async fn nth_entry<L: Link>(link: &mut L, client: &str, before: Instant, nth: i64) -> Result<Option<i64>, Failure> {
    let texts = link.texts();
    let rows = link.numbers(&texts.nth_entry, &[client.into(), before.millis().into(), nth.into()]).await?;
    Ok(rows.first().copied())
}
