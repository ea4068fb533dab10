//! One commit on a client's account.

use mongodb::bson::{Document, doc};
use quota_core::ClientId;
use quota_service::StoreError;

use crate::tables::{CallError, Tables};
use crate::together::{Room, Together};

/// What became of a commit.
pub(crate) enum Commit {
    Done,
    Overtaken,
}

/// One commit.
pub(crate) struct Put<'a> {
    pub(crate) tables: &'a Tables,
    /// What else goes with it.
    pub(crate) together: &'a Together<'a>,
    pub(crate) client: &'a ClientId,
    /// The version that it rests on, and the one that it makes.
    pub(crate) old: &'a str,
    pub(crate) new: &'a str,
    pub(crate) room: Room,
}

/// How often a commit is sent whose answer was lost.
const TRIES: u32 = 3;

impl Put<'_> {
    /// Sends the commit; where the answer is lost, finds out what became of it. It names the version that it makes, so
    /// it may be sent again as long as the version is the old one: it is done once.
    pub(crate) async fn run(&self, statement: Document) -> Result<Commit, StoreError> {
        let mut lost: Option<CallError> = None;
        for _ in 0..TRIES {
            let error = match self.together.commit(self.client, statement.clone(), self.room, self.new).await {
                Ok(true) => return Ok(Commit::Done),
                Ok(false) => match lost {
                    None => return Ok(Commit::Overtaken),
                    // The try before may have been done, and another commit since.
                    Some(error) => error,
                },
                Err(error @ (CallError::NotDone(_) | CallError::Refused(_))) if lost.is_none() => {
                    return Err(error.of_write());
                }
                Err(error) => error,
            };
            match self.was_made().await {
                Ok(true) => return Ok(Commit::Done),
                Ok(false) if self.stands_at_old().await => lost = Some(error),
                _ => return Err(open(error)),
            }
        }
        Err(lost.map_or_else(|| open(CallError::Open("it was not sent".to_owned())), open))
    }

    /// Whether the account is at the version that it makes, or was and has been charged from its escrow since.
    async fn was_made(&self) -> Result<bool, CallError> {
        let made = doc! { "_id": self.client.as_str(), "$or": [{ "v": self.new }, { "g.i": self.new }] };
        let confirm = doc! { "q": made, "u": { "$inc": { "k": 1_i64 } } };
        Ok(self.tables.update(&self.tables.accounts, vec![confirm]).await? > 0)
    }

    async fn stands_at_old(&self) -> bool {
        let accounts = &self.tables.accounts;
        let found = self.tables.get(accounts, self.client.as_str(), Some(doc! { "v": 1 })).await;
        found.is_ok_and(|found| found.as_ref().map_or(Some(""), |found| found.get_str("v").ok()) == Some(self.old))
    }
}

/// The fate of a commit is not known.
pub(crate) fn open(error: CallError) -> StoreError {
    match error {
        CallError::NotDone(error) => CallError::Lost(error).of_write(),
        CallError::Refused(message) => CallError::Open(message).of_write(),
        other => other.of_write(),
    }
}
