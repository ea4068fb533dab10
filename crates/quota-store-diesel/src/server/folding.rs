//! Old entries folded into their quarters' sums.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quota_core::{ClientId, Cut, Instant, QUARTER_MILLIS, Span, quarter_of};
use quota_service::{Pruned, StoreError};

use crate::changes::ENTRIES_AT_ONCE;
use crate::failure::{Failure, Undone};
use crate::rows;
use crate::server::batch::Applying;
use crate::server::engine::{Engine, Fault, Link};
use crate::server::ledger;
use crate::server::passed_over::PassedOver;
use crate::server::pool::Purpose;
use crate::server::reading::{Old, What, read};
use crate::standing::{Left, Standing};

/// As many clients are looked through in one reading.
const CLIENTS_AT_ONCE: i64 = 500;

/// How often a transaction is tried.
const TRIES: u32 = 3;

impl<E: Engine> Applying<E> {
    /// Folds the entries before `before`, rounded down to a quarter, client by client, each in transactions of a
    /// bounded size that hold its account. A client that this cannot be done for is passed over. Whoever else folds at the same time finds nothing left; an end in between
    /// leaves whole quarters folded or not.
    pub(crate) async fn fold_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        let (mut pruned, mut passed_over) = (Pruned::default(), PassedOver::default());
        self.finish_deletions(&mut passed_over).await?;
        let mut after = String::new();
        while let Some((last, clients)) = self.old(&after, before, What::Entries).await? {
            for client in clients {
                passed_over.note::<E>(&client, self.fold_client(&client, before, &mut pruned).await)?;
            }
            after = last;
        }
        if let Some(retention) = self.terms.retention {
            self.forget_before(quarter_of(before.saturating_sub(retention)), &mut passed_over).await?;
        }
        passed_over.or(pruned)
    }

    async fn fold_client(&self, client: &ClientId, before: Instant, pruned: &mut Pruned) -> Result<(), Undone> {
        loop {
            match self.step(client, before, What::Entries).await {
                Err(Undone::NotDone(Failure::Unfinished)) => {
                    self.take_out(client).await?;
                }
                Ok(Some(folded)) => {
                    pruned.entries = pruned.entries.saturating_add(folded.entries);
                    pruned.ids = pruned.ids.saturating_add(folded.ids);
                }
                done => return done.map(drop),
            }
        }
    }

    /// Takes out what large deletions have left and nobody has taken out since.
    async fn finish_deletions(&self, passed_over: &mut PassedOver) -> Result<(), StoreError> {
        let mut after = String::new();
        while let Some((last, clients)) = self.old(&after, Instant::MAX, What::Deleted).await? {
            for client in clients {
                passed_over.note::<E>(&client, self.take_out(&client).await.map(drop))?;
            }
            after = last;
        }
        Ok(())
    }

    /// Takes out what a large deletion of this client has left, step by step, whether there was anything.
    pub(crate) async fn take_out(&self, client: &ClientId) -> Result<bool, Undone> {
        let mut any = false;
        while self.step(client, Instant::MAX, What::Deleted).await?.is_some() {
            any = true;
        }
        Ok(any)
    }

    /// Forgets the sums of quarters before this instant, client by client, some in each transaction.
    async fn forget_before(&self, before: Instant, passed_over: &mut PassedOver) -> Result<(), StoreError> {
        let mut after = String::new();
        while let Some((last, clients)) = self.old(&after, before, What::Quarters).await? {
            for client in clients {
                // Entries that could not be folded count with their quarters.
                if !passed_over.has(&client) {
                    passed_over.note::<E>(&client, self.forget_of(&client, before).await)?;
                }
            }
            after = last;
        }
        Ok(())
    }

    async fn forget_of(&self, client: &ClientId, before: Instant) -> Result<(), Undone> {
        while self.step(client, before, What::Quarters).await?.is_some() {}
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
    pub(super) async fn step(&self, client: &ClientId, before: Instant, what: What) -> Result<Option<Pruned>, Undone> {
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
                _ => return Err(undone),
            }
        }
    }

    async fn transact_step(&self, client: &ClientId, before: Instant, what: What) -> Result<Option<Pruned>, Undone> {
        let purpose = match what {
            // By whoever reads usage or charges, and as many as they are.
            What::Deleted => Purpose::Lock,
            What::Entries | What::Quarters => Purpose::Brief,
        };
        let mut session = self.connections.session(purpose).await.map_err(Undone::NotDone)?;
        let link = session.link().map_err(|error| Undone::NotDone(error.into()))?;
        let commits = AtomicBool::new(false);
        let done = self.connections.timely(async {
            let done = match what {
                What::Entries => fold(link, client, before).await,
                What::Quarters => forget_some(link, client, before).await,
                What::Deleted => take_out_some(link, client).await,
            };
            let done = done.map_err(Undone::NotDone)?;
            commits.store(true, Ordering::Relaxed);
            link.commit().await?;
            Ok(done)
        });
        let late = |late| match commits.load(Ordering::Relaxed) {
            true => Undone::Unknown(Arc::new(late)),
            false => Undone::NotDone(Failure::Late),
        };
        let done = done.await.map_err(late)??;
        session.ended();
        Ok(done)
    }
}

