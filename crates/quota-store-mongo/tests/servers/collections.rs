//! Collections for one test alone, and what is done to them beside the store.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection, Database};
use quota_core::{GroupBy, Operation, Tz, Window};
use quota_servers::{PrivateServer, Server};
use quota_service::{DailyQuery, EntriesQuery, UsageStore};
use quota_store_mongo::{MongoBuilder, MongoStore};

use crate::requests::{client, one, request, used};

/// Collections with a prefix of their own.
pub(crate) struct Collections {
    url: String,
    prefix: String,
    database: Database,
}

/// A client's ledger as it is stored.
pub(crate) struct Ledger {
    entries: Vec<Document>,
    quarters: Vec<Document>,
}

/// A test on the server that all share, unless there is none.
pub(crate) fn run(test: impl AsyncFnOnce(&Collections)) {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    runtime().block_on(async {
        let collections = Collections::at(url).await;
        test(&collections).await;
        collections.remove().await;
    });
}

/// A test on a server of its own, unless it is not installed.
pub(crate) fn run_alone(test: impl AsyncFnOnce(&mut PrivateServer, &Collections)) {
    let Some(mut server) = quota_servers::private(Server::Mongodb) else { return };
    runtime().block_on(async {
        let collections = Collections::at(server.url().to_owned()).await;
        test(&mut server, &collections).await;
    });
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
}

impl Collections {
    pub(crate) async fn at(url: String) -> Self {
        let database = Client::with_uri_str(&url).await.unwrap().default_database().unwrap();
        Self { url, prefix: format!("t{}_", quota_servers::own_name()), database }
    }

