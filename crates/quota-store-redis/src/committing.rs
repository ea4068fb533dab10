//! What a try at a client's requests writes.

use quota_core::{Account, Instant, OperationId, PlanWrite, Removal, Writes};
use quota_service::StoreError;

use crate::account_list::AccountText;
use crate::additions::Additions;
use crate::attempt::{Attempt, Late};
use crate::closing::Closing;
use crate::facts::keys_of_ids;
use crate::keys::Key;
use crate::look_ups::LookUps;
use crate::open_entries::OpenEntries;
use crate::putting::put_before;
use crate::removing::Removing;
use crate::script::{Call, Outcome};
use crate::state::State;
use crate::stored::Memory;
use crate::turn::Going;
use crate::used;

impl Attempt<'_> {
    /// Writes, or confirms the version where there is nothing to write. What is seldom waited for is boxed, as in a run.
    pub(crate) async fn commit(&mut self, account: &Account, writes: Writes) -> Result<Option<Late>, StoreError> {
        let with_ids = self.keys_of_absent(account);
        if writes.removal.is_some() || LookUps::are_many(&self.absent, &with_ids) {
            return Box::pin(self.commit_slowly(account, writes, with_ids)).await;
        }
        let mut call = self.call(with_ids);
        let commit = self.prepare(&mut call, account, &writes)?;
        drop(writes);
        self.carry_out(commit, call, account).await
    }

    /// Where something has to be asked before.
    async fn commit_slowly(
        &mut self,
        account: &Account,
        writes: Writes,
        mut with_ids: Vec<Key>,
    ) -> Result<Option<Late>, StoreError> {
        if LookUps::are_many(&self.absent, &with_ids) {
            let late = self.look_up(std::mem::take(&mut with_ids)).await?;
            if late.is_some() {
                return Ok(late);
            }
        }
        let mut call = self.call(with_ids);
        if let Some(removal) = &writes.removal {
            self.remove(removal, &mut call, account).await?;
        }
        let commit = self.prepare(&mut call, account, &writes)?;
        self.carry_out(commit, call, account).await
    }

    /// A call that confirms the version, and that the absent are.
    fn call(&mut self, with_ids: Vec<Key>) -> Box<Call> {
        let looks_for_ids = !with_ids.is_empty();
        // The version that it expects is told where it is called: most charges need no call.
        let mut call = Box::new(Call::new("", with_ids));
        call.is_own = self.state.is_own();
        call.token = Some((self.run.listener.token, self.turn.passed));
        // With other clients in its batch it cannot come again before these are done.
        call.going = if self.run.is_alone { self.turn.going() } else { Going::Ends };
        if looks_for_ids {
            call.look_for(std::mem::take(&mut self.absent));
        }
        call
    }

    /// What is to be done; what is written beside the account stands in the call then.
    fn prepare(&mut self, call: &mut Call, account: &Account, writes: &Writes) -> Result<Commit, StoreError> {
        if writes.is_empty() && self.may_repeat && !self.state.is_absent() {
            // What was done before may be on too few replicas: a write after it is on them when it is.
            call.write_account(self.snapshot(&self.run.script.new_version(), account));
            return Ok(Commit::Call);
        }
        if writes.is_empty() {
            let is_confirmed = self.is_fresh && !call.looks_for_ids();
            return Ok(if is_confirmed { Commit::Nothing } else { Commit::Call });
        }
        let added = self.fill(call, account, writes)?;
        if account.is_blank() && self.memory == Memory::default() {
            call.new = self.run.script.new_version().to_string();
            call.command("UNLINK", Key::Account, Vec::new());
            return Ok(Commit::Call);
        }
        Ok(Commit::Account(self.text(account, writes, added)))
    }

    async fn carry_out(
        &mut self,
        commit: Commit,
        mut call: Box<Call>,
        account: &Account,
    ) -> Result<Option<Late>, StoreError> {
        let mut is_listed = true;
        match commit {
            Commit::Nothing => return Ok(None),
            Commit::Call => {}
            Commit::Account(mut text) => {
                if call.is_of_account() {
                    match self.put(text, account, call.absent()).await? {
                        None => return Ok(None),
                        Some(again) => text = again,
                    }
                }
                call.write_account(text);
                is_listed = !self.state.is_absent();
            }
        }
        Box::pin(self.finish(call, account, is_listed)).await
    }

    /// What a commit writes of the account: what was added alone, where nothing else has changed and there is room for it.
    fn text(&mut self, account: &Account, writes: &Writes, added: Option<OpenEntries>) -> AccountText {
        let version = self.run.script.new_version();
        let before = self.before.take();
        let added = added.and_then(|added| {
            let mut counted = before?;
            counted.add_entries(&writes.entries, account.latest());
            let is_all = counted == *account;
            self.before = is_all.then_some(counted);
            is_all.then(|| AccountText::added(&version, account.latest(), &added))
        });
        let added = added.filter(|text| self.state.has_room_for(text.as_str().len()));
        added.unwrap_or_else(|| self.snapshot(&version, account))
    }

    fn snapshot(&self, version: &str, account: &Account) -> AccountText {
        AccountText::snapshot(version, account, &self.memory)
    }

    /// Writes what is of the account alone without the script, if the account is as it was read and nobody waits; else gives it back.
    async fn put(
        &mut self,
        text: AccountText,
        account: &Account,
        absent: Option<(&[OperationId], &[Key])>,
    ) -> Result<Option<AccountText>, StoreError> {
        let may_be_put = self.run.settings.wait.is_none() && self.state.has_room_for(text.as_str().len());
        let head = self.state.may_be_stood_before().filter(|_| may_be_put);
        let Some((head, absent)) = head.zip(absent) else { return Ok(Some(text)) };
        if !put_before(self.run, head, text.as_str(), absent).await? {
            return Ok(Some(text));
        }
        self.turn.committed(false, Going::Ends);
        self.written(self.state.behind(text), account);
        Ok(None)
    }

    /// A commit was done.
    fn written(&mut self, state: State, account: &Account) {
        self.state = state;
        self.is_fresh = true;
        self.known.written();
        used::keep(&mut self.known.used, &self.memory);
        self.absent.clear();
        if self.before.is_none() {
            self.remember(account);
        }
    }

    /// Remembers the account at this version. Holds are too many to be copied.
    pub(crate) fn remember(&mut self, account: &Account) {
        self.before = (!account.has_holds()).then(|| account.clone());
    }

    /// Puts the entries that stand beside the account into their keys, where what is taken out is looked for.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] also where it is not known whether they were: no request was.
    pub(crate) async fn close(&mut self, account: &Account) -> Result<Option<Late>, StoreError> {
        let mut call = Call::new(self.state.version(), []);
        let mut closing = Closing::new(self.run.settings, self.now);
        closing.take(&mut self.memory.open_entries)?;
        closing.write(&mut call);
        call.write_account(self.snapshot(&self.run.script.new_version(), account));
        // Without a token: whoever is first in the queue stays it, for as long as it may need.
        let mut outcome = self.run.step(&call).await?;
        if matches!(&outcome, Outcome::Changed(changed) if changed.is_other()) {
            // Who was slower stands in the queue.
            call.token = Some((self.run.listener.token, self.turn.passed));
            outcome = self.run.step(&call).await?;
        }
        if let Outcome::Done { others_wait } = outcome {
            self.turn.committed(others_wait, call.going);
            self.state = call.written(&self.state, others_wait);
        }
        Ok(Late::of(outcome))
    }

    fn keys_of_absent(&self, account: &Account) -> Vec<Key> {
        if self.absent.is_empty() {
            return Vec::new();
        }
        // Where the first of the requests would have found them, too: to a later one they may be forgotten.
        let presents = (self.now, self.span.0.max(account.latest()));
        keys_of_ids(self.absent.iter(), &self.memory, self.run.settings, presents)
    }

    /// Looks for the absent before the commit.
    async fn look_up(&mut self, keys: Vec<Key>) -> Result<Option<Late>, StoreError> {
        let ids = std::mem::take(&mut self.absent).into_iter().collect();
        let look_ups = LookUps { run: self.run, version: self.state.version(), passed: self.turn.passed, ids, keys };
        Ok(look_ups.find(self.known).await?.and_then(Late::of))
    }

    /// Calls the script; a client that is new is listed before.
    async fn finish(
        &mut self,
        mut call: Box<Call>,
        account: &Account,
        is_listed: bool,
    ) -> Result<Option<Late>, StoreError> {
        self.state.version().clone_into(&mut call.expected);
        if !is_listed {
            self.run.list().await?;
        }
        let outcome = self.run.call(&call).await?;
        if let Outcome::Done { others_wait } = outcome {
            self.turn.committed(others_wait, call.going);
            self.is_fresh = true;
            if call.new.is_empty() {
                self.state = std::mem::take(&mut self.state).among(others_wait);
            } else {
                self.written(call.written(&self.state, others_wait), account);
            }
        }
        let late = Late::of(outcome);
        if !is_listed && late.is_none() {
            // A pruning may have taken the name off meanwhile, for want of an account.
            self.run.list_again().await;
        }
        Ok(late)
    }

    /// Gives the call what is taken out.
    async fn remove(&mut self, removal: &Removal, call: &mut Call, account: &Account) -> Result<(), StoreError> {
        let found = match removal {
            Removal::Entry(entry) => entry.id.as_ref().and_then(|id| self.known.find(id)?.as_ref()),
            Removal::Range(_) => None,
        };
        let (now, version) = (self.present(account), self.state.version());
        let at = self.run.ledger_at(version);
        let removing = Removing { at: &at, settings: self.run.settings, now };
        let written = removing.write(removal, found, call, &mut self.memory).await;
        self.reads_other = at.is_other();
        written
    }

    /// The latest that anything of the batch asks for.
    fn present(&self, account: &Account) -> Instant {
        self.span.1.max(account.latest())
    }

    /// Gives what is added, where nothing else is done beside the account.
    fn fill(&mut self, call: &mut Call, account: &Account, writes: &Writes) -> Result<Option<OpenEntries>, StoreError> {
        if let Some(plan) = &writes.plan {
            self.memory.plan = plan_text(plan)?;
        }
        let mut added = None;
        if !writes.entries.is_empty() {
            // As the account's time has it, and not what else the batch asked: by that they are looked for.
            let written = self.span.0.max(account.latest());
            let (entries, lasting, known) = (&writes.entries, &self.run.lasting, &*self.known);
            let additions = Additions { entries, lasting, known, written, may_be_open: !self.takes_out };
            added = additions.write(call, &mut self.memory, self.run.settings)?;
            used::add(&mut self.known.used, entries, written, self.run.settings.detail);
        }
        Ok(added.filter(|_| writes.removal.is_none() && writes.plan.is_none()))
    }
}

/// What is done to commit.
enum Commit {
    /// Nothing: there is nothing to write, and the account was read just now.
    Nothing,
    /// The script is called.
    Call,
    /// The account is written, by the script or without it.
    Account(AccountText),
}

/// The plan as it stands beside the account; empty where there is none.
fn plan_text(write: &PlanWrite) -> Result<String, StoreError> {
    let PlanWrite::Set(plan, version) = write else { return Ok(String::new()) };
    let quotas = serde_json::to_string(plan.as_ref());
    let quotas = quotas.map_err(|error| StoreError::not_done("the plan has no JSON form", error))?;
    Ok(format!("{} {quotas}", version.number()))
}
