//! Turns at an account that several processes want.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use quota_core::ClientId;
use quota_service::{Patience, StoreError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::tables::{CallError, Tables};

/// A place in the queue at an account. Whoever lost a commit to another joins the queue before it tries again; while there
/// is one, only its first commits, and leaves it with the commit.
///
/// It is for fairness alone: else the process that won, which knows the account already, would win again and again, and of
/// those that wait whoever happens to ask at the right moment. What is right is decided by the version, so a place that is
/// taken away does no harm.
#[derive(Debug)]
pub(crate) struct Claim {
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
    Waits(u32),
}

/// How long the first of a queue is waited for, at least: longer than a commit takes, and its process may have ended.
const RESPECTED: Duration = Duration::from_millis(500);

/// And for how many answers of the server, should it be slow: a commit takes some five.
const RESPECTED_ANSWERS: u32 = 20;

impl Claim {
    pub(crate) fn new() -> Self {
        let token = Uuid::new_v4().simple().to_string();
        Self { token, is_queued: false, ahead: 0, pace: Duration::ZERO, standing: Vec::new(), first: None }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Waits for the turn after a conflict, and reads the account; none where there is no account any more.
    pub(crate) async fn turn(
        &mut self,
        tables: &Tables,
        client: &ClientId,
        patience: &mut Patience,
    ) -> Result<Option<Document>, StoreError> {
        let turn = match patience.lose().await {
            Ok(()) => self.wait(tables, client, patience).await,
            Err(error) => Err(error),
        };
        if turn.is_err() {
            self.leave(tables, client).await;
            self.is_queued = false;
        }
        turn
    }

    /// The same before a commit was tried, since others waited when this process committed last. Parts of the outbox that
    /// stand in the ledger, by their commits' numbers, are taken out where it joins the queue.
    pub(crate) async fn early_turn(
        &mut self,
        tables: &Tables,
        client: &ClientId,
        patience: &mut Patience,
        standing: Vec<i64>,
    ) -> Result<Option<Document>, StoreError> {
        self.standing = standing;
        self.wait(tables, client, patience).await
    }

    async fn wait(
        &mut self,
        tables: &Tables,
        client: &ClientId,
        patience: &mut Patience,
    ) -> Result<Option<Document>, StoreError> {
        loop {
            let asked = Instant::now();
            let claimed = self.take(tables, client).await?;
            self.pace = asked.elapsed();
            match claimed {
                Claimed::Account(account) => return Ok(Some(account)),
                Claimed::Absent => return Ok(None),
                Claimed::Waits(ahead) => patience.queue(ahead, self.pace).await?,
            }
        }
    }

    /// Asks for the turn, and reads the account in the same step.
    async fn take(&mut self, tables: &Tables, client: &ClientId) -> Result<Claimed, StoreError> {
        let mut found = if self.is_queued { self.look(tables, client).await? } else { None };
        if found.as_ref().is_none_or(|account| !queue(account).any(|token| token == self.token)) {
            found = self.join(tables, client).await?;
        }
        let Some(account) = found else { return Ok(Claimed::Absent) };
        self.ahead = queue(&account).take_while(|token| *token != self.token).count();
        if self.ahead == 0 {
            return Ok(Claimed::Account(account));
        }
        if let Some(first) = queue(&account).next() {
            self.look_after(first, tables, client).await?;
        }
        Ok(Claimed::Waits(u32::try_from(self.ahead).unwrap_or(u32::MAX)))
    }

    /// The account, or no more than its queue where this is not the first one yet.
    async fn look(&mut self, tables: &Tables, client: &ClientId) -> Result<Option<Document>, StoreError> {
        if self.ahead > 1 {
            let account = tables.get(&tables.accounts, client.as_str(), Some(doc! { "q": 1 })).await?;
            if account.as_ref().and_then(|account| queue(account).next()) != Some(&self.token) {
                return Ok(account);
            }
        }
        tables.get(&tables.accounts, client.as_str(), None).await
    }

    async fn join(&mut self, tables: &Tables, client: &ClientId) -> Result<Option<Document>, StoreError> {
        // Before it is sent: the answer may be lost.
        self.is_queued = true;
        let absent = doc! { "_id": client.as_str(), "q": { "$ne": &self.token } };
        let mut change = doc! { "$push": { "q": &self.token } };
        if !self.standing.is_empty() {
            change.insert("$pull", doc! { "o": { "s": { "$in": std::mem::take(&mut self.standing) } } });
        }
        let join = tables.accounts.find_one_and_update(absent, change);
        let joined = tables.timely(join.return_document(ReturnDocument::After)).await.map_err(CallError::of_read)?;
        match joined {
            // It stood there after all, or there is no account.
            None => tables.get(&tables.accounts, client.as_str(), None).await,
            joined => Ok(joined),
        }
    }

    /// Takes the first of the queue out if it has been there for too long.
    async fn look_after(&mut self, first: &str, tables: &Tables, client: &ClientId) -> Result<(), StoreError> {
        match &self.first {
            Some((token, since)) if token == first => {
                if since.elapsed() >= RESPECTED.max(self.pace.saturating_mul(RESPECTED_ANSWERS)) {
                    take_out(first, tables, client).await.map_err(CallError::of_read)?;
                }
            }
            _ => self.first = Some((first.to_owned(), Instant::now())),
        }
        Ok(())
    }

    /// Leaves the queue. Where that fails, others wait for as long as they respect it.
    pub(crate) async fn leave(&self, tables: &Tables, client: &ClientId) {
        if self.is_queued
            && let Err(error) = take_out(&self.token, tables, client).await
        {
            tracing::debug!(?error, "a place in the queue at an account was not given up");
        }
    }
}

/// Who waits for a turn at an account, in order.
pub(crate) fn queue(account: &Document) -> impl Iterator<Item = &str> {
    account.get("q").and_then(Bson::as_array).into_iter().flatten().filter_map(Bson::as_str)
}

async fn take_out(token: &str, tables: &Tables, client: &ClientId) -> Result<(), CallError> {
    let pull = doc! { "q": { "_id": client.as_str(), "q": token }, "u": { "$pull": { "q": token } } };
    tables.update(&tables.accounts, vec![pull]).await.map(drop)
}