    /// Others on the same server.
    pub(crate) async fn others(&self) -> Self {
        Self::at(self.url.clone()).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where a server is told what concerns it as a whole.
    pub(crate) fn admin(&self) -> Database {
        self.database.client().database("admin")
    }

    /// The URL with options.
    pub(crate) fn url_with(&self, options: &str) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}{options}", self.url)
    }

    pub(crate) fn builder(&self, url: &str) -> MongoBuilder {
        MongoStore::builder(url).with_prefix(&self.prefix)
    }

    /// Another process.
    pub(crate) async fn store(&self) -> MongoStore {
        self.builder(&self.url).connect().await.unwrap()
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(&format!("{}{name}", self.prefix))
    }

    pub(crate) async fn all(&self, name: &str, filter: Document) -> Vec<Document> {
        self.collection(name).find(filter).await.unwrap().try_collect().await.unwrap()
    }

    pub(crate) async fn account(&self, name: &str) -> Document {
        self.collection("accounts").find_one(doc! { "_id": name }).await.unwrap().unwrap()
    }

    /// What commits left for the ledger.
    pub(crate) async fn outbox(&self, name: &str) -> Bson {
        Bson::from(self.account(name).await.get_array("o").unwrap().clone())
    }

    /// Waits until so many entries stand in the ledger: they are written there behind the answer.
    pub(crate) async fn written(&self, name: &str, count: usize) {
        let standing = doc! { "c": name, "gone": { "$exists": false } };
        let until = Instant::now() + Duration::from_secs(10);
        while self.all("entries", standing.clone()).await.len() != count {
            assert!(Instant::now() < until, "{:?}", self.all("entries", standing.clone()).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn set(&self, name: &str, fields: Document) {
        self.change(name, doc! { "$set": fields }).await;
    }

    pub(crate) async fn change(&self, name: &str, change: Document) {
        let updated = self.collection("accounts").update_one(doc! { "_id": name }, change).await.unwrap();
        assert_eq!(updated.matched_count, 1);
    }

    /// Who waits for a turn at an account, which may not be there yet.
    pub(crate) async fn queue(&self, name: &str) -> Vec<String> {
        let account = self.collection("accounts").find_one(doc! { "_id": name }).await.unwrap().unwrap_or_default();
        let queue = account.get_array("q").map_or(&[][..], Vec::as_slice);
        queue.iter().map(|token| token.as_str().unwrap().to_owned()).collect()
    }

    /// An outbox that is written into the ledger by somebody who was late: a reader writes what he finds.
    pub(crate) async fn write_late(&self, name: &str, outbox: &Bson) {
        self.set(name, doc! { "o": outbox }).await;
        self.store().await.total(&client(name), Window::ALL).await.unwrap();
        assert_eq!(self.account(name).await.get("o"), None, "it was written");
    }

    pub(crate) async fn ledger(&self, name: &str) -> Ledger {
        let of = doc! { "c": name };
        Ledger { entries: self.all("entries", of.clone()).await, quarters: self.all("quarters", of).await }
    }

    /// The ledger as it was: the process that made the commits since has died before it wrote there.
    pub(crate) async fn put_back(&self, name: &str, ledger: Ledger) {
        for (collection, documents) in [("entries", ledger.entries), ("quarters", ledger.quarters)] {
            let collection = self.collection(collection);
            collection.delete_many(doc! { "c": name }).await.unwrap();
            if !documents.is_empty() {
                collection.insert_many(documents).await.unwrap();
            }
        }
    }

    /// Asserts that everything that can be read says that a client has these entries with ids and no others.
    pub(crate) async fn assert_entries(&self, name: &str, expected: &[(&str, i64)]) {
        let store = self.store().await;
        let sum: i64 = expected.iter().map(|(_, credits)| credits).sum();
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 100 };
        let page = store.entries(&client(name), &query).await.unwrap();
        let id = |entry: &quota_core::Entry| entry.id.as_ref().unwrap().to_string();
        let mut found: Vec<_> = page.entries.iter().map(|entry| (id(entry), entry.credits.to_string())).collect();
        found.sort();
        let mut wanted: Vec<_> = expected.iter().map(|(id, credits)| ((*id).to_owned(), credits.to_string())).collect();
        wanted.sort();
        assert_eq!(found, wanted);
        self.assert_sums(name, sum, expected.len()).await;
        let entries = self.all("entries", doc! { "c": name, "gone": { "$exists": false } }).await;
        let stored: i64 = entries.iter().map(|entry| entry.get_i64("m").unwrap()).sum();
        assert_eq!(stored, sum * 1_000_000);
    }

    /// Asserts that every sum says so.
    pub(crate) async fn assert_sums(&self, name: &str, sum: i64, entries: usize) {
        let store = self.store().await;
        assert_eq!(store.total(&client(name), Window::ALL).await.unwrap().to_string(), sum.to_string());
        let query = DailyQuery { range: Window::ALL, zone: Tz::UTC, by: GroupBy::Day };
        let days = store.daily(&client(name), &query).await.unwrap();
        let shown: Vec<_> = days.iter().map(|day| (day.credits.to_string(), day.entries)).collect();
        let entries = u64::try_from(entries).unwrap();
        assert_eq!(shown, if entries == 0 { vec![] } else { vec![(sum.to_string(), entries)] });
        assert_eq!(used(&one(&store, request(name, Operation::Status, "1000")).await), sum.to_string());
        let number = |document: &Document, field: &str| document.get(field).and_then(Bson::as_i64).unwrap();
        let quarters = self.all("quarters", doc! { "c": name }).await;
        assert_eq!(quarters.iter().map(|quarter| number(quarter, "m")).sum::<i64>(), sum * 1_000_000);
        assert!(quarters.iter().all(|quarter| number(quarter, "m") >= 0 && number(quarter, "n") >= 0));
    }

    /// Whether no entry of a client is kept, but for the keys of those that nobody may bring back.
    pub(crate) async fn ledger_is_folded(&self, name: &str) -> bool {
        self.ledger(name).await.entries.iter().all(|entry| entry.contains_key("gone") && !entry.contains_key("m"))
    }

    pub(crate) async fn remove(&self) {
        for name in ["accounts", "entries", "quarters", "schema"] {
            self.collection(name).drop().await.unwrap();
        }
    }
}
