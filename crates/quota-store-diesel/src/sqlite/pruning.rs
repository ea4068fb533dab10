//! Old entries folded into their quarters' sums.

use diesel::RunQueryDsl;
use diesel::sql_types::BigInt;
use quota_core::{ClientId, Cut, Instant, QUARTER_MILLIS, quarter_of};
use quota_service::{Pruned, StoreError};

use crate::changes::ENTRIES_AT_ONCE;
use crate::failure::{Failure, Undone};
use crate::rows::{self, FoldSizeSql, FoldableSql};
use crate::sqlite::ledger::SqliteLedger;
use crate::sqlite::store::SqliteStore;
use crate::sqlite::workers::Gone;
use crate::standing::Left;
use crate::statement::Sql;
use crate::texts::Texts;

/// As many clients are looked through in one reading.
const CLIENTS_AT_ONCE: i64 = 500;

impl SqliteStore {
    /// Folds the entries before `before`, rounded down to a quarter, client by client, each in transactions of a
    /// bounded size. Whoever else folds at the same time finds nothing left; an end in between leaves whole
    /// quarters folded or not.
    pub(super) async fn fold_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        self.finish_deletions().await?;
        let mut pruned = Pruned::default();
        let mut from = String::new();
        while let Some((last, clients)) = self.with_old(from, before, |texts| &texts.foldable).await? {
            for client in clients {
                self.fold_client(client, before, &mut pruned).await?;
            }
            from = last;
        }
        if let Some(retention) = self.builder.terms.retention {
            self.forget_before(before.saturating_sub(retention)).await?;
        }
        Ok(pruned)
    }

    /// Takes out what large deletions have left and nobody has taken out since.
    async fn finish_deletions(&self) -> Result<(), StoreError> {
        let mut from = String::new();
        while let Some((last, clients)) = self.with_old(from, Instant::MAX, |texts| &texts.unfinished).await? {
            for client in clients {
                self.take_out(&rows::client(&client)?).await?;
            }
            from = last;
        }
        Ok(())
    }

    /// Takes out what a large deletion of this client has left, step by step.
    pub(super) async fn take_out(&self, client: &ClientId) -> Result<(), StoreError> {
        loop {
            let client = client.clone();
            let step = self.writer.run(move |session| session.write(|ledger| ledger.take_out_some(&client)));
            if !step.await.map_err(not_answered)?? {
                return Ok(());
            }
        }
    }

    /// Forgets the sums of quarters before this instant, client by client, some in each transaction.
    async fn forget_before(&self, before: Instant) -> Result<(), StoreError> {
        let before = quarter_of(before);
        let mut from = String::new();
        while let Some((last, clients)) = self.with_old(from, before, |texts| &texts.forgettable).await? {
            for client in clients {
                while self.forget_some(client.clone(), before).await? {}
            }
            from = last;
        }
        Ok(())
    }

    /// Forgets some of a client's sums; tells whether there are more.
    async fn forget_some(&self, client: String, before: Instant) -> Result<bool, StoreError> {
        let step = self.writer.run(move |session| session.write(|ledger| ledger.forget_some(&client, before)));
        Ok(step.await.map_err(not_answered)??)
    }

    /// Some clients after `from`: the last that was looked at, and those that have something older than `before`.
    async fn with_old(
        &self,
        from: String,
        before: Instant,
        text: fn(&Texts) -> &Sql,
    ) -> Result<Option<(String, Vec<String>)>, StoreError> {
        let read = self.readers.read(move |session| {
            session.read(|ledger| {
                let binds = [before.millis().into(), from.as_str().into(), CLIENTS_AT_ONCE.into()];
                Ok(text(ledger.texts).with::<FoldableSql>(&binds).load(ledger.connection)?)
            })
        });
        let rows: Vec<(String, Option<i64>)> =
            read.await.map_err(|gone| StoreError::not_done("the pruning was not answered", gone))??;
        let last = rows.last().map(|(client, _)| client.clone());
        let old = rows.into_iter().filter(|(_, first)| first.is_some()).map(|(client, _)| client);
        Ok(last.map(|last| (last, old.collect())))
    }

    async fn fold_client(&self, client: String, before: Instant, pruned: &mut Pruned) -> Result<(), StoreError> {
        let client = rows::client(&client)?;
        let mut counted = None;
        loop {
            let folding = client.clone();
            let size = counted.take();
            let folded = self.writer.run(move |session| session.write(|ledger| ledger.fold(&folding, before, size)));
            match folded.await.map_err(not_answered)? {
                Err(Undone::NotDone(Failure::Unfinished)) => self.take_out(&client).await?,
                done => match done? {
                    Fold::Nothing => return Ok(()),
                    Fold::ToCount(until) => counted = Some((until, self.fold_size(client.clone(), until).await?)),
                    Fold::Done(folded) => {
                        pruned.entries = pruned.entries.saturating_add(folded.entries);
                        pruned.ids = pruned.ids.saturating_add(folded.ids);
                    }
                },
            }
        }
    }

    async fn fold_size(&self, client: ClientId, before: i64) -> Result<FoldSize, StoreError> {
        let read = self.readers.read(move |session| session.read(|ledger| ledger.fold_size(&client, before)));
        read.await.map_err(|gone| StoreError::not_done("the pruning was not answered", gone))?.map_err(Into::into)
    }
}

