//! One try at a client's requests on its account at one version.

use std::collections::HashSet;

use parking_lot::Mutex;
use quota_core::{Account, EntryId, Fact, Instant, Need, Operation, OperationId, PlanWrite, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, Step, StoreError, may_be_made};

use crate::additions::Additions;
use crate::client_run::ClientRun;
use crate::facts::{KnownIds, Ledger, keys_of_ids};
use crate::keys::Key;
use crate::look_ups::LookUps;
use crate::removing::Removing;
use crate::script::{Call, Changed, Outcome};
use crate::stored::{Memory, Stored};
use crate::turn::{Going, Turn};

/// How a try ended.
pub(crate) enum Ended {
    /// Every request is answered; this is the account now.
    Done(Box<Stored>),
    /// The account is another, or ids are there that were taken for absent. So many requests were written before.
    Changed(usize, Box<Changed>),
    /// It was another's turn, after so many requests were written.
    Queued(usize),
    /// Dead entries stand in the way of a write, after so many requests were written.
    Dead(usize),
    /// It failed, after so many requests were written.
    Failed(usize, StoreError),
}

impl Ended {
    /// Whether others were quicker, so that this store stands in the account's queue.
    pub(crate) fn was_late(&self) -> bool {
        match self {
            Self::Queued(_) => true,
            Self::Changed(_, changed) => changed.comes_again,
            Self::Done(_) | Self::Dead(_) | Self::Failed(..) => false,
        }
    }
}

/// Why a commit was not done.
enum Late {
    Changed(Box<Changed>),
    Queued,
}

impl Late {
    fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Changed(changed) => Some(Self::Changed(changed)),
            Outcome::Queued(_) => Some(Self::Queued),
            Outcome::Done { .. } => None,
        }
    }
}

/// One try at a client's requests.
pub(crate) struct Attempt<'a> {
    pub(crate) run: &'a ClientRun<'a>,
    version: String,
    memory: Memory,
    turn: Turn,
    known: &'a mut KnownIds,
    /// Ids that nothing is known of: taken for absent, which the script confirms with the commit.
    absent: HashSet<OperationId>,
    /// The account was read for these requests, and nothing but it.
    is_fresh: bool,
    /// The earliest instant that a request asks for, and the latest.
    span: (Instant, Instant),
    /// The earliest present of a request that is not written yet.
    now: Instant,
    /// Commits wait for replicas, and a request may ask for what was done before.
    may_repeat: bool,
}

impl<'a> Attempt<'a> {
    /// Runs the requests on an account; `is_fresh` where it was read after they were asked.
    pub(crate) async fn go(
        run: &'a ClientRun<'a>,
        mut stored: Box<Stored>,
        is_fresh: bool,
        known: &'a mut KnownIds,
        requests: ClientRequests<'_>,
        answers: &Mutex<Answers>,
    ) -> Ended {
        let Stored { version, account, memory, turn: taken } = &mut *stored;
        let (version, memory) = (std::mem::take(version), std::mem::take(memory));
        let instants = || requests.iter().map(|(_, request)| request.at);
        let span = (instants().min().unwrap_or(Instant::MIN), instants().max().unwrap_or(Instant::MIN));
        let now = span.0.max(account.latest());
        let terms = run.settings.terms(&memory, now);
        let may_repeat = run.settings.wait.is_some() && requests.iter().any(|(_, request)| repeats(&request.operation));
        let mut attempt =
            Self { run, version, memory, turn: *taken, known, absent: HashSet::new(), is_fresh, span, now, may_repeat };
        let mut turn = ClientTurn::new(account, terms, requests);
        for need in requests.foresee() {
            attempt.learn_id(&mut turn, need);
        }
        let mut written = 0;
        loop {
            let stepped = match turn.step() {
                Step::Read(needs) => Box::pin(attempt.read(&mut turn, needs)).await.map(|()| None),
                Step::Write(writes) | Step::Done(writes) if attempt.memory.meets_dead(&writes) => {
                    turn.answer_written(&mut answers.lock());
                    return Ended::Dead(written);
                }
                Step::Write(writes) => {
                    let stepped = attempt.commit(turn.account(), writes).await;
                    if let Ok(None) = stepped {
                        written = turn.written();
                        attempt.now = attempt.span.0.max(turn.account().latest());
                    }
                    stepped
                }
                Step::Done(writes) => match attempt.commit(turn.account(), writes).await {
                    Ok(None) => {
                        turn.answer(&mut answers.lock());
                        let Self { version, memory, turn, .. } = attempt;
                        (stored.version, stored.memory, stored.turn) = (version, memory, turn);
                        return Ended::Done(stored);
                    }
                    other => other,
                },
            };
            let ended = match stepped {
                Ok(None) => continue,
                Ok(Some(Late::Changed(changed))) => Ended::Changed(written, changed),
                Ok(Some(Late::Queued)) => Ended::Queued(written),
                Err(error) => Ended::Failed(written, error),
            };
            // What was written before stands, and so do its answers; those after it are given anew.
            turn.answer_written(&mut answers.lock());
            return ended;
        }
    }

