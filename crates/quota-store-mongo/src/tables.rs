//! The collections of a store, and how they are read and written.

use std::future::IntoFuture;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::action::{Action, Find, FindOne};
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Collection, Database};
use quota_core::ClientId;
use quota_service::StoreError;

use crate::fields::{documents, number, optional_document};
use crate::settings::Settings;

/// The server's code for a key that is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// Codes by which a server that loses its primacy or ends, whoever ends a command, and a router that lost its shard
/// interrupt what may have been done.
const INTERRUPTED: [i32; 16] = [6, 7, 50, 64, 89, 91, 189, 202, 262, 279, 355, 9_001, 11_600, 11_601, 11_602, 46_841];

/// Codes by which a server refuses a statement for what it says or for what would come of it: it did nothing. BadValue, Unauthorized,
/// TypeMismatch, ImmutableField, DocumentValidationFailure, BSONObjectTooLarge, an update that makes a document too large
/// (two), OutOfDiskSpace.
const REFUSED: [i32; 9] = [2, 13, 14, 66, 121, 10_334, 17_419, 17_420, 14_031];

/// The collections of a store.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) database: Database,
    pub(crate) accounts: Collection<Document>,
    pub(crate) entries: Collection<Document>,
    pub(crate) quarters: Collection<Document>,
    pub(crate) schema: Collection<Document>,
    timeout: Duration,
}

/// Why a command was not answered with what was asked for.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// It certainly did nothing.
    NotDone(Error),
    /// The same: the server refused this statement of the command, and says why.
    Refused(String),
    /// It may have been done.
    Lost(Error),
    /// The server answered what leaves it open whether it was done.
    Open(String),
}

impl Tables {
    pub(crate) fn new(database: Database, settings: &Settings) -> Self {
        // Whatever the URL says: decisions are made on what the primary has, and answered when a majority has them on disk.
        let options = CollectionOptions::builder()
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            .read_concern(ReadConcern::local())
            .write_concern(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build())
            .build();
        let collection =
            |name: &str| database.collection_with_options(&format!("{}{name}", settings.prefix), options.clone());
        Self {
            accounts: collection("accounts"),
            entries: collection("entries"),
            quarters: collection("quarters"),
            schema: collection("schema"),
            timeout: settings.timeout,
            database,
        }
    }