/// When the last entry before an instant was, how many there are, and how many with an id.
type FoldSize = (Option<i64>, i64, i64);

/// What a step of folding a client did.
enum Fold {
    /// Nothing was left.
    Nothing,
    /// Nothing: the entries before this instant, a quarter that has too many, are to be counted while nobody waits.
    ToCount(i64),
    Done(Pruned),
}

impl SqliteLedger<'_> {
    /// Folds some whole quarters of a client. Where the first alone has too many entries, how many has to be known before, and
    /// their rows are left to be taken out step by step, as after a large deletion.
    fn fold(&mut self, client: &ClientId, before: Instant, counted: Option<(i64, FoldSize)>) -> Result<Fold, Failure> {
        if self.standing(client)?.left.is_some() {
            return Err(Failure::Unfinished);
        }
        let Some(first) = self.nth_entry(client.as_str(), before.millis(), 0)? else { return Ok(Fold::Nothing) };
        let end_of_first = Cut::floor(first).saturating_add(QUARTER_MILLIS);
        let (cut, leaves) = match self.nth_entry(client.as_str(), before.millis(), ENTRIES_AT_ONCE)? {
            Some(at) if at < end_of_first => (end_of_first, true),
            Some(at) => (Cut::floor(at), false),
            None => (before.millis(), false),
        };
        let (last, entries, ids) = match counted {
            Some((until, size)) if leaves && until == cut => size,
            _ if leaves => return Ok(Fold::ToCount(cut)),
            _ => self.fold_size(client, cut)?,
        };
        let name = client.as_str();
        // Not further than there were entries: where none were folded, ranges may go on to begin and end anywhere.
        let of_last = last.map_or(0, |last| Cut::floor(last).saturating_add(QUARTER_MILLIS));
        let folded_until = if leaves { cut } else { of_last };
        let texts = self.texts;
        // It says how far it is folded.
        self.kept.take(client);
        self.execute(&texts.fold, &[folded_until.into(), name.into(), folded_until.into()])?;
        if leaves {
            self.leave(name, Left::of((first, cut), false))?;
        } else {
            self.execute(&texts.remove_entries, &[name.into(), 0.into(), cut.into()])?;
        }
        Ok(Fold::Done(Pruned { entries: rows::count(entries)?, ids: rows::count(ids)? }))
    }

    fn fold_size(&mut self, client: &ClientId, before: i64) -> Result<FoldSize, Failure> {
        let binds = [client.as_str().into(), before.into()];
        Ok(self.texts.fold_size.with::<FoldSizeSql>(&binds).get_result(self.connection)?)
    }

    /// A quarter is not divided. Where entries were added since the client was folded, which count with their quarters, nothing is forgotten
    /// until they are folded too.
    fn forget_some(&mut self, client: &str, before: Instant) -> Result<bool, Failure> {
        if self.nth_entry(client, before.millis(), 0)?.is_some() {
            return Ok(false);
        }
        let next = self.nth_quarter(client, (0, before.millis()), ENTRIES_AT_ONCE)?;
        let cut = next.map_or(before.millis(), |next| next.saturating_add(1));
        self.execute(&self.texts.remove_quarters, &[client.into(), 0.into(), cut.into()])?;
        Ok(next.is_some())
    }

    fn nth_entry(&mut self, client: &str, before: i64, nth: i64) -> Result<Option<i64>, Failure> {
        let binds = [client.into(), before.into(), nth.into()];
        let rows: Vec<i64> = self.texts.nth_entry.with::<BigInt>(&binds).load(self.connection)?;
        Ok(rows.first().copied())
    }
}

fn not_answered(gone: Gone) -> StoreError {
    StoreError::unknown("the pruning was not answered", gone)
}
