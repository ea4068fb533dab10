//! Turns at an account that several processes want.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use quota_core::ClientId;
use quota_service::StoreError;
use tokio::time::Instant;
use uuid::Uuid;

use crate::tables::{CallError, Tables};

/// A turn at an account. Whoever lost a commit to another claims the account before it tries again, and while the claim
/// stands no one else commits.
///
/// It is for fairness alone: else the process that won, which knows the account already, would win again and again. What is
/// right is decided by the version, so a claim that is taken over does no harm.
#[derive(Debug)]
pub(crate) struct Claim {
    token: String,
    /// Whose claim stood, and since when this process has seen it stand: no clock has to be right.
    other: Option<(String, Instant)>,
}

/// What came of a claim.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// The account as it is.
    Account(Document),
    /// There is no account to be claimed.
    Absent,
    /// Another's claim stands.
    Waits,
}

/// How long another's claim is respected: longer than a commit takes, and its process may have ended.
const RESPECTED: Duration = Duration::from_millis(500);

impl Claim {
    pub(crate) fn new() -> Self {
        Self { token: Uuid::new_v4().simple().to_string(), other: None }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Claims the account and reads it, in one step.
    pub(crate) async fn take(&mut self, tables: &Tables, client: &ClientId) -> Result<Claimed, StoreError> {
        let free = match &self.other {
            Some((token, since)) if *token == self.token || since.elapsed() >= RESPECTED => {
                doc! { "_id": client.as_str(), "w": token }
            }
            _ => doc! { "_id": client.as_str(), "w": { "$exists": false } },
        };
        let claim = tables.accounts.find_one_and_update(free, doc! { "$set": { "w": &self.token } });
        let claimed = tables.timely(claim.return_document(ReturnDocument::After)).await.map_err(CallError::of_read)?;
        if let Some(account) = claimed {
            return Ok(Claimed::Account(account));
        }
        let found = tables.get(&tables.accounts, client.as_str(), Some(doc! { "w": 1 })).await?;
        let Some(found) = found else { return Ok(Claimed::Absent) };
        let stands = found.get("w").and_then(Bson::as_str);
        if self.other.as_ref().map(|(token, _)| token.as_str()) != stands {
            self.other = stands.map(|token| (token.to_owned(), Instant::now()));
        }
        Ok(Claimed::Waits)
    }

    /// Gives it up. Where that fails, others wait for as long as they respect it.
    pub(crate) async fn release(&self, tables: &Tables, client: &ClientId) {
        let mine = doc! { "q": { "_id": client.as_str(), "w": &self.token }, "u": { "$unset": { "w": "" } } };
        if let Err(error) = tables.update(&tables.accounts, vec![mine]).await {
            tracing::debug!(?error, "a claim to an account was not given up");
        }
    }
}
