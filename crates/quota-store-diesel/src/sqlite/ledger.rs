//! The tables inside one transaction of SQLite.

use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use quota_core::{ClientId, Cut, Fact, Need, PlanWrite, Removal, Span, Window};

use crate::changes::{Changes, ENTRIES_AT_ONCE, Removed};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::rows::{
    self, AccountRow, AccountSql, Broken, EntryRow, EntrySql, LabelSumSql, Standing, Stored, SumSql, id_column,
};
use crate::sqlite::kept::KeptAccounts;
use crate::statement::{Bind, Sql};
use crate::texts::Texts;

/// The tables inside one transaction.
pub(crate) struct SqliteLedger<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) texts: &'a Texts,
    pub(super) kept: &'a mut KeptAccounts,
    has_written: bool,
}

impl<'a> SqliteLedger<'a> {
    pub(crate) fn new(connection: &'a mut SqliteConnection, texts: &'a Texts, kept: &'a mut KeptAccounts) -> Self {
        Self { connection, texts, kept, has_written: false }
    }

    /// Whether there is something to commit.
    pub(crate) const fn has_written(&self) -> bool {
        self.has_written
    }

    pub(super) fn execute(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> Result<usize, Failure> {
        self.has_written = true;
        Ok(sql.with::<()>(binds).execute(self.connection)?)
    }

    pub(super) fn account_row(&mut self, client: &ClientId) -> Result<Option<AccountRow>, Failure> {
        let binds = [client.as_str().into()];
        Ok(self.texts.account.with::<AccountSql>(&binds).get_result(self.connection).optional()?)
    }

    /// Micros and entries of a range.
    pub(super) fn sum(&mut self, client: &ClientId, range: Window, standing: Standing) -> Result<(i64, i64), Failure> {
        if range.is_empty() {
            return Ok((0, 0));
        }
        let Cut { quarters, edges: [head, tail] } = Cut::new(range, standing.folded_until);
        if standing.cuts(head) || standing.cuts(tail) {
            return Err(Failure::Unfinished);
        }
        let client = Bind::from(client.as_str());
        let span = |(from, to): Span| [client, from.into(), to.into()];
        let binds = [span(quarters), span(head), span(tail)].concat();
        Ok(self.texts.sum.with::<SumSql>(&binds).get_result(self.connection)?)
    }

    fn entry(&mut self, client: &ClientId, id: &str) -> Result<Option<EntryRow>, Failure> {
        let binds = [id.into(), client.as_str().into()];
        Ok(self.texts.entry.with::<EntrySql>(&binds).get_result(self.connection).optional()?)
    }

    fn take_from_quarter(&mut self, client: &str, at: i64, label: &str, sum: (i64, i64)) -> Result<(), Failure> {
        let (client, quarter, label) = (Bind::from(client), Bind::from(Cut::floor(at)), Bind::from(label));
        let texts = self.texts;
        self.execute(&texts.take_from_quarter, &[sum.0.into(), sum.1.into(), client, quarter, label])?;
        self.execute(&texts.drop_empty_quarter, &[client, quarter, label])?;
        Ok(())
    }

    fn remove_range(&mut self, removed: &Removed<'_>, range: Window) -> Result<Option<Span>, Failure> {
        let (client, texts) = (removed.client.as_str(), self.texts);
        if removed.standing.deleted.is_some() {
            return Err(Failure::Unfinished);
        }
        let Cut { quarters, edges } = Cut::new(range, removed.standing.folded_until);
        for (from, to) in edges {
            let binds = [client.into(), from.into(), to.into()];
            let sums: Vec<(String, i64, i64)> = texts.sum_by_label.with::<LabelSumSql>(&binds).load(self.connection)?;
            for (label, micros, entries) in sums {
                let label = rows::label(&label)?;
                self.take_from_quarter(client, from, removed.labels.counted(label.as_ref()), (micros, entries))?;
            }
        }
        self.execute(&texts.remove_quarters, &[client.into(), quarters.0.into(), quarters.1.into()])?;
        let span = (range.start().millis(), range.end().millis());
        self.remove_entries(client, span)
    }

    /// Takes out the entries of a span; or notes which are to be taken out where they are many.
    fn remove_entries(&mut self, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
        let texts = self.texts;
        if self.nth_of(client, (from, to), ENTRIES_AT_ONCE)?.is_none() {
            self.execute(&texts.remove_entries, &[client.into(), from.into(), to.into()])?;
            return Ok(None);
        }
        let first = self.nth_of(client, (from, to), 0)?.unwrap_or(from);
        let last: i64 =
            texts.last_of.with::<BigInt>(&[client.into(), from.into(), to.into()]).get_result(self.connection)?;
        let mut left = (first, last.saturating_add(1));
        if self.nth_of(client, (last, to), ENTRIES_AT_ONCE)?.is_none() {
            // Those of the last instant at once: the next charge may be of the same one, and is not to wait for all.
            self.execute(&texts.remove_entries, &[client.into(), last.into(), to.into()])?;
            left.1 = last;
        }
        self.leave(client, left)?;
        Ok(Some(left))
    }

    /// Notes in the account where rows are left to be taken out.
    pub(super) fn leave(&mut self, client: &str, (from, to): Span) -> Result<(), Failure> {
        match self.execute(&self.texts.leave, &[from.into(), to.into(), client.into()])? {
            0 => Err(Broken::malformed("it has entries and no account").into()),
            _ => Ok(()),
        }
    }

    /// The instant of an entry of this span, counted from 0.
    fn nth_of(&mut self, client: &str, (from, to): Span, nth: i64) -> Result<Option<i64>, Failure> {
        let binds = [client.into(), from.into(), to.into(), nth.into()];
        Ok(self.texts.nth_of.with::<BigInt>(&binds).get_result(self.connection).optional()?)
    }

    /// Takes out some of the rows that a large deletion has left; tells whether there were any. A millisecond is not
    /// divided.
    pub(super) fn take_out_some(&mut self, client: &ClientId) -> Result<bool, Failure> {
        let Some((.., from, to)) = self.account_row(client)?.filter(|(.., from, to)| from < to) else {
            return Ok(false);
        };
        let (name, texts) = (client.as_str(), self.texts);
        let next = self.nth_of(name, (from, to), ENTRIES_AT_ONCE)?;
        let cut = next.map_or(to, |next| next.max(from.saturating_add(1)));
        // It says how much is left.
        self.kept.take(client);
        self.execute(&texts.remove_entries, &[name.into(), from.into(), cut.into()])?;
        let left = if cut < to { (cut, to) } else { (0, 0) };
        self.leave(name, left)?;
        Ok(true)
    }
}

impl Ledger for SqliteLedger<'_> {
    fn account(&mut self, client: &ClientId) -> Result<Stored, Failure> {
        if let Some(stored) = self.kept.take(client) {
            return Ok(stored);
        }
        let row = self.account_row(client)?;
        Ok(Stored::read(row.as_ref())?)
    }

