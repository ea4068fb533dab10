//! One client's requests, run until they are answered.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use quota_core::{ClientId, Credits, Entry, Fact, Need, OperationId, Plan, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, Patience, Receipt, Step, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::{Claim, queue};
use crate::escrow::Escrow;
use crate::escrow_run::Charging;
use crate::leaving::Unfinished;
use crate::ledger::Ledger;
use crate::meetings::Meetings;
use crate::outbox::first_seq;
use crate::put::{Commit, Put};
use crate::store::MongoStore;
use crate::stored::Stored;
use crate::tables::{CallError, Tables};
use crate::together::{Room, Together};
use crate::used;

/// One client's requests, run until they are answered: on the account as this process saw it last, and again from the
/// account as it is where another process was quicker.
pub(crate) struct ClientRun<'a> {
    pub(crate) store: &'a MongoStore,
    /// What other clients' runs ask for at the same time.
    pub(crate) together: &'a Together<'a>,
    pub(crate) client: &'a ClientId,
    /// Until when earlier deletions may be finished for those of this run; told by the first that has to wait.
    pub(crate) finishing_until: OnceLock<Instant>,
    pub(crate) receipt: Option<&'a Receipt>,
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

impl ClientRun<'_> {
    /// Answers the requests; gives the account as it is now, with what is left for the ledger. Where a request failed, this
    /// process does not know how it is.
    pub(crate) async fn answer(&self, mut requests: ClientRequests<'_>, answers: &Mutex<Answers>) -> Option<Stored> {
        let mut patience = Patience::new(self.store.settings.patience);
        let mut claim = Claim::new(self.store, self.client);
        let mut begun = match self.begin().await {
            Ok(Begun { stored, .. }) if stored.is_contended || stored.escrow.is_some() => {
                let met = stored.met;
                match self.charge_from_escrow(stored, requests, answers, &mut patience).await {
                    Charging::Done(stored) => return Some(*stored),
                    // Others want the account: it has changed by now.
                    Charging::NeedsTurn(standing) => {
                        let turn = claim.early_turn(&mut patience, standing).await;
                        turn.and_then(|account| Begun::new(account.as_ref(), Some(&claim), met))
                    }
                    Charging::Failed(error) => Err(error),
                }
            }
            begun => begun,
        };
        loop {
            let ended = match begun {
                Ok(begun) => self.attempt(begun, requests, answers).await,
                Err(error) => Ended::Failed(0, error),
            };
            match ended {
                Ended::Done(stored) => return Some(*stored),
                Ended::Overtaken(written) => {
                    requests = requests.after(written);
                    let turn = claim.turn(&mut patience).await;
                    begun = turn.and_then(|account| Begun::new(account.as_ref(), Some(&claim), Meetings::default()));
                }
                Ended::Failed(written, error) => {
                    claim.leave().await;
                    answers.lock().fail(requests.after(written), || error.again());
                    return None;
                }
            }
        }
    }

    async fn attempt(&self, begun: Begun<'_>, requests: ClientRequests<'_>, answers: &Mutex<Answers>) -> Ended {
        let Begun { stored, is_fresh, claim } = begun;
        let terms = self.store.settings.terms(stored.folded_until);
        let mut account = stored.account.clone();
        let mut turn = ClientTurn::new(&mut account, terms, requests);
        let plan = requests.iter().last().and_then(|(_, request)| request.plan.plan.as_deref());
        let looks_for_made = self.may_be_asked_again();
        if looks_for_made {
            turn.look_for_made();
        }
        let mut attempt = Attempt { run: self, plan, stored, is_fresh, claim, written: 0 };
        let mut needs = requests.foresee();
        if looks_for_made {
            needs.extend(requests.foresee_made());
        }
        let ended = attempt.go(&mut turn, needs).await;
        let Attempt { mut stored, written, .. } = attempt;
        match ended {
            Ok(Commit::Done) => {
                turn.answer(&mut answers.lock());
                stored.account = account;
                stored.is_certain = true;
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

    /// Whether somebody who asked for the batch does not wait for it any more, and may have asked again by an id that was made.
    pub(crate) fn may_be_asked_again(&self) -> bool {
        self.receipt.is_some_and(|receipt| !receipt.is_awaited())
    }

    /// The account as this process saw it last, or as it is.
    async fn begin(&self) -> Result<Begun<'static>, StoreError> {
        if let Some(stored) = self.store.kept.take(self.client) {
            return Ok(Begun { stored, is_fresh: false, claim: None });
        }
        let document = self.tables().get(&self.tables().accounts, self.client.as_str(), None).await?;
        Begun::new(document.as_ref(), None, Meetings::default())
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.store.tables
    }
}

/// Where a try begins.
struct Begun<'a> {
    stored: Stored,
    /// It needs no confirmation that this is how the account is.
    is_fresh: bool,
    claim: Option<&'a Claim<'a>>,
}

