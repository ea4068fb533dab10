//! One try at a client's requests on its account at one version.

use std::collections::HashSet;

use parking_lot::Mutex;
use quota_core::{Account, EntryId, Fact, Instant, Need, Operation, OperationId};
use quota_service::{Answers, ClientRequests, ClientTurn, Step, StoreError, may_be_made};

use crate::client_run::ClientRun;
use crate::facts::{KnownIds, Ledger};
use crate::script::{Call, Changed, Outcome};
use crate::state::State;
use crate::stored::{Memory, Stored};
use crate::turn::Turn;

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
pub(crate) enum Late {
    Changed(Box<Changed>),
    Queued,
}

impl Late {
    /// After so many requests were written.
    fn ended(self, written: usize) -> Ended {
        match self {
            Self::Changed(changed) => Ended::Changed(written, changed),
            Self::Queued => Ended::Queued(written),
        }
    }

    pub(crate) fn of(outcome: Outcome) -> Option<Self> {
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
    pub(crate) state: State,
    pub(crate) memory: Memory,
    /// The account at this version, where what a commit adds may be all that it writes.
    pub(crate) before: Option<Account>,
    pub(crate) turn: Turn,
    pub(crate) known: &'a mut KnownIds,
    /// Ids that nothing is known of: taken for absent, which the script confirms with the commit.
    pub(crate) absent: HashSet<OperationId>,
    /// The account was read for these requests, and nothing but it.
    pub(crate) is_fresh: bool,
    /// The earliest present at which a request was asked, or later instant that it asks for, and the latest.
    pub(crate) span: (Instant, Instant),
    /// The earliest present of a request that is not written yet.
    pub(crate) now: Instant,
    /// Commits wait for replicas, and a request may ask for what was done before.
    pub(crate) may_repeat: bool,
    /// A request takes something out.
    pub(crate) takes_out: bool,
    /// The ledger was found at another version.
    pub(crate) reads_other: bool,
}

impl<'a> Attempt<'a> {
    /// Runs the requests on an account; `is_fresh` where it was read after they were asked, `looks_for_made` where their callers may have
    /// asked again since.
    pub(crate) async fn go(
        run: &'a ClientRun<'a>,
        mut stored: Box<Stored>,
        (is_fresh, looks_for_made): (bool, bool),
        known: &'a mut KnownIds,
        requests: ClientRequests<'_>,
        answers: &Mutex<Answers>,
    ) -> Ended {
        let Stored { state, account, memory, is_written, turn: taken, .. } = &mut *stored;
        let (state, memory) = (std::mem::take(state), std::mem::take(memory));
        let instants = || requests.iter().map(|(_, request)| request.asked.max(request.at));
        let span = (instants().min().unwrap_or(Instant::MIN), instants().max().unwrap_or(Instant::MIN));
        let now = span.0.max(account.latest());
        let terms = run.settings.terms(&memory, now);
        let any = |is_so: fn(&Operation) -> bool| requests.iter().any(|(_, request)| is_so(&request.operation));
        let (may_repeat, takes_out) = (run.settings.wait.is_some() && any(repeats), any(takes_out));
        let mut attempt = Self {
            run,
            state,
            memory,
            before: None,
            turn: *taken,
            known,
            absent: HashSet::new(),
            is_fresh,
            span,
            now,
            may_repeat,
            takes_out,
            reads_other: false,
        };
        if takes_out && !attempt.memory.open_entries.is_empty() {
            match Box::pin(attempt.close(account)).await {
                Ok(None) => {}
                Ok(Some(late)) => return late.ended(0),
                Err(error) => return Ended::Failed(0, error),
            }
        }
        if *is_written {
            attempt.remember(account);
        }
        let mut turn = ClientTurn::new(account, terms, requests);
        let mut needs = requests.foresee();
        if looks_for_made {
            turn.look_for_made();
            needs.extend(requests.foresee_made());
        }
        for need in needs {
            attempt.learn_id(&mut turn, need);
        }
        let mut written = 0;
        let ended = loop {
            let (writes, is_done) = match turn.step() {
                Step::Write(writes) => (writes, false),
                Step::Done(writes) => (writes, true),
                Step::Read(needs) => match Box::pin(attempt.read(&mut turn, needs)).await {
                    Ok(()) => continue,
                    Err(error) => break Box::pin(attempt.failed(written, error)).await,
                },
            };
            if attempt.memory.meets_dead(&writes) {
                break Ended::Dead(written);
            }
            match attempt.commit(turn.account(), writes).await {
                Ok(None) if is_done => {
                    let is_written = attempt.before.as_ref() == Some(turn.account());
                    turn.answer(&mut answers.lock());
                    let Self { state, memory, turn, .. } = attempt;
                    (stored.state, stored.memory, stored.turn) = (state, memory, turn);
                    stored.is_written = is_written;
                    return Ended::Done(stored);
                }
                Ok(None) => {
                    written = turn.written();
                    attempt.now = attempt.span.0.max(turn.account().latest());
                }
                Ok(Some(late)) => break late.ended(written),
                Err(error) => break Box::pin(attempt.failed(written, error)).await,
            }
        };
        // What was written before stands, and so do its answers; those after it are given anew.
        turn.answer_written(&mut answers.lock());
        ended
    }

    fn learn_id(&mut self, turn: &mut ClientTurn<'_>, need: Need) {
        let Need::Entry(id) = &need else { return };
        if self.known.find(id).is_none() && !self.known.used.may_hold(id) {
            turn.learn(need, Fact::Entry(None));
            return;
        }
        self.known.look_beside(id, &self.memory, self.run.settings, self.now);
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
        let version = self.state.version().to_owned();
        let at = self.run.ledger_at(&version);
        let ledger = Ledger { at: &at, detail: self.run.settings.detail };
        for need in needs {
            if matches!(need, Need::Entry(_)) {
                self.learn_id(turn, need);
                continue;
            }
            self.is_fresh = false;
            match ledger.fact(&need, &self.memory).await {
                Ok(fact) => turn.learn(need, fact),
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => turn.give_up(error),
                Err(error) => {
                    self.reads_other = at.is_other();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// What a failure comes to after so many requests were written: where the ledger was found at another version, the account is read
    /// again. Who was slower stands in the queue.
    async fn failed(&self, written: usize, error: StoreError) -> Ended {
        if !self.reads_other {
            return Ended::Failed(written, error);
        }
        self.run.read_on_one_wire();
        let call = Call::in_turn((self.run.listener.token, self.turn.passed), None);
        match self.run.call(&call).await {
            // It stands in the queue, be it as the first: for the next try this is a turn that came, and nothing came of.
            Ok(Outcome::Changed(mut changed)) => {
                changed.comes_again = true;
                Ended::Changed(written, changed)
            }
            Ok(outcome) => Late::of(outcome).map_or(Ended::Failed(written, error), |late| late.ended(written)),
            Err(error) => Ended::Failed(written, error),
        }
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

/// Whether it takes entries out.
const fn takes_out(operation: &Operation) -> bool {
    matches!(operation, Operation::Void { .. } | Operation::Delete { .. })
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
