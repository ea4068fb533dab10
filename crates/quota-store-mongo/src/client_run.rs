//! One client's requests, run until they are answered.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use quota_core::{ClientId, Cut, Fact, Need, OperationId, Removal, Window, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, KeptAccounts, Patience, Step, StoreError};
use uuid::Uuid;

use crate::claim::Claim;
use crate::ledger::Ledger;
use crate::outbox::{Outbox, first_seq};
use crate::pending_deletion::PendingDeletion;
use crate::settings::Settings;
use crate::stored::Stored;
use crate::tables::{CallError, Tables};

/// One client's requests, run until they are answered: on the account as this process saw it last, and again from the
/// account as it is where another process was quicker.
pub(crate) struct ClientRun<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) settings: &'a Settings,
    pub(crate) kept: &'a KeptAccounts<Stored>,
    pub(crate) client: &'a ClientId,
}

/// How a try ended.
enum Ended {
    /// Every request is answered; this is the account now.
    Done(Box<Stored>),
    /// Another process was quicker, after so many requests were written.
    Overtaken(usize),
    /// It failed, after so many requests were written.
    Failed(usize, StoreError),
}

/// What became of a commit.
enum Commit {
    Done,
    Overtaken,
}

impl ClientRun<'_> {
    /// Answers the requests; gives the account as it is now, with what is left for the ledger. Where a request failed, this
    /// process does not know how it is.
    pub(crate) async fn answer(&self, mut requests: ClientRequests<'_>, answers: &Mutex<Answers>) -> Option<Stored> {
        let mut patience = Patience::new(self.settings.patience);
        let mut claim = Claim::new();
        let mut begun = match self.kept.take(self.client) {
            Some(stored) => Ok(Some(Begun { stored, is_fresh: false, claim: None })),
            None => self.read().await,
        };
        loop {
            let ended = match begun {
                Ok(Some(begun)) => self.attempt(begun, requests, answers).await,
                Ok(None) => Ended::Overtaken(0),
                Err(error) => Ended::Failed(0, error),
            };
            match ended {
                Ended::Done(stored) => return Some(*stored),
                Ended::Overtaken(written) => {
                    requests = requests.after(written);
                    begun = self.claim(&mut claim, &mut patience).await;
                }
                Ended::Failed(written, error) => {
                    claim.leave(self.tables, self.client).await;
                    answers.lock().fail(requests.after(written), || error.again());
                    return None;
                }
            }
        }
    }

    async fn attempt(&self, begun: Begun<'_>, requests: ClientRequests<'_>, answers: &Mutex<Answers>) -> Ended {
        let Begun { stored, is_fresh, claim } = begun;
        let terms = self.settings.terms(stored.folded_until);
        let mut account = stored.account.clone();
        let mut turn = ClientTurn::new(&mut account, terms, requests);
        let mut attempt = Attempt { run: self, stored, is_fresh, claim, written: 0 };
        let ended = attempt.go(&mut turn, requests).await;
        let Attempt { mut stored, written, .. } = attempt;
        match ended {
            Ok(Commit::Done) => {
                turn.answer(&mut answers.lock());
                stored.account = account;
                Ended::Done(Box::new(stored))
            }
            Ok(Commit::Overtaken) => {
                turn.answer_written(&mut answers.lock());
                Ended::Overtaken(written)
            }
            Err(error) => {
                turn.answer_written(&mut answers.lock());
                Ended::Failed(written, error)
            }
        }
    }

    async fn read(&self) -> Result<Option<Begun<'static>>, StoreError> {
        let document = self.tables.get(&self.tables.accounts, self.client.as_str(), None).await?;
        self.begin(document.as_ref(), None).await
    }

    /// Waits for a turn at the account, and reads it.
    async fn claim<'c>(&self, claim: &'c mut Claim, patience: &mut Patience) -> Result<Option<Begun<'c>>, StoreError> {
        match claim.turn(self.tables, self.client, patience).await? {
            Some(document) => self.begin(Some(&document), Some(claim)).await,
            None => self.begin(None, None).await,
        }
    }

    /// The account as it was read, with what its last commit left written into the ledger; none where it has changed
    /// meanwhile.
    async fn begin<'c>(
        &self,
        document: Option<&Document>,
        claim: Option<&'c Claim>,
    ) -> Result<Option<Begun<'c>>, StoreError> {
        let mut stored = Stored::read(document)?;
        if let Some(outbox) = stored.outbox.take()
            && !self.tables.drain_found(self.client, &stored.version, &outbox).await?
        {
            return Ok(None);
        }
        // A primary answers what no majority has yet: what is decided on an account and writes nothing is confirmed.
        Ok(Some(Begun { stored, is_fresh: document.is_none(), claim }))
    }
}

