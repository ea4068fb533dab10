//! The tables inside one transaction of SQLite.

use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl};
use quota_core::{ClientId, Cut, Fact, Need, PlanWrite, QUARTER_MILLIS, Removal, Span, Window};

use crate::changes::{Changes, ENTRIES_AT_ONCE, Removed};
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::rows::{self, AccountRow, AccountSql, Broken, EntryRow, EntrySql, LabelSumSql, Stored, SumSql, id_column};
use crate::sqlite::kept::KeptAccounts;
use crate::standing::{Left, Standing};
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
        let [before, behind] = standing.living(quarters);
        let binds = [span(before), span(head), span(tail)].concat();
        let sum: (i64, i64) = self.texts.sum.with::<SumSql>(&binds).get_result(self.connection)?;
        if behind.0 >= behind.1 {
            return Ok(sum);
        }
        let (none, rest) = (span((behind.1, behind.1)), span(behind));
        let binds = [rest, none, none].concat();
        let (micros, entries): (i64, i64) = self.texts.sum.with::<SumSql>(&binds).get_result(self.connection)?;
        // The lifetime sum bounds both.
        Ok((sum.0.saturating_add(micros), sum.1.saturating_add(entries)))
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

    fn remove_range(&mut self, removed: &Removed<'_>, range: Window) -> Result<Option<Left>, Failure> {
        let (client, texts) = (removed.client.as_str(), self.texts);
        if removed.standing.left.is_some() {
            return Err(Failure::Unfinished);
        }
        let Cut { quarters, edges } = Cut::new(range, removed.standing.folded_until);
        for (from, to) in edges {
            let binds = [client.into(), from.into(), to.into()];
            let sums: Vec<(String, i64, i64)> = texts.sum_by_label.with::<LabelSumSql>(&binds).load(self.connection)?;
            for (label, sum) in removed.as_counted(sums)? {
                self.take_from_quarter(client, from, &label, sum)?;
            }
        }
        let sums = self.remove_sums(client, quarters)?;
        let entries = self.remove_entries(client, (range.start().millis(), range.end().millis()))?;
        let left = Left::hull(entries, sums);
        if left.is_some() {
            self.leave(client, left)?;
        }
        Ok(left)
    }

    /// Takes out the sums of these quarters; where they are many, it gives of which they are left.
    fn remove_sums(&mut self, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
        let texts = self.texts;
        let span = [client.into(), from.into(), to.into()];
        if self.nth_quarter(client, (from, to), ENTRIES_AT_ONCE)?.is_none() {
            self.execute(&texts.remove_quarters, &span)?;
            return Ok(None);
        }
        let first = self.nth_quarter(client, (from, to), 0)?.unwrap_or(from);
        let last = self.nth(&texts.nth_last_quarter, client, (from, to), 0)?.unwrap_or(first);
        if self.nth_quarter(client, (last, to), ENTRIES_AT_ONCE)?.is_some() {
            return Ok(Some((first, last.saturating_add(QUARTER_MILLIS))));
        }
        // Those of the last quarter at once: the next charge may be of the same one, and is not to wait for all.
        self.execute(&texts.remove_quarters, &[client.into(), last.into(), to.into()])?;
        Ok(Some((first, last)))
    }

    /// Takes out the entries of a span; where they are many, it gives where they are left.
    fn remove_entries(&mut self, client: &str, (from, to): Span) -> Result<Option<Span>, Failure> {
        let texts = self.texts;
        if self.nth_of(client, (from, to), ENTRIES_AT_ONCE)?.is_none() {
            self.execute(&texts.remove_entries, &[client.into(), from.into(), to.into()])?;
            return Ok(None);
        }
        let first = self.nth_of(client, (from, to), 0)?.unwrap_or(from);
        let last = self.nth(&texts.nth_last_of, client, (from, to), 0)?.unwrap_or(to);
        let mut left = (first, last.saturating_add(1));
        if self.nth_of(client, (last, to), ENTRIES_AT_ONCE)?.is_none() {
            // Those of the last instant at once: the next charge may be of the same one, and is not to wait for all.
            self.execute(&texts.remove_entries, &[client.into(), last.into(), to.into()])?;
            left.1 = last;
        }
        Ok(Some(left))
    }

    /// Notes in the account where rows are left to be taken out.
    pub(super) fn leave(&mut self, client: &str, left: Option<Left>) -> Result<(), Failure> {
        let (from, to) = left.map_or((0, 0), |left| left.span);
        let sums = i64::from(left.is_some_and(|left| left.sums));
        match self.execute(&self.texts.leave, &[from.into(), to.into(), sums.into(), client.into()])? {
            0 => Err(Broken::malformed("it has entries and no account").into()),
            _ => Ok(()),
        }
    }

    /// The instant of an entry of this span, counted from 0.
    fn nth_of(&mut self, client: &str, (from, to): Span, nth: i64) -> Result<Option<i64>, Failure> {
        self.nth(&self.texts.nth_of, client, (from, to), nth)
    }

    /// The quarter of a sum of this span of quarters, counted from 0.
    pub(super) fn nth_quarter(&mut self, client: &str, (from, to): Span, nth: i64) -> Result<Option<i64>, Failure> {
        self.nth(&self.texts.nth_quarter, client, (from, to), nth)
    }

    fn nth(&mut self, sql: &Sql, client: &str, (from, to): Span, nth: i64) -> Result<Option<i64>, Failure> {
        let binds = [client.into(), from.into(), to.into(), nth.into()];
        Ok(sql.with::<BigInt>(&binds).get_result(self.connection).optional()?)
    }

    /// Takes out some of what a large deletion has left, the newest of it; tells whether there was any.
    pub(super) fn take_out_some(&mut self, client: &ClientId) -> Result<bool, Failure> {
        let Some(left) = self.standing(client)?.left else { return Ok(false) };
        let (name, texts) = (client.as_str(), self.texts);
        // It says how much is left.
        self.kept.take(client);
        let entry = self.nth(&texts.nth_last_of, name, left.span, ENTRIES_AT_ONCE)?;
        if let Some(at) = entry.filter(|entry| left.ends_with(*entry)) {
            // More at one instant than are taken out at once.
            let id = self.texts_of(&texts.nth_id, &[name.into(), at.into(), ENTRIES_AT_ONCE.into()])?.pop();
            let id = id.unwrap_or_default();
            self.execute(&texts.remove_below, &[name.into(), at.into(), id.as_str().into()])?;
            return Ok(true);
        }
        let quarter = self.nth(&texts.nth_last_quarter, name, left.quarters(), ENTRIES_AT_ONCE)?;
        self.take_out_from(name, left, left.tail(entry, quarter))?;
        Ok(true)
    }

    fn take_out_from(&mut self, client: &str, left: Left, at: i64) -> Result<Option<Left>, Failure> {
        let texts = self.texts;
        let (remaining, first) = left.until(at);
        self.execute(&texts.remove_entries, &[client.into(), at.into(), left.span.1.into()])?;
        if left.sums {
            self.execute(&texts.remove_quarters, &[client.into(), first.into(), left.quarters().1.into()])?;
        }
        self.leave(client, remaining)?;
        Ok(remaining)
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

    fn remove(&mut self, removed: &Removed<'_>) -> Result<Option<Left>, Failure> {
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

    fn make_room(&mut self, client: &ClientId, left: Left, at: i64) -> Result<Option<Left>, Failure> {
        let client = client.as_str();
        let (_, first) = left.until(at);
        if self.nth_of(client, (at, left.span.1), ENTRIES_AT_ONCE)?.is_some()
            || self.nth_quarter(client, (first, left.quarters().1), ENTRIES_AT_ONCE)?.is_some()
        {
            return Err(Failure::Unfinished);
        }
        self.take_out_from(client, left, at)
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