    /// Waits for the server, not for ever.
    pub(crate) async fn timely<T>(&self, call: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, CallError> {
        match tokio::time::timeout(self.timeout, call.into_future()).await {
            Ok(answer) => answer.map_err(CallError::from),
            Err(_) => Err(CallError::Lost(std::io::Error::from(std::io::ErrorKind::TimedOut).into())),
        }
    }

    /// Reads all that a query finds.
    pub(crate) async fn find(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        fields: Option<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        let mut all = Vec::new();
        self.each(collection, filter, fields, |found| {
            all.push(found);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Reads what a query finds, one by one: there may be more than memory has room for, and each answer of the server is
    /// waited for by itself.
    pub(crate) async fn each(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        fields: Option<Document>,
        mut read: impl FnMut(Document) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        let find = collection.find(filter).optional(fields, Find::projection);
        let mut cursor = self.timely(find).await.map_err(CallError::of_read)?;
        while let Some(found) = self.timely(cursor.try_next()).await.map_err(CallError::of_read)? {
            read(found)?;
        }
        Ok(())
    }

    /// Reads one document by its key.
    pub(crate) async fn get(
        &self,
        collection: &Collection<Document>,
        key: &str,
        fields: Option<Document>,
    ) -> Result<Option<Document>, StoreError> {
        let find = collection.find_one(doc! { "_id": key }).optional(fields, FindOne::projection);
        self.timely(find).await.map_err(CallError::of_read)
    }

    /// Changes documents, each by a statement of its own (`q`, `u`, `upsert`, `multi`), in one command; in no order. Says
    /// how many found or made their document; that another has made it at the same time is no failure.
    pub(crate) async fn update(
        &self,
        collection: &Collection<Document>,
        statements: Vec<Document>,
    ) -> Result<i64, CallError> {
        self.update_each(collection, statements).await?.whole().map(|updated| updated.count)
    }

    /// The same, and says what became of each statement as far as that is known.
    pub(crate) async fn update_each(
        &self,
        collection: &Collection<Document>,
        statements: Vec<Document>,
    ) -> Result<Updated, CallError> {
        let command = self.update_command(collection, statements);
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let answer = self.timely(self.database.run_command(command).selection_criteria(primary)).await?;
        Updated::read(&answer)
    }

    /// It says itself what it waits for: the driver adds nothing to a command.
    fn update_command(&self, collection: &Collection<Document>, statements: Vec<Document>) -> Document {
        doc! {
            "update": collection.name(),
            "updates": statements,
            "ordered": false,
            "writeConcern": self.majority(),
        }
    }

    fn majority(&self) -> Document {
        let millis = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        doc! { "w": "majority", "j": true, "wtimeout": millis }
    }

    /// Changes one document, and says what of it is then there; none where none was found. By a command of its own, since the driver sends
    /// others again by itself, and tells of the second try what does not hold for the first.
    pub(crate) async fn find_and_change(
        &self,
        collection: &Collection<Document>,
        query: Document,
        change: impl Into<Bson>,
        fields: Document,
    ) -> Result<Option<Document>, CallError> {
        let command = doc! {
            "findAndModify": collection.name(),
            "query": query,
            "update": change.into(),
            "new": true,
            "fields": fields,
            "writeConcern": self.majority(),
        };
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let answer = self.timely(self.database.run_command(command).selection_criteria(primary)).await?;
        if let Some(error) = answer.get("writeConcernError") {
            return Err(CallError::Open(format!("no majority has it on disk yet: {error}")));
        }
        let found = optional_document(&answer, "value").map_err(|error| CallError::Open(error.to_string()))?;
        Ok(found.cloned())
    }

    /// The account as a majority has it: a change that says nothing else waits for one, and what it finds is told with it.
    pub(crate) async fn confirmed(&self, query: Document, fields: Document) -> Result<Option<Document>, CallError> {
        self.find_and_change(&self.accounts, query, doc! { "$inc": { "k": 1_i64 } }, fields).await
    }

    /// Whether a majority has the account at this version: a change that changes nothing waits for one as well.
    pub(crate) async fn is_at(&self, client: &ClientId, version: &str) -> Result<bool, CallError> {
        let same = doc! { "q": { "_id": client.as_str(), "v": version }, "u": { "$set": { "v": version } } };
        Ok(self.update(&self.accounts, vec![same]).await? > 0)
    }

    /// Adds documents; those that are there already are left as they are.
    pub(crate) async fn insert(
        &self,
        collection: &Collection<Document>,
        documents: &[Document],
    ) -> Result<(), CallError> {
        match self.timely(collection.insert_many(documents).ordered(false)).await {
            Ok(_) => Ok(()),
            Err(error @ (CallError::Open(_) | CallError::Refused(_))) => Err(error),
            Err(CallError::NotDone(error) | CallError::Lost(error)) => match &*error.kind {
                ErrorKind::InsertMany(failed)
                    if failed.write_concern_error.is_none()
                        && failed.write_errors.iter().flatten().all(|error| error.code == DUPLICATE_KEY) =>
                {
                    Ok(())
                }
                _ => Err(CallError::from(error)),
            },
        }
    }
}

/// A statement that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) place: i64,
    pub(crate) message: String,
    /// It certainly did nothing.
    pub(crate) is_certain: bool,
}

impl Failed {
    fn read(error: &Document) -> Result<Self, StoreError> {
        let message = format!("the server did not write: {error}");
        let is_certain = error.get_i32("code").is_ok_and(|code| REFUSED.contains(&code));
        Ok(Self { place: number(error, "index")?, message, is_certain })
    }

    pub(crate) fn error(&self) -> CallError {
        let message = self.message.clone();
        if self.is_certain { CallError::Refused(message) } else { CallError::Open(message) }
    }
}

/// What became of the statements of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Updated {
    /// How many found or made their document.
    pub(crate) count: i64,
    /// Those that were to make a document that was there, by their places.
    pub(crate) refused: Vec<i64>,
    /// Those that made their document.
    pub(crate) made: Vec<i64>,
    /// Those that failed for another reason.
    pub(crate) failed: Vec<Failed>,
    /// Why no majority may have what was done.
    pub(crate) doubt: Option<String>,
}

impl Updated {
    fn read(answer: &Document) -> Result<Self, CallError> {
        let invalid = |error: StoreError| CallError::Open(error.to_string());
        let place = |of: &Document| number(of, "index").map_err(invalid);
        let made = documents(answer, "upserted").map_err(invalid)?.iter().map(place).collect::<Result<_, _>>()?;
        let mut updated = Self { count: number(answer, "n").map_err(invalid)?, made, ..Self::default() };
        for error in documents(answer, "writeErrors").map_err(invalid)? {
            if error.get("code") == Some(&Bson::Int32(DUPLICATE_KEY)) {
                updated.refused.push(place(&error)?);
            } else {
                updated.failed.push(Failed::read(&error).map_err(invalid)?);
            }
        }
        let doubt = optional_document(answer, "writeConcernError").map_err(invalid)?;
        updated.doubt = doubt.map(|error| format!("no majority has it on disk yet: {error}"));
        Ok(updated)
    }

    /// The same, unless a statement failed, or a majority may lack what was done: others of the command may have been done.
    pub(crate) fn whole(self) -> Result<Self, CallError> {
        match self.failed.first().map(|failed| &failed.message).or(self.doubt.as_ref()) {
            Some(error) => Err(CallError::Open(error.clone())),
            None => Ok(self),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let is_certain = match &*error.kind {
            ErrorKind::ServerSelection { .. }
            | ErrorKind::Authentication { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::InvalidArgument { .. }
            | ErrorKind::InvalidTlsConfig { .. } => true,
            ErrorKind::Command(refused) => !INTERRUPTED.contains(&refused.code),
            // ConnectionPoolCleared too: the driver also says so of commands that were sent, when it gives up their server.
            _ => false,
        };
        if is_certain { Self::NotDone(error) } else { Self::Lost(error) }
    }
}

impl CallError {
    /// As the error of a command that only reads.
    pub(crate) fn of_read(self) -> StoreError {
        match self {
            Self::NotDone(error) | Self::Lost(error) => StoreError::not_done("the server did not answer", error),
            Self::Refused(message) | Self::Open(message) => StoreError::NotDone { message, source: None },
        }
    }

    /// As the error of a command that writes.
    pub(crate) fn of_write(self) -> StoreError {
        match self {
            Self::NotDone(error) => StoreError::not_done("the server refused the command", error),
            Self::Refused(message) => StoreError::NotDone { message, source: None },
            Self::Lost(error) => StoreError::unknown("the server did not answer the commit", error),
            Self::Open(message) => StoreError::Unknown { message, source: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::Client;
    use mongodb::options::ClientOptions;

    use super::*;

    #[test]
    fn a_statement_that_a_server_refuses_for_what_it_says_did_nothing() {
        let fails = |code: i32| {
            let error = doc! { "index": 1, "code": code, "errmsg": "no" };
            let updated = Updated::read(&doc! { "n": 1, "writeErrors": [error] }).unwrap();
            (updated.refused, updated.failed.iter().map(|failed| failed.error().of_write()).next())
        };
        for too_large in [10_334, 17_419] {
            assert!(matches!(fails(too_large).1, Some(StoreError::NotDone { .. })));
        }
        for interrupted in [11_600, 91, 1, 8] {
            assert!(matches!(fails(interrupted).1, Some(StoreError::Unknown { .. })));
        }
        assert_eq!(fails(DUPLICATE_KEY).0, [1]);
    }

    /// No server is asked.
    #[tokio::test]
    async fn a_majority_and_the_primary_are_asked_for_whatever_the_url_says() {
        let options = "w=0&journal=false&readPreference=secondary&readConcernLevel=available";
        let url = format!("mongodb://127.0.0.1:1/quota?{options}");
        let client = Client::with_options(ClientOptions::parse(url).await.unwrap()).unwrap();
        let (timeout, patience) = (Duration::from_secs(7), Duration::from_secs(7));
        let settings = Settings { prefix: "quota_".to_owned(), retention: None, timeout, patience };
        let tables = Tables::new(client.database("quota"), &settings);
        let heard = tables.database.write_concern().and_then(|concern| concern.w.clone());
        assert_eq!(heard, Some(Acknowledgment::Nodes(0)), "the URL is heard where nothing else is said");
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        for collection in [&tables.accounts, &tables.entries, &tables.quarters, &tables.schema] {
            let writes = collection.write_concern().unwrap();
            assert_eq!((&writes.w, writes.journal), (&Some(Acknowledgment::Majority), Some(true)));
            assert_eq!(collection.selection_criteria(), Some(&primary));
            assert_eq!(collection.read_concern(), Some(&ReadConcern::local()));
        }
        let command = tables.update_command(&tables.accounts, vec![doc! { "q": {}, "u": {} }]);
        let concern = doc! { "w": "majority", "j": true, "wtimeout": 7_000_i64 };
        assert_eq!(command.get_document("writeConcern").unwrap(), &concern);
        assert_eq!(command.get_str("update").unwrap(), "quota_accounts");
    }
}
