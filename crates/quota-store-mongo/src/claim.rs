//! Turns at an account that several processes want.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use quota_core::ClientId;
use quota_service::{HeldClients, Patience, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::MongoStore;
use crate::tables::{CallError, Tables};

/// A place in the queue at an account. Whoever lost a commit to another joins the queue before it tries again; while there
/// is one, nobody begins but its first, who leaves it with the commit.
///
/// It is for fairness alone: else the process that won, which knows the account already, would win again and again, and of
/// those that wait whoever happens to ask at the right moment. What is right is decided by the version, and by nothing else once a
/// turn has begun: whose place was taken away meanwhile, since its turn takes long, commits all the same if nobody was quicker.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    store: &'a MongoStore,
    client: &'a ClientId,
    token: String,
    /// Whether it may stand in the queue.
    is_queued: bool,
    /// How many were before it when it looked last.
    ahead: usize,
    /// How long the server took for the last answer.
    pace: Duration,
    /// The numbers of commits whose parts are taken out of the account's outbox, since they stand in the ledger.
    standing: Vec<i64>,
    /// Who is first, and since when this process has seen it there: no clock has to be right.
    first: Option<(String, Instant)>,
}

/// What came of a claim.
enum Claimed {
    /// The account as it is: it is this claim's turn.
    Account(Document),
    /// There is no account to be claimed.
    Absent,
    /// So many are before it.
    Waits(usize),
}

/// Waits for others' turns at an account, and notes whose account is waited for.
pub(crate) struct Waits<'a> {
    held: &'a HeldClients,
    client: &'a ClientId,
    /// When the first one began.
    since: Option<Instant>,
}

/// So long is worth a batch of its own: who waits less for others delays those of its batch little more than its commit does.
const LONG: Duration = Duration::from_millis(5);

/// How long the first of a queue is waited for, at least: longer than most turns take, and its process may have ended.
const RESPECTED: Duration = Duration::from_millis(500);

/// And for how many answers of the server, should it be slow: a commit takes some five.
const RESPECTED_ANSWERS: u32 = 20;

impl<'a> Claim<'a> {
    pub(crate) fn new(store: &'a MongoStore, client: &'a ClientId) -> Self {
        let token = Uuid::new_v4().simple().to_string();
        let (pace, standing) = (Duration::ZERO, Vec::new());
        Self { store, client, token, is_queued: false, ahead: 0, pace, standing, first: None }
    }

    /// Its place, for the commit that ends its turn to take out (`$pull`): the first one's may be another's by then.
    pub(crate) fn place(&self) -> Document {
        doc! { "q": &self.token }
    }

    /// Waits for the turn after a conflict, and reads the account; none where there is no account any more.
    pub(crate) async fn turn(&mut self, patience: &mut Patience) -> Result<Option<Document>, StoreError> {
        let turn = match patience.lose().await {
            Ok(()) => self.wait(patience).await,
            Err(error) => Err(error),
        };
        if turn.is_err() {
            self.leave().await;
            self.is_queued = false;
        }
        turn
    }

    /// The same before a commit was tried, since others waited when this process committed last. Parts of the outbox that
    /// stand in the ledger, by their commits' numbers, are taken out where it joins the queue.
    pub(crate) async fn early_turn(
        &mut self,
        patience: &mut Patience,
        standing: Vec<i64>,
    ) -> Result<Option<Document>, StoreError> {
        self.standing = standing;
        self.wait(patience).await
    }

    async fn wait(&mut self, patience: &mut Patience) -> Result<Option<Document>, StoreError> {
        let mut waits = Waits::new(self.store, self.client);
        loop {
            let asked = Instant::now();
            let claimed = self.take().await?;
            self.pace = asked.elapsed();
            match claimed {
                Claimed::Account(account) => return Ok(Some(account)),
                Claimed::Absent => return Ok(None),
                Claimed::Waits(ahead) => waits.queue(ahead, self.pace, patience).await?,
            }
        }
    }