    fn learn_id(&mut self, turn: &mut ClientTurn<'_>, need: Need) {
        let Need::Entry(id) = &need else { return };
        let entry = match self.known.find(id) {
            Some(known) => known.as_ref().map(|(_, named)| named.entry.clone()),
            None => {
                self.absent.insert(id.clone());
                None
            }
        };
        turn.learn(need, Fact::Entry(entry));
    }

    async fn read(&mut self, turn: &mut ClientTurn<'_>, needs: Vec<Need>) -> Result<(), StoreError> {
        let (wire, reading, keys) = (self.run.gathering.wire(), self.run.reading, &self.run.keys);
        let ledger = Ledger { wire, reading, keys, detail: self.run.settings.detail };
        for need in needs {
            if matches!(need, Need::Entry(_)) {
                self.learn_id(turn, need);
                continue;
            }
            self.is_fresh = false;
            match ledger.fact(&need, &self.memory).await {
                Ok(fact) => turn.learn(need, fact),
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => turn.give_up(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes, or confirms the version where there is nothing to write.
    async fn commit(&mut self, account: &Account, writes: Writes) -> Result<Option<Late>, StoreError> {
        let mut with_ids = self.keys_of_absent(account);
        if LookUps::are_many(&self.absent, &with_ids) {
            let late = Box::pin(self.look_up(std::mem::take(&mut with_ids))).await?;
            if late.is_some() {
                return Ok(late);
            }
        }
        let looks_for_ids = !with_ids.is_empty();
        let mut call = Call::new(&self.version, with_ids);
        call.token = Some((self.run.listener.token, self.turn.passed));
        // With other clients in its batch it cannot come again before these are done.
        call.going = if self.run.is_alone { self.turn.going() } else { Going::Ends };
        if looks_for_ids {
            call.look_for(std::mem::take(&mut self.absent));
        }
        if writes.is_empty() && self.may_repeat && !self.version.is_empty() {
            // What was done before may be on too few replicas: a write after it is on them when it is.
            call.new = self.run.script.new_version();
            call.set_account(Vec::new());
            let version = call.new.clone();
            return self.finish(&call, version).await;
        }
        if writes.is_empty() {
            if self.is_fresh && !looks_for_ids {
                return Ok(None);
            }
            return self.finish(&call, String::new()).await;
        }
        let before = self.memory.clone();
        self.fill(&mut call, account, &writes, &before).await?;
        let is_blank = account.is_blank() && self.memory == Memory::default();
        if is_blank {
            call.command("UNLINK", Key::Account, Vec::new());
        } else {
            if matches!(writes.plan, Some(PlanWrite::Remove)) {
                call.command("HDEL", Key::Account, vec!["p".to_owned()]);
            }
            call.set_account(self.account_fields(account, &writes, &before)?);
        }
        let is_made = self.version.is_empty() && !is_blank;
        if is_made {
            Box::pin(self.run.list()).await?;
        }
        let version = if is_blank { String::new() } else { call.new.clone() };
        let late = self.finish(&call, version).await?;
        if is_made && late.is_none() {
            // A pruning may have taken the name off meanwhile, for want of an account.
            Box::pin(self.run.list_again()).await;
        }
        Ok(late)
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
        let look_ups = LookUps { run: self.run, version: &self.version, passed: self.turn.passed, ids, keys };
        Ok(look_ups.find(self.known).await?.and_then(Late::of))
    }

    async fn finish(&mut self, call: &Call, version: String) -> Result<Option<Late>, StoreError> {
        let outcome = self.run.call(call).await?;
        if let Outcome::Done { others_wait } = outcome {
            self.turn.committed(others_wait, call.going);
            if !call.new.is_empty() {
                self.version = version;
                self.known.clear();
                self.absent.clear();
            }
            self.is_fresh = true;
        }
        Ok(Late::of(outcome))
    }

    async fn fill(
        &mut self,
        call: &mut Call,
        account: &Account,
        writes: &Writes,
        before: &Memory,
    ) -> Result<(), StoreError> {
        call.new = self.run.script.new_version();
        let (settings, present) = (self.run.settings, self.span.1.max(account.latest()));
        if let Some(removal) = &writes.removal {
            let found = match removal {
                quota_core::Removal::Entry(entry) => entry.id.as_ref().and_then(|id| self.known.find(id)?.as_ref()),
                quota_core::Removal::Range(_) => None,
            };
            let (wire, reading, keys) = (self.run.gathering.wire(), self.run.reading, &self.run.keys);
            let removing = Removing { wire, reading, keys, settings, now: present };
            self.memory = before.clone();
            Box::pin(removing.write(removal, found, call, &mut self.memory)).await?;
        }
        if !writes.entries.is_empty() {
            // As the account's time has it, and not what else the batch asked: by that they are looked for.
            let written = self.span.0.max(account.latest());
            let (entries, lasting, known) = (&writes.entries, &self.run.lasting, &*self.known);
            let additions = Additions { entries, lasting, known, written };
            additions.write(call, &mut self.memory, settings);
        }
        Ok(())
    }

    fn account_fields(&self, account: &Account, writes: &Writes, before: &Memory) -> Result<Vec<String>, StoreError> {
        let mut words = vec!["a".to_owned(), account.to_document()];
        for (field, value) in self.memory.changed_since(before) {
            words.extend([field.to_owned(), value]);
        }
        if let Some(PlanWrite::Set(plan, version)) = &writes.plan {
            let quotas = serde_json::to_string(plan.as_ref())
                .map_err(|error| StoreError::not_done("the plan has no JSON form", error))?;
            words.extend(["p".to_owned(), format!("{} {quotas}", version.number())]);
        }
        Ok(words)
    }
}

/// Whether it may have been asked before and done, so that it changes nothing now.
const fn repeats(operation: &Operation) -> bool {
    match operation {
        Operation::Charge { id, .. } | Operation::Record { id, .. } | Operation::Hold { id, .. } => {
            matches!(id, EntryId::Given(_))
        }
        Operation::Status => false,
        _ => true,
    }
}

/// Ids that look like those that a service makes for callers who gave none, and are to be remembered as long as given ones are.
pub(crate) fn lasting_ids(requests: ClientRequests<'_>) -> HashSet<OperationId> {
    let mut lasting = HashSet::new();
    for (_, request) in requests.iter() {
        match &request.operation {
            Operation::Charge { id: EntryId::Made(_), .. } | Operation::Record { id: EntryId::Made(_), .. } => {}
            Operation::Backfill { entries, .. } => lasting.extend(entries.iter().map(|entry| &entry.id)),
            operation => lasting.extend(operation.id()),
        }
    }
    lasting.into_iter().filter(|id| may_be_made(id)).cloned().collect()
}