    fn keep(&mut self, client: &ClientId, stored: Stored) {
        self.kept.put(client, stored);
    }

    fn fact(&mut self, client: &ClientId, standing: Standing, need: &Need) -> Result<Fact, Failure> {
        match need {
            Need::Entry(id) => {
                let row = self.entry(client, id.as_str())?;
                let entry = row.map(|row| rows::entry(Some(id.clone()), &row)).transpose()?;
                if let Some(deleted) = entry.as_ref().filter(|entry| standing.is_deleted(entry.at)) {
                    // Out of the way: its id is free again.
                    let (client, at) = (client.as_str(), deleted.at.millis());
                    self.execute(&self.texts.remove_entry, &[client.into(), at.into(), id.as_str().into()])?;
                    return Ok(Fact::Entry(None));
                }
                Ok(Fact::Entry(entry))
            }
            Need::Sum { window, except } => {
                let mut micros = 0_i64;
                for part in window.without(*except) {
                    // The lifetime sum bounds it.
                    micros = micros.saturating_add(self.sum(client, part, standing)?.0);
                }
                Ok(Fact::Sum(rows::credits(micros)?))
            }
            Need::Count(range) => {
                let (micros, entries) = self.sum(client, *range, standing)?;
                Ok(Fact::Count { entries: rows::count(entries)?, credits: rows::credits(micros)? })
            }
        }
    }