/// Folds some whole quarters of a client; none where there is nothing left. Where the first alone has too many entries, they are
/// counted while nobody waits, and their rows are left to be taken out step by step, as after a large deletion.
async fn fold<L: Link>(link: &mut L, client: &ClientId, before: Instant) -> Result<Option<Pruned>, Failure> {
    let texts = link.texts();
    let name = client.as_str();
    let mut counted = None;
    loop {
        link.begin_writing().await?;
        let standing = lock(link, name).await?;
        if standing.left.is_some() {
            return Err(Failure::Unfinished);
        }
        let Some(first) = first_entry(link, name, standing, before).await? else { return Ok(None) };
        let end_of_first = Cut::floor(first).saturating_add(QUARTER_MILLIS);
        let (cut, leaves) =
            match ledger::nth(link, |texts| &texts.nth_of, name, (first, before.millis()), ENTRIES_AT_ONCE).await? {
                Some(at) if at < end_of_first => (end_of_first, true),
                Some(at) => (Cut::floor(at), false),
                None => (before.millis(), false),
            };
        let (last, entries, ids) = match counted {
            Some((until, sizes)) if leaves && until == cut => sizes,
            _ if leaves => {
                link.roll_back().await?;
                link.begin_reading().await?;
                counted = Some((cut, fold_size(link, name, (first, cut)).await?));
                link.roll_back().await?;
                continue;
            }
            _ => fold_size(link, name, (first, cut)).await?,
        };
        // Not further than there were entries: where none were folded, ranges may go on to begin and end anywhere.
        let of_last = last.map_or(0, |last| Cut::floor(last).saturating_add(QUARTER_MILLIS));
        let folded_until = if leaves { cut } else { of_last };
        link.execute(&texts.fold, &[folded_until.into(), name.into(), folded_until.into()]).await?;
        if leaves {
            ledger::leave(link, name, Left::of((first, cut), false)).await?;
        } else {
            link.execute(&texts.remove_entries, &[name.into(), first.into(), cut.into()]).await?;
        }
        return Ok(Some(Pruned { entries: rows::count(entries)?, ids: rows::count(ids)? }));
    }
}

/// The first entry before an instant. Behind what was folded last, if there is one: servers walk over rows that were taken out until they
/// tidy up. What was settled into that time since comes at the end.
async fn first_entry<L: Link>(
    link: &mut L,
    client: &str,
    standing: Standing,
    before: Instant,
) -> Result<Option<i64>, Failure> {
    let (folded, before) = (standing.folded_until.min(before).millis(), before.millis());
    match ledger::nth(link, |texts| &texts.nth_of, client, (folded, before), 0).await? {
        Some(first) => Ok(Some(first)),
        None => ledger::nth(link, |texts| &texts.nth_of, client, (0, folded), 0).await,
    }
}

/// When the last entry of a span was, how many there are, and how many with an id.
async fn fold_size<L: Link>(link: &mut L, client: &str, (from, to): Span) -> Result<(Option<i64>, i64, i64), Failure> {
    let sizes = link.fold_sizes(&link.texts().fold_size, &[client.into(), from.into(), to.into()]).await?;
    Ok(sizes.first().copied().unwrap_or_default())
}

/// Takes out some of the rows that a large deletion has left; none where there are none.
async fn take_out_some<L: Link>(link: &mut L, client: &ClientId) -> Result<Option<Pruned>, Failure> {
    let name = client.as_str();
    link.begin_writing().await?;
    let Some(left) = lock(link, name).await?.left else { return Ok(None) };
    ledger::take_out_some(link, name, left).await?;
    Ok(Some(Pruned::default()))
}

/// Locks an account and tells which of its rows count.
async fn lock<L: Link>(link: &mut L, client: &str) -> Result<Standing, Failure> {
    let rows = link.accounts(&link.texts().lock_one, &[client.into()]).await?;
    let standing = rows.first().map(Standing::read).transpose()?;
    Ok(standing.unwrap_or_default())
}

/// Forgets some of a client's sums; none where none are left. A quarter is not divided. Where entries were added since the client was
/// folded, which count with their quarters, nothing is forgotten until they are folded too.
async fn forget_some<L: Link>(link: &mut L, client: &ClientId, before: Instant) -> Result<Option<Pruned>, Failure> {
    let texts = link.texts();
    let name = client.as_str();
    link.begin_writing().await?;
    lock(link, name).await?;
    if ledger::nth(link, |texts| &texts.nth_of, name, (0, before.millis()), 0).await?.is_some() {
        return Ok(None);
    }
    let next = ledger::nth(link, |texts| &texts.nth_quarter, name, (0, before.millis()), ENTRIES_AT_ONCE).await?;
    let cut = next.map_or(before.millis(), |next| next.saturating_add(1));
    link.execute(&texts.remove_quarters, &[name.into(), 0.into(), cut.into()]).await?;
    Ok(next.map(|_| Pruned::default()))
}
