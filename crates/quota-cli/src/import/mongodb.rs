//! The predecessor's collection in MongoDB.

use std::future::IntoFuture;

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Collection, Cursor};

use crate::import::amount::Amount;
use crate::import::row::Row;
use crate::import::source::{Names, PAGE};
use crate::import::sql::timely;
use crate::mongo;

/// How many documents the server sends at once: a cursor that waits for long is closed there.
const BATCH: u32 = 5_000;

/// Seconds to milliseconds, where the number is whole.
const MILLIS: i64 = 1_000;

pub(super) struct MongoCollection {
    collection: Collection<Document>,
    /// Open from the first page on.
    cursor: Option<Cursor<Document>>,
    /// Where it is.
    server: String,
}

impl MongoCollection {
    pub(super) async fn open(url: &str, names: &Names) -> anyhow::Result<Self> {
        let Some(name) = &names.collection else {
            bail!("a source in MongoDB needs --collection, the name of the predecessor's")
        };
        let unread = "the source cannot be read";
        let (database, server) = mongo::database(url, names.database.as_deref()).await.context(unread)?;
        let listed =
            timely(&server, database.list_collection_names().filter(doc! { "name": name }).into_future()).await?;
        let listed = listed.map_err(|error| mongo::cause(&error, &server)).context(unread)?;
        if listed.is_empty() {
            bail!(
                "the source's database {} at {server} has no collection {name}: name them with --database and --collection",
                database.name()
            );
        }
        let mut source = Self { collection: database.collection(name), cursor: None, server };
        source.check().await?;
        Ok(source)
    }

    /// Whether it can be the predecessor's: its documents have keys, as those of a view need not (of any one it is looked at here,
    /// others without a key are skipped one by one), and each field that is read is in some document, if there is any.
    async fn check(&mut self) -> anyhow::Result<()> {
        let any = self.collection.find_one(doc! {}).projection(doc! { "_id": 1 });
        let any = timely(&self.server, any.into_future()).await?.map_err(|error| self.unread(&error))?;
        let Some(any) = any else { return Ok(()) };
        if !any.contains_key("_id") {
            bail!(
                "documents of the source's collection {} have no _id, by which a second import would know them: name the \
                 predecessor's own with --collection, or a view that keeps it",
                self.name()
            );
        }
        let mut absent = Vec::new();
        for field in ["clientId", "timestamp", "credits"] {
            if !self.has(doc! { field: { "$exists": true } }).await? {
                absent.push(field);
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        let (name, absent) = (self.name(), absent.join(", "));
        bail!(
            "no document of the source's collection {name} has {absent}: it is not the predecessor's, name that with --collection"
        )
    }

    async fn has(&mut self, filter: Document) -> anyhow::Result<bool> {
        let found = self.collection.find_one(filter).projection(doc! { "_id": 1 });
        let found = timely(&self.server, found.into_future()).await?;
        found.map(|found| found.is_some()).map_err(|error| self.unread(&error))
    }

    pub(super) fn name(&self) -> &str {
        self.collection.name()
    }

    pub(super) async fn count(&mut self) -> anyhow::Result<u64> {
        let counted = timely(&self.server, self.collection.estimated_document_count().into_future()).await?;
        counted.map_err(|error| self.unread(&error))
    }

    pub(super) async fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                // In the order of the key: what is written meanwhile is met once, or not at all and by the next run.
                let all = self.collection.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(BATCH);
                timely(&self.server, all.into_future()).await?.map_err(|error| self.unread(&error))?
            }
        };
        let mut rows = Vec::with_capacity(PAGE);
        while rows.len() < PAGE {
            match timely(&self.server, cursor.try_next()).await?.map_err(|error| self.unread(&error))? {
                Some(found) => rows.push(row(&found)),
                None => break,
            }
        }
        self.cursor = Some(cursor);
        Ok(rows)
    }

    fn unread(&self, error: &mongodb::error::Error) -> anyhow::Error {
        mongo::cause(error, &self.server).context("the source cannot be read")
    }
}

fn row(found: &Document) -> Row {
    let Some(id) = found.get("_id") else { return Row::without_id("NULL") };
    let client = match found.get("clientId") {
        Some(Bson::String(text)) => Some(text.clone()),
        Some(Bson::Int32(number)) => Some(number.to_string()),
        Some(Bson::Int64(number)) => Some(number.to_string()),
        _ => None,
    };
    let credits = match found.get("credits") {
        Some(Bson::Double(number)) => Some(Amount::Double(*number)),
        Some(Bson::Int32(number)) => Some(Amount::Decimal(number.to_string())),
        Some(Bson::Int64(number)) => Some(Amount::Decimal(number.to_string())),
        Some(Bson::Decimal128(number)) => Some(Amount::Decimal(number.to_string())),
        _ => None,
    };
    Row { key: key(id), fault: None, client, at: seconds(found.get("timestamp")), credits }
}

/// What tells a document from all others, as text.
fn key(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        Bson::String(text) => format!("s:{text}"),
        other => other.to_string(),
    }
}

/// Milliseconds of a whole number of seconds, of whatever type of number.
fn seconds(timestamp: Option<&Bson>) -> Option<i64> {
    match timestamp? {
        Bson::Int32(seconds) => Some(i64::from(*seconds).saturating_mul(MILLIS)),
        Bson::Int64(seconds) => Some(seconds.saturating_mul(MILLIS)),
        Bson::Double(seconds) if seconds.fract() == 0.0 => {
            format!("{seconds:.0}").parse::<i64>().ok().map(|seconds| seconds.saturating_mul(MILLIS))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Decimal128;
    use mongodb::bson::oid::ObjectId;

    use super::*;

    #[test]
    fn a_document_is_read_by_the_types_of_its_fields() {
        let id = ObjectId::parse_str("65e0f1c2a1b2c3d4e5f60718").unwrap();
        let read = |document| {
            let Row { key, client, at, credits, .. } = row(&document);
            (key, client, at, credits)
        };
        let (time, decimal) = (Some(1_709_251_200_000), |text: &str| Some(Amount::Decimal(text.to_owned())));
        assert_eq!(
            read(
                doc! { "_id": id, "timestamp": 1_709_251_200, "credits": 2.5, "clientId": "c", "dataModelVersion": 1 }
            ),
            ("65e0f1c2a1b2c3d4e5f60718".to_owned(), Some("c".to_owned()), time, Some(Amount::Double(2.5)))
        );
        assert_eq!(
            read(doc! { "_id": 7, "timestamp": 1_709_251_200.0, "credits": 3_i64, "clientId": 42 }),
            ("7".to_owned(), Some("42".to_owned()), time, decimal("3"))
        );
        let exact: Decimal128 = "1234567890123.4567890".parse().unwrap();
        let (.., credits) = read(doc! { "_id": 7, "credits": exact });
        assert_eq!(credits, decimal("1234567890123.4567890"));
        let (.., credits) = read(doc! { "_id": 7, "credits": -1 });
        assert_eq!(credits, decimal("-1"));
        assert_eq!(row(&doc! { "credits": 1 }), Row::without_id("NULL"), "nothing tells it from others");
        let (_, client, at, credits) = read(doc! { "_id": "x", "timestamp": 1.5, "credits": "2", "clientId": true });
        assert_eq!((client, at, credits), (None, None, None));
    }
}