impl<'a> Begun<'a> {
    fn new(document: Option<&Document>, claim: Option<&'a Claim<'a>>, met: Meetings) -> Result<Self, StoreError> {
        let stored = Stored::read(document)?;
        let met = met.next(stored.seq);
        let has_others = document.is_some_and(|account| queue(account).nth(1).is_some());
        let is_contended = claim.is_some() && (has_others || (stored.escrow.is_some() && !met.is_alone()));
        let stored = Stored { is_contended, met, ..stored };
        // A primary answers what no majority has yet: what is decided on an account and writes nothing is confirmed.
        Ok(Self { stored, is_fresh: document.is_none(), claim: claim.filter(|_| document.is_some()) })
    }
}

/// One try at a client's requests.
pub(crate) struct Attempt<'a> {
    pub(crate) run: &'a ClientRun<'a>,
    /// Of the last request.
    plan: Option<&'a Plan>,
    /// As it was read or committed last; its account is not kept up.
    pub(crate) stored: Stored,
    /// The account was read for these requests, or committed, and nothing since.
    is_fresh: bool,
    /// Ends with the commit.
    claim: Option<&'a Claim<'a>>,
    /// How many requests were written.
    written: usize,
}

impl Attempt<'_> {
    async fn go(&mut self, turn: &mut ClientTurn<'_>, mut needs: Vec<Need>) -> Result<Commit, StoreError> {
        let (store, client) = (self.run.store, self.run.client);
        if let Some(most) = self.stored.used.to_be_learned(&store.room_for_ids) {
            Box::pin(used::learn(&self.stored, &store.tables, client, &store.room_for_ids, most)).await;
        }
        loop {
            let sought = self.stored.used.tell(turn, needs);
            if let Commit::Overtaken = self.learn(turn, sought).await? {
                return Ok(Commit::Overtaken);
            }
            needs = match turn.step() {
                Step::Read(needs) => needs,
                Step::Write(writes) => {
                    if let Commit::Overtaken = self.commit(turn, writes).await? {
                        return Ok(Commit::Overtaken);
                    }
                    self.written = turn.written();
                    Vec::new()
                }
                Step::Done(writes) => return self.commit(turn, writes).await,
            };
        }
    }

    /// Reads what the turn needs of the ledger: after the account, so that the commit on its version proves that nothing
    /// has changed since. Entries with ids are looked for among what waits for the ledger as well; for the rest everything
    /// has to stand there.
    async fn learn(&mut self, turn: &mut ClientTurn<'_>, needs: Vec<Need>) -> Result<Commit, StoreError> {
        if needs.is_empty() {
            return Ok(Commit::Done);
        }
        let is_whole = self.stored.outbox.is_ordered() || needs.iter().any(|need| id_of(need).is_none());
        if is_whole && let Commit::Overtaken = self.drain().await? {
            return Ok(Commit::Overtaken);
        }
        self.is_fresh = false;
        let ledger = self.ledger();
        let waiting = self.stored.outbox.named(needs.iter().filter_map(id_of));
        let ids: Vec<OperationId> =
            needs.iter().filter_map(id_of).filter(|id| !waiting.contains_key(*id)).cloned().collect();
        let named = match ids.is_empty() {
            true => Vec::new(),
            false => match ledger.named(&ids, self.run.together).await {
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => {
                    turn.give_up(error);
                    return Ok(Commit::Done);
                }
                other => other?,
            },
        };
        let standing: HashMap<OperationId, Entry> =
            named.into_iter().filter_map(|entry| Some((entry.id.clone()?, entry))).collect();
        for need in &needs {
            let fact = match (id_of(need), need) {
                (Some(id), _) => Ok(Fact::Entry(waiting.get(id).cloned().or_else(|| standing.get(id).cloned()))),
                (None, Need::Count(range)) => match self.finish_earlier(*range).await {
                    Ok(()) => ledger.fact(need).await,
                    Err(Unfinished::Failed(error)) => return Err(error),
                    // It is this deletion that waits for the one before, and none of the other requests.
                    Err(late) => {
                        turn.give_up(late.into());
                        continue;
                    }
                },
                (None, _) => ledger.fact(need).await,
            };
            match fact {
                Ok(fact) => turn.learn(need.clone(), fact),
                Err(error @ (StoreError::Corrupt { .. } | StoreError::UpgradeNeeded { .. })) => turn.give_up(error),
                Err(error) => return Err(error),
            }
        }
        Ok(Commit::Done)
    }

    pub(crate) fn ledger(&self) -> Ledger<'_> {
        let Stored { folded_until, folded_seq, pending, .. } = &self.stored;
        Ledger {
            tables: self.run.tables(),
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
                claim.leave().await;
            }
            return confirmed;
        }
        let is_new = self.stored.version.is_empty();
        let is_blank = turn.account().is_blank();
        if is_blank && is_new {
            // Not worth a document.
            return self.confirm().await;
        }
        let cost = self.cost_alone(&writes);
        let Some(mut next) = self.next(&mut writes).await? else { return Ok(Commit::Overtaken) };
        if let (Some(cost), Some(plan), false) = (cost, self.plan, next.outbox.is_ordered()) {
            next.escrow = Escrow::open(&next.version, turn.account(), &next.open, plan, cost).map(Arc::new);
        }
        let account = turn.account().to_document();
        let mut update = next.update(&self.stored, &account, writes.plan.as_ref(), is_blank)?;
        if let Some(claim) = self.claim {
            // Its turn is over.
            update.insert("$pull", claim.place());
        }
        let filter = self.stored.filter(self.run.client.as_str(), self.claim);
        let put = Put {
            tables: self.run.tables(),
            together: self.run.together,
            client: self.run.client,
            old: &self.stored.version,
            new: &next.version,
            room: match self.claim {
                None => Room::Shared { bytes: account.len().saturating_add(next.outbox.size()) },
                Some(_) => Room::Alone,
            },
        };
        let commit = put.run(doc! { "q": filter, "u": update, "upsert": is_new }).await?;
        if let Commit::Done = commit {
            self.stored = Stored { is_certain: true, ..next };
            self.is_fresh = true;
            self.claim = None;
        }
        Ok(commit)
    }

    /// Whether the account is still the one that was read: asked of a majority, by a change of what says nothing. One that
    /// changes nothing would be answered also by a primary that has lost its place and does not know it yet.
    async fn confirm(&self) -> Result<Commit, StoreError> {
        let (tables, client, version) = (self.run.tables(), self.run.client.as_str(), &self.stored.version);
        let stands = if version.is_empty() {
            tables.get(&tables.accounts, client, Some(doc! { "v": 1 })).await?.is_none()
        } else {
            let confirm = doc! { "q": { "_id": client, "v": version }, "u": { "$inc": { "k": 1_i64 } } };
            match self.run.together.confirm(self.run.client, confirm.clone()).await {
                Ok(Some(stands)) => stands,
                // Others of the batch were overtaken: asked again, alone.
                Ok(None) => tables.update(&tables.accounts, vec![confirm]).await.map_err(CallError::of_read)? > 0,
                Err(error) => return Err(error.of_read()),
            }
        };
        Ok(if stands { Commit::Done } else { Commit::Overtaken })
    }

    /// Brings everything that commits left into the ledger, if the account is still the one that was read.
    async fn drain(&mut self) -> Result<Commit, StoreError> {
        let (tables, client, stored) = (self.run.tables(), self.run.client, &self.stored);
        if !stored.is_drained() {
            if stored.is_certain {
                tables.drain(client, stored).await.map_err(CallError::of_read)?;
            } else if !tables.drain_found(client, stored).await? {
                return Ok(Commit::Overtaken);
            }
            self.stored.set_drained();
        }
        Ok(Commit::Done)
    }

    /// The account as the commit makes it, but for what the turn has changed; none where the account has changed meanwhile.
    async fn next(&mut self, writes: &mut Writes) -> Result<Option<Stored>, StoreError> {
        let is_whole = self.stored.outbox.is_ordered() || writes.removal.is_some();
        if is_whole && let Commit::Overtaken = self.drain().await? {
            return Ok(None);
        }
        if self.stored.outbox.is_long() {
            self.run.store.drainer.round().await;
        }
        let version = Uuid::new_v4().simple().to_string();
        let mut next = Stored { version, escrow: None, ..self.stored.clone() };
        next.seq = if next.seq == 0 { first_seq() } else { next.seq.saturating_add(1) };
        next.met = next.met.committed(next.seq);
        let part = self.part(&mut next, writes).await?;
        next.used.add(&part);
        let is_whole = self.stored.outbox.is_long() || part.is_ordered();
        if is_whole && let Commit::Overtaken = self.drain().await? {
            return Ok(None);
        }
        next.outbox = self.stored.outbox.with(part);
        Ok(Some(next))
    }

    /// What the commit costs, where others want to charge the account as well and it changes nothing else.
    fn cost_alone(&self, writes: &Writes) -> Option<Credits> {
        if !self.stored.is_contended || writes.entries.is_empty() || writes.removal.is_some() || writes.plan.is_some() {
            return None;
        }
        writes.entries.iter().try_fold(Credits::ZERO, |sum, entry| sum.checked_add(entry.credits))
    }
}

fn id_of(need: &Need) -> Option<&OperationId> {
    match need {
        Need::Entry(id) => Some(id),
        Need::Sum { .. } | Need::Count(_) => None,
    }
}