    fn remove(&mut self, removed: &Removed<'_>) -> Result<Option<Span>, Failure> {
        match removed.removal {
            Removal::Range(range) => self.remove_range(removed, *range),
            Removal::Entry(entry) => {
                let (client, at, id) = (removed.client.as_str(), entry.at.millis(), id_column(entry.id.as_ref()));
                let counted = removed.labels.counted(entry.label.as_ref());
                let texts = self.texts;
                self.execute(&texts.remove_entry, &[client.into(), at.into(), id.as_str().into()])?;
                self.take_from_quarter(client, at, counted, (entry.credits.micros(), 1))?;
                Ok(None)
            }
        }
    }

    fn make_room(&mut self, client: &ClientId, (from, to): Span, at: i64) -> Result<Option<Span>, Failure> {
        let (client, texts) = (client.as_str(), self.texts);
        if self.nth_of(client, (at, to), ENTRIES_AT_ONCE)?.is_some() {
            return Err(Failure::Unfinished);
        }
        self.execute(&texts.remove_entries, &[client.into(), at.into(), to.into()])?;
        self.leave(client, (from, at))?;
        Ok((from < at).then_some((from, at)))
    }

    /// Row by row: statements of many rows were measured slower, for a row that breaks a constraint must be able to
    /// take the whole statement back.
    fn write(&mut self, changes: &Changes) -> Result<(), Failure> {
        let texts = self.texts;
        for entry in &changes.entries {
            let (client, id, label) = (entry.client.as_str(), entry.id.as_str(), entry.label.as_str());
            let binds = [client.into(), entry.at.into(), id.into(), entry.credits.into(), label.into()];
            self.execute(&texts.add_entry, &binds)?;
        }
        for (key, add) in &changes.quarters {
            let (client, label) = (key.client.as_str(), key.label.as_str());
            let binds = [client.into(), key.quarter.into(), label.into(), add.credits.into(), add.entries.into()];
            self.execute(&texts.add_to_quarter, &binds)?;
        }
        for account in &changes.accounts {
            let (document, labels) = (account.document.as_str(), account.labels.as_str());
            let binds = [account.client.as_str().into(), document.into(), labels.into()];
            self.execute(&texts.put_account, &binds)?;
        }
        for (client, plan) in &changes.plans {
            self.write_plan(client.as_str(), plan)?;
        }
        Ok(())
    }
}

impl SqliteLedger<'_> {
    fn write_plan(&mut self, client: &str, plan: &PlanWrite) -> Result<(), Failure> {
        let texts = self.texts;
        match plan {
            PlanWrite::Set(plan, version) => {
                let quotas = serde_json::to_string(plan.as_ref())
                    .map_err(|error| Broken::malformed(format!("its plan has no JSON form: {error}")))?;
                // The same 64 bits: columns are signed.
                let version = version.number().get().cast_signed();
                self.execute(&texts.put_plan, &[client.into(), version.into(), quotas.as_str().into()])?;
            }
            PlanWrite::Remove => {
                self.execute(&texts.remove_plan, &[client.into()])?;
            }
        }
        Ok(())
    }

    /// Rows of one column of text.
    pub(super) fn texts_of(&mut self, sql: &Sql, binds: &[Bind<'_>]) -> Result<Vec<String>, Failure> {
        Ok(sql.with::<Text>(binds).load(self.connection)?)
    }
}