    /// Asks for the turn, and reads the account in the same step.
    async fn take(&mut self) -> Result<Claimed, StoreError> {
        let mut found = if self.is_queued { self.look().await? } else { None };
        if found.as_ref().is_none_or(|account| !queue(account).any(|token| token == self.token)) {
            found = self.join().await?;
        }
        let Some(account) = found else { return Ok(Claimed::Absent) };
        self.ahead = queue(&account).take_while(|token| *token != self.token).count();
        if self.ahead == 0 {
            return Ok(Claimed::Account(account));
        }
        if let Some(first) = queue(&account).next() {
            self.look_after(first).await?;
        }
        Ok(Claimed::Waits(self.ahead))
    }

    /// The account, or no more than its queue where this is not the first one yet.
    async fn look(&self) -> Result<Option<Document>, StoreError> {
        let (tables, client) = (self.tables(), self.client.as_str());
        if self.ahead > 1 {
            let account = tables.get(&tables.accounts, client, Some(doc! { "q": 1 })).await?;
            if account.as_ref().and_then(|account| queue(account).next()) != Some(&self.token) {
                return Ok(account);
            }
        }
        tables.get(&tables.accounts, client, None).await
    }

    async fn join(&mut self) -> Result<Option<Document>, StoreError> {
        // Before it is sent: the answer may be lost.
        self.is_queued = true;
        let (tables, client) = (self.tables(), self.client.as_str());
        let absent = doc! { "_id": client, "q": { "$ne": &self.token } };
        let mut change = doc! { "$push": { "q": &self.token } };
        if !self.standing.is_empty() {
            change.insert("$pull", doc! { "o": { "s": { "$in": &self.standing } } });
        }
        let join = tables.accounts.find_one_and_update(absent, change);
        let joined = tables.timely(join.return_document(ReturnDocument::After)).await.map_err(CallError::of_read)?;
        self.standing.clear();
        match joined {
            // It stood there after all, or there is no account.
            None => tables.get(&tables.accounts, client, None).await,
            joined => Ok(joined),
        }
    }

    /// Takes the first of the queue out if it has been there for too long.
    async fn look_after(&mut self, first: &str) -> Result<(), StoreError> {
        match &self.first {
            Some((token, since)) if token == first => {
                if since.elapsed() >= RESPECTED.max(self.pace.saturating_mul(RESPECTED_ANSWERS)) {
                    self.take_out(first).await.map_err(CallError::of_read)?;
                }
            }
            _ => self.first = Some((first.to_owned(), Instant::now())),
        }
        Ok(())
    }

    /// Leaves the queue. Where that fails, others wait for as long as they respect it.
    pub(crate) async fn leave(&self) {
        if self.is_queued
            && let Err(error) = self.take_out(&self.token).await
        {
            tracing::debug!(?error, "a place in the queue at an account was not given up");
        }
    }

    async fn take_out(&self, token: &str) -> Result<(), CallError> {
        let (tables, client) = (self.tables(), self.client.as_str());
        let pull = doc! { "q": { "_id": client, "q": token }, "u": { "$pull": { "q": token } } };
        tables.update(&tables.accounts, vec![pull]).await.map(drop)
    }

    fn tables(&self) -> &'a Tables {
        &self.store.tables
    }
}

impl<'a> Waits<'a> {
    pub(crate) fn new(store: &'a MongoStore, client: &'a ClientId) -> Self {
        Self { held: &store.held, client, since: None }
    }

    /// Waits while so many others are before, as the server has taken so long to say.
    pub(crate) async fn queue(
        &mut self,
        ahead: usize,
        pace: Duration,
        patience: &mut Patience,
    ) -> Result<(), StoreError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        patience.queue(u32::try_from(ahead).unwrap_or(u32::MAX), pace).await?;
        if since.elapsed() >= LONG {
            self.held.note(self.client);
        }
        Ok(())
    }
}

/// Who waits for a turn at an account, in order.
pub(crate) fn queue(account: &Document) -> impl Iterator<Item = &str> {
    account.get("q").and_then(Bson::as_array).into_iter().flatten().filter_map(Bson::as_str)
}
