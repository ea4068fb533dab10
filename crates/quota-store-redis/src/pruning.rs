//! Old entries folded into their quarters' sums, and what is no longer remembered forgotten.

use quota_core::{Account, ClientId, Cut, Detail, Entry, Instant, QUARTER_MILLIS, quarter_of};
use quota_service::{ClientsQuery, Patience, Pruned, StoreError};

use crate::account_list::AccountText;
use crate::call_error::CallError;
use crate::clients::Listed;
use crate::closing::Closing;
use crate::dead_entries::{DeadEntries, ENTRIES_AT_ONCE};
use crate::entry_text::{bound, corrupt, read_member};
use crate::gathering::Gathering;
use crate::keys::{ClientKeys, DAY_MILLIS, Key, day_of};
use crate::queue::Token;
use crate::reading::{command, count_in};
use crate::script::{Call, Outcome, UNREAD};
use crate::store::RedisStore;
use crate::stored::{Memory, Stored};
use crate::values::{count, texts};

/// As many clients are looked through at once.
const CLIENTS_AT_ONCE: usize = 200;

/// So many whole days are folded in one step. Their keys are freed beside the server's work.
const DAYS_AT_ONCE: usize = 32;

/// What one step does to a client.
struct Step {
    call: Call,
    memory: Memory,
    pruned: Pruned,
}

impl RedisStore {
    /// Client by client, in steps of a bounded size that each are a commit on the account's version. Whoever else prunes
    /// at the same time finds nothing left; an end in between leaves whole quarters folded or not.
    ///
    /// What is stored for a client and cannot be read stops nobody else's pruning: it is logged, and the first such error is told
    /// when all clients have been looked through.
    pub(crate) async fn prune_before(&self, before: Instant) -> Result<Pruned, StoreError> {
        let before = quarter_of(before);
        let mut pruned = Pruned::default();
        let mut damaged = None;
        let mut query = ClientsQuery { limit: CLIENTS_AT_ONCE, ..ClientsQuery::default() };
        loop {
            let Listed { clients, left_behind } = self.list_clients(&query).await?;
            self.take_off(left_behind).await?;
            for client in &clients {
                let gathering = Gathering::new(self.link.for_reading());
                match gathering.run(self.prune_client(&gathering, client, before, &mut pruned)).await {
                    Ok(()) => {}
                    Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => {
                        tracing::warn!(%client, %error, "usage is not pruned");
                        damaged.get_or_insert_with(|| error.of_client(client.as_str()));
                    }
                    Err(error) => return Err(error),
                }
            }
            query.after = clients.last().cloned();
            if clients.len() < CLIENTS_AT_ONCE {
                return damaged.map_or(Ok(pruned), Err);
            }
        }
    }

    /// Takes out what deletions and prunings have left of one client.
    pub(crate) async fn take_out_dead(&self, client: &ClientId) -> Result<(), StoreError> {
        let (gathering, keys) = (Gathering::new(self.link.for_reading()), self.settings.prefix.client(client));
        let taking = async { self.dead(&gathering, &keys).take_out(self.read(&gathering, &keys).await?).await };
        gathering.run(taking).await.map(|_| ())
    }

    fn dead<'a>(&'a self, gathering: &'a Gathering<'a>, keys: &'a ClientKeys) -> DeadEntries<'a> {
        DeadEntries { gathering, script: &self.script, keys, token: Token::new(), settings: &self.settings }
    }

    async fn read(&self, gathering: &Gathering<'_>, keys: &ClientKeys) -> Result<Stored, StoreError> {
        match self.script.call(gathering, keys, &Call::read(), None).await? {
            Outcome::Changed(changed) => changed.stored(&self.settings),
            Outcome::Done { .. } | Outcome::Queued(_) => Err(corrupt("a version", UNREAD)),
        }
    }