/// Where a try begins.
struct Begun<'a> {
    stored: Stored,
    /// It needs no confirmation that this is how the account is.
    is_fresh: bool,
    claim: Option<&'a Claim>,
}

/// One try at a client's requests.
struct Attempt<'a> {
    run: &'a ClientRun<'a>,
    /// As it was read or committed last; its account is not kept up.
    stored: Stored,
    /// The account was read for these requests, or committed, and nothing since.
    is_fresh: bool,
    /// Ends with the commit.
    claim: Option<&'a Claim>,
    /// How many requests were written.
    written: usize,
}

impl Attempt<'_> {
    async fn go(&mut self, turn: &mut ClientTurn<'_>, requests: ClientRequests<'_>) -> Result<Commit, StoreError> {
        self.learn(turn, requests.foresee()).await?;
        loop {
            match turn.step() {
                Step::Read(needs) => self.learn(turn, needs).await?,
                Step::Write(writes) => {
                    if let Commit::Overtaken = self.commit(turn, writes).await? {
                        return Ok(Commit::Overtaken);
                    }
                    self.written = turn.written();
                }
                Step::Done(writes) => return self.commit(turn, writes).await,
            }
        }
    }

    /// Reads what the turn needs of the ledger: after the account, so that the commit on its version proves that nothing
    /// has changed since.
    async fn learn(&mut self, turn: &mut ClientTurn<'_>, needs: Vec<Need>) -> Result<(), StoreError> {
        if needs.is_empty() {
            return Ok(());
        }
        self.drained().await?;
        self.is_fresh = false;
        let ledger = self.ledger();
        let ids: Vec<OperationId> = needs.iter().filter_map(id_of).cloned().collect();
        let named = match ids.is_empty() {
            true => Vec::new(),
            false => match ledger.named(&ids).await {
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => {
                    turn.give_up(error);
                    return Ok(());
                }
                other => other?,
            },
        };
        for need in needs {
            let fact = match id_of(&need) {
                Some(id) => Ok(Fact::Entry(named.iter().find(|entry| entry.id.as_ref() == Some(id)).cloned())),
                None => ledger.fact(&need).await,
            };
            match fact {
                Ok(fact) => turn.learn(need, fact),
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => turn.give_up(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ledger(&self) -> Ledger<'_> {
        let Stored { folded_until, folded_seq, pending, .. } = &self.stored;
        Ledger {
            tables: self.run.tables,
            client: self.run.client,
            folded_until: *folded_until,
            folded_seq: *folded_seq,
            pending: pending.as_ref(),
        }
    }

    /// Writes, or confirms the version where there is nothing to write.
    async fn commit(&mut self, turn: &ClientTurn<'_>, mut writes: Writes) -> Result<Commit, StoreError> {
        if writes.is_empty() {
            let confirmed = if self.is_fresh { Ok(Commit::Done) } else { self.confirm().await };
            if let Some(claim) = self.claim.take() {
                claim.leave(self.run.tables, self.run.client).await;
            }
            return confirmed;
        }
        self.drained().await?;
        let is_new = self.stored.version.is_empty();
        let is_blank = turn.account().is_blank();
        if is_blank && is_new {
            // Not worth a document.
            return self.confirm().await;
        }
        let mut next = Stored { version: Uuid::new_v4().simple().to_string(), ..self.stored.clone() };
        next.outbox = self.outbox(&mut next, &mut writes).await?;
        let mut update = next.update(&turn.account().to_document(), writes.plan.as_ref(), is_blank)?;
        if self.claim.is_some() {
            // Its turn is over.
            update.insert("$pop", doc! { "q": -1 });
        }
        let filter = self.stored.filter(self.run.client.as_str(), self.claim);
        let put =
            Put { tables: self.run.tables, client: self.run.client, old: &self.stored.version, new: &next.version };
        let commit = put.run(doc! { "q": filter, "u": update, "upsert": is_new }).await?;
        if let Commit::Done = commit {
            self.stored = next;
            self.is_fresh = true;
            self.claim = None;
        }
        Ok(commit)
    }

    /// Whether the account is still the one that was read: asked of a majority, by a change of what says nothing. One that
    /// changes nothing would be answered also by a primary that has lost its place and does not know it yet.
    async fn confirm(&self) -> Result<Commit, StoreError> {
        let (tables, client, version) = (self.run.tables, self.run.client.as_str(), &self.stored.version);
        let stands = if version.is_empty() {
            tables.get(&tables.accounts, client, Some(doc! { "v": 1 })).await?.is_none()
        } else {
            let confirm = doc! { "q": { "_id": client, "v": version }, "u": { "$inc": { "k": 1_i64 } } };
            tables.update(&tables.accounts, vec![confirm]).await.map_err(CallError::of_read)? > 0
        };
        Ok(if stands { Commit::Done } else { Commit::Overtaken })
    }

    /// Writes what the last commit left into the ledger, unless it stands there.
    async fn drained(&mut self) -> Result<(), StoreError> {
        if let Some(outbox) = &self.stored.outbox {
            self.run.tables.drain(self.run.client, outbox).await.map_err(CallError::of_read)?;
            self.stored.outbox = None;
        }
        Ok(())
    }

    /// What the ledger is to get.
    async fn outbox(&self, next: &mut Stored, writes: &mut Writes) -> Result<Option<Outbox>, StoreError> {
        next.seq = if next.seq == 0 { first_seq() } else { next.seq.saturating_add(1) };
        let mut outbox = Outbox::new(next.seq);
        if writes.removal.is_some() {
            next.removed_seq = next.seq;
        }
        match writes.removal.take() {
            None => outbox.add(std::mem::take(&mut writes.entries), &mut next.labels),
            Some(Removal::Entry(entry)) => {
                if let Some(id) = entry.id.clone() {
                    outbox.take(&entry, id, &next.labels);
                }
            }
            Some(Removal::Range(range)) => self.take_range(range, next, &mut outbox).await?,
        }
        Ok((!outbox.is_empty()).then_some(outbox))
    }

    /// A deletion of many entries takes their sums out, and leaves the entries dead: to take them out takes longer than
    /// others may wait for this commit.
    async fn take_range(&self, range: Window, next: &mut Stored, outbox: &mut Outbox) -> Result<(), StoreError> {
        let (tables, client) = (self.run.tables, self.run.client);
        let span = (range.start().millis(), range.end().millis());
        let last = tables.last_of_many(client, span).await?;
        // An account has room for one. And a deletion of few takes out no more than it has counted.
        if next.pending.as_ref().is_some_and(|pending| last.is_some() || pending.overlaps(span)) {
            // Others of the batch wait for this. What is done stays done.
            let finished = tokio::time::timeout(BRIEFLY, tables.finish_deletion(client)).await;
            finished.map_err(|_| StoreError::NotDone { message: STILL_DELETING.to_owned(), source: None })??;
            next.pending = None;
        }
        let Cut { quarters, edges } = Cut::new(range, next.folded_until);
        let cut = self.ledger().cut_from_quarters(&edges, &next.labels).await?;
        match last {
            None => outbox.take_range(span, quarters, cut),
            Some(last) => {
                next.pending = Some(PendingDeletion::new(next.seq, span.0, last));
                outbox.take_range((span.0, span.0), quarters, cut);
            }
        }
        Ok(())
    }
}

/// How long an earlier deletion may keep a batch waiting: less than the service waits for answers.
const BRIEFLY: Duration = Duration::from_secs(3);

const STILL_DELETING: &str = "an earlier deletion of the client is still being finished: ask again";

fn id_of(need: &Need) -> Option<&OperationId> {
    match need {
        Need::Entry(id) => Some(id),
        Need::Sum { .. } | Need::Count(_) => None,
    }
}

/// One commit.
struct Put<'a> {
    tables: &'a Tables,
    client: &'a ClientId,
    /// The version that it rests on, and the one that it makes.
    old: &'a str,
    new: &'a str,
}

/// How often a commit is sent whose answer was lost.
const TRIES: u32 = 3;

impl Put<'_> {
    /// Sends the commit; where the answer is lost, finds out what became of it. It names the version that it makes, so
    /// it may be sent again as long as the version is the old one: it is done once.
    async fn run(&self, statement: Document) -> Result<Commit, StoreError> {
        let mut lost: Option<CallError> = None;
        for _ in 0..TRIES {
            let error = match self.tables.update(&self.tables.accounts, vec![statement.clone()]).await {
                Ok(count) if count > 0 => return Ok(Commit::Done),
                Ok(_) => match lost {
                    None => return Ok(Commit::Overtaken),
                    // The try before may have been done, and another commit since.
                    Some(error) => error,
                },
                Err(error @ CallError::NotDone(_)) if lost.is_none() => return Err(error.of_write()),
                Err(error) => error,
            };
            match self.tables.is_at(self.client, self.new).await {
                Ok(true) => return Ok(Commit::Done),
                Ok(false) if self.stands_at_old().await => lost = Some(error),
                _ => return Err(open(error)),
            }
        }
        Err(lost.map_or_else(|| open(CallError::Open("it was not sent".to_owned())), open))
    }

    async fn stands_at_old(&self) -> bool {
        let accounts = &self.tables.accounts;
        let found = self.tables.get(accounts, self.client.as_str(), Some(doc! { "v": 1 })).await;
        found.is_ok_and(|found| found.as_ref().map_or(Some(""), |found| found.get_str("v").ok()) == Some(self.old))
    }
}

/// The fate of a commit is not known.
fn open(error: CallError) -> StoreError {
    match error {
        CallError::NotDone(error) => CallError::Lost(error).of_write(),
        other => other.of_write(),
    }
}