    async fn prune_client(
        &self,
        gathering: &Gathering<'_>,
        client: &ClientId,
        before: Instant,
        pruned: &mut Pruned,
    ) -> Result<(), StoreError> {
        let keys = self.settings.prefix.client(client);
        let wait = self.settings.wait;
        let mut patience = Patience::new(self.settings.patience);
        let dead = self.dead(gathering, &keys);
        let mut standing = dead.standing();
        let mut now = self.read(gathering, &keys).await?;
        while !now.state.is_absent() {
            if let Some((_, end)) = now.memory.dead {
                // The ids of what was deleted were free before.
                let is_folded = end <= now.memory.folded_until.millis();
                let (alive, ids) = dead.take_out(now).await?;
                pruned.ids = pruned.ids.saturating_add(if is_folded { ids } else { 0 });
                now = alive;
                continue;
            }
            let Some(mut step) = self.next_step(&keys, &now, before).await? else { break };
            step.call.token = Some((dead.token, 0));
            match self.script.call(gathering, &keys, &step.call, wait).await? {
                Outcome::Done { others_wait } => {
                    pruned.entries = pruned.entries.saturating_add(step.pruned.entries);
                    pruned.ids = pruned.ids.saturating_add(step.pruned.ids);
                    (now.state, now.memory) = (step.call.written(&now.state, others_wait), step.memory);
                    patience = Patience::new(self.settings.patience);
                }
                Outcome::Changed(changed) => {
                    patience.check()?;
                    now = changed.stored(&self.settings)?;
                }
                Outcome::Queued(_) => now = standing.turn(&patience).await?,
            }
        }
        Ok(())
    }

    /// What is to be done next for a client; none where nothing is left.
    async fn next_step(&self, keys: &ClientKeys, stored: &Stored, before: Instant) -> Result<Option<Step>, StoreError> {
        let (call, memory) = (Call::new(stored.state.version(), []), stored.memory.clone());
        let mut step = Step { call, memory, pruned: Pruned::default() };
        let has_entries = self.settings.detail == Detail::Entries;
        if step.memory.open_entries.reach_before(before) {
            // From their keys they go as all others do.
            let mut closing = Closing::new(&self.settings, stored.account.latest());
            closing.take(&mut step.memory.open_entries)?;
            closing.write(&mut step.call);
            return Ok(Some(self.finish(step, &stored.account)));
        }
        if has_entries && self.fold(keys, before, &mut step).await? {
            return Ok(Some(self.finish(step, &stored.account)));
        }
        if !has_entries {
            self.forget_ids(before, &mut step);
        }
        self.forget_sums(before, &mut step);
        let is_something = !step.call.is_of_account() || step.memory != stored.memory;
        Ok(is_something.then(|| self.finish(step, &stored.account)))
    }

    fn finish(&self, mut step: Step, account: &Account) -> Step {
        step.call.write_account(AccountText::snapshot(&self.script.new_version(), account, &step.memory));
        step
    }

    /// Folds some of the oldest entries; says whether there were any.
    async fn fold(&self, keys: &ClientKeys, before: Instant, step: &mut Step) -> Result<bool, StoreError> {
        let last = day_of(before.millis());
        let whole: Vec<i64> =
            step.memory.entries.between(i64::MIN, last.saturating_sub(1)).take(DAYS_AT_ONCE).collect();
        if whole.is_empty() {
            return match step.memory.entries.contains(last) {
                true => self.fold_part(keys, last, before, step).await,
                false => Ok(false),
            };
        }
        for day in whole {
            let mut newest = command("ZREVRANGEBYLEX", keys, Key::Entries(day));
            newest.arg("+").arg("-").arg("LIMIT").arg(0).arg(1);
            let (entries, ids) = (command("ZCARD", keys, Key::Entries(day)), command("HLEN", keys, Key::Ids(day)));
            let answers = self.link.for_reading().call_all(&[newest, entries, ids]).await;
            let mut answers = answers.map_err(CallError::of_read)?.into_iter();
            if let Some(member) = texts(answers.next().unwrap_or_default())?.first() {
                fold_until(&mut step.memory, read_member(day, member)?.1.at.millis());
            }
            let mut next = || answers.next().map_or(0, |answer| count(&answer));
            step.pruned.entries = step.pruned.entries.saturating_add(next());
            step.pruned.ids = step.pruned.ids.saturating_add(next());
            step.call.command("UNLINK", Key::Entries(day), Vec::new());
            step.call.command("UNLINK", Key::Ids(day), Vec::new());
            step.memory.entries.remove(day);
        }
        Ok(true)
    }

    /// Folds whole quarters of a day that is not over.
    async fn fold_part(
        &self,
        keys: &ClientKeys,
        day: i64,
        before: Instant,
        step: &mut Step,
    ) -> Result<bool, StoreError> {
        let mut oldest = command("ZRANGEBYLEX", keys, Key::Entries(day));
        oldest.arg("-").arg(format!("({}", bound(day, before.millis())));
        let mut some = oldest.clone();
        some.arg("LIMIT").arg(0).arg(ENTRIES_AT_ONCE);
        let mut entries = self.members(&some, day).await?;
        if u64::try_from(entries.len()).unwrap_or(u64::MAX) >= ENTRIES_AT_ONCE {
            let quarter = |entry: &Entry| Cut::floor(entry.at.millis());
            let (first, last) = (entries.first().map(quarter), entries.last().map(quarter));
            if first == last {
                // A quarter is never divided: it is folded at once, and its entries go in steps.
                return self.fold_quarter(keys, first.unwrap_or_default(), step).await.map(|()| true);
            }
            entries.retain(|entry| Some(quarter(entry)) < last);
        }
        let Some(newest) = entries.last() else { return Ok(false) };
        fold_until(&mut step.memory, newest.at.millis());
        let end = bound(day, Cut::floor(newest.at.millis()).saturating_add(QUARTER_MILLIS));
        let ids: Vec<String> =
            entries.iter().filter_map(|entry| entry.id.as_ref()).map(|id| id.as_str().to_owned()).collect();
        let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        step.pruned = Pruned { entries: length(entries.len()), ids: length(ids.len()) };
        step.call.command("ZREMRANGEBYLEX", Key::Entries(day), vec!["-".to_owned(), format!("({end}")]);
        if !ids.is_empty() {
            step.call.command("HDEL", Key::Ids(day), ids);
        }
        Ok(true)
    }

    /// Folds a quarter whose entries are too many for one step.
    async fn fold_quarter(&self, keys: &ClientKeys, start: i64, step: &mut Step) -> Result<(), StoreError> {
        let quarter = (start, start.saturating_add(QUARTER_MILLIS));
        let counted = self.link.for_reading().call(&count_in(keys, quarter)).await.map_err(CallError::of_read)?;
        step.pruned.entries = count(&counted);
        fold_until(&mut step.memory, start);
        step.memory.dead = Some(quarter);
        Ok(())
    }

    async fn members(&self, command: &redis::Cmd, day: i64) -> Result<Vec<Entry>, StoreError> {
        let answer = self.link.for_reading().call(command).await.map_err(CallError::of_read)?;
        texts(answer)?.iter().map(|member| Ok(read_member(day, member)?.1)).collect()
    }

    /// Whole days of ids that are no longer remembered. Their keys would expire as well.
    fn forget_ids(&self, before: Instant, step: &mut Step) {
        let first = self.settings.first_day_of_ids(before);
        let days: Vec<i64> = step.memory.ids.days_since(i64::MIN).take_while(|day| *day < first).collect();
        for day in days {
            step.call.command("UNLINK", Key::Ids(day), Vec::new());
            step.pruned.ids = step.pruned.ids.saturating_add(step.memory.ids.remove(day));
        }
    }

    /// Whole days of sums beyond the horizon. Their keys would expire as well.
    fn forget_sums(&self, before: Instant, step: &mut Step) {
        let Some(retention) = self.settings.retention else { return };
        let first = day_of(before.saturating_sub(retention).millis());
        step.memory.open_sums.remove((i64::MIN, first.saturating_mul(DAY_MILLIS)));
        let days: Vec<i64> = step.memory.days.between(i64::MIN, first.saturating_sub(1)).take(DAYS_AT_ONCE).collect();
        for day in days {
            step.call.command("UNLINK", Key::Sums(day), Vec::new());
            step.memory.days.remove(day);
        }
    }
}

/// Not further than there were entries: elsewhere ranges may go on to begin and end anywhere.
fn fold_until(memory: &mut Memory, newest: i64) {
    let end = Cut::floor(newest).saturating_add(QUARTER_MILLIS);
    memory.folded_until = memory.folded_until.max(Instant::from_millis(end).unwrap_or(Instant::MAX));
}
