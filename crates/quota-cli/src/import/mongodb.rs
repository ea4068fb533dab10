//! The predecessor's collection in MongoDB.

use std::future::IntoFuture;

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::{Collection, Cursor};
use quota_core::Credits;

use crate::import::amount::Amount;
use crate::import::row::{Row, Skip};
use crate::import::source::{Names, PAGE};
use crate::import::sql::timely;
use crate::mongo;

/// How many documents the server sends at once: a cursor that waits for long is closed there.
const BATCH: u32 = 5_000;

/// The server's code for a cursor that it has closed: nobody asked for more for ten minutes, or what began it is older than thirty.
const CURSOR_NOT_FOUND: i32 = 43;

/// Seconds to milliseconds, where the number is whole.
const MILLIS: i64 = 1_000;

pub(super) struct MongoCollection {
    collection: Collection<Document>,
    /// Open from the first page on.
    cursor: Option<Cursor<Document>>,
    /// Kept back: the next may share its key.
    last: Option<Last>,
    /// How many documents like the last may come again, behind a cursor that was opened again.
    read_again: u64,
    /// Whether nothing came since the server had closed a cursor.
    is_reopened: bool,
    /// Where it is.
    server: String,
}

/// The document that was read last.
struct Last {
    row: Row,
    id: Option<Bson>,
    /// How many had its key, with itself.
    alike: u64,
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
        let mut source = Self {
            collection: database.collection(name),
            cursor: None,
            last: None,
            read_again: 0,
            is_reopened: false,
            server,
        };
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
            let found = self.collection.find_one(doc! { field: { "$exists": true } }).projection(doc! { "_id": 1 });
            let found = sought(&self.server, self.name(), field, found.into_future()).await?;
            if found.map_err(|error| self.unread(&error))?.is_none() {
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

    pub(super) fn name(&self) -> &str {
        self.collection.name()
    }

    pub(super) async fn count(&mut self) -> anyhow::Result<u64> {
        let counted = timely(&self.server, self.collection.estimated_document_count().into_future()).await?;
        counted.map_err(|error| self.unread(&error))
    }

    pub(super) async fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(PAGE);
        // So many documents, not rows: the last is kept back without waiting for more of the server.
        for _ in 0..PAGE {
            let Some(found) = self.next().await? else {
                rows.extend(self.last.take().map(|last| last.row));
                break;
            };
            rows.extend(pass(&mut self.last, &found));
        }
        Ok(rows)
    }

    /// The next document. A cursor that the server closed while the rows before were written is opened again where it was.
    async fn next(&mut self) -> anyhow::Result<Option<Document>> {
        loop {
            let mut cursor = match self.cursor.take() {
                Some(cursor) => cursor,
                None => self.cursor_behind_last().await?,
            };
            match timely(&self.server, cursor.try_next()).await? {
                Ok(found) => {
                    (self.cursor, self.is_reopened) = (Some(cursor), false);
                    if !self.was_read(found.as_ref()) {
                        return Ok(found);
                    }
                }
                Err(error) if is_closed(&error) && !self.is_reopened && self.last_id().is_some() => {
                    self.is_reopened = true;
                }
                Err(error) => return Err(self.unread(&error)),
            }
        }
    }

    /// In the order of the key: what is written meanwhile is met once, or not at all and by the next run.
    async fn cursor_behind_last(&mut self) -> anyhow::Result<Cursor<Document>> {
        // Compared as an expression, for a filter finds keys of the same type only.
        let behind = |id: &Bson| doc! { "$expr": { "$gte": ["$_id", { "$literal": id }] } };
        let rest = self.last_id().map(behind).unwrap_or_default();
        // Not skipped there: what was read may be there no more.
        self.read_again = self.last.as_ref().map_or(0, |last| last.alike);
        let all = self.collection.find(rest).sort(doc! { "_id": 1 }).batch_size(BATCH);
        timely(&self.server, all.into_future()).await?.map_err(|error| self.unread(&error))
    }

    /// Whether it was read before the cursor was opened again.
    fn was_read(&mut self, found: Option<&Document>) -> bool {
        let is_last = found.is_some_and(|found| found.get("_id") == self.last_id());
        let was_read = self.read_again > 0 && is_last;
        self.read_again = if was_read { self.read_again.saturating_sub(1) } else { 0 };
        was_read
    }

    fn last_id(&self) -> Option<&Bson> {
        self.last.as_ref()?.id.as_ref()
    }

    fn unread(&self, error: &mongodb::error::Error) -> anyhow::Error {
        mongo::cause(error, &self.server).context("the source cannot be read")
    }
}

/// Keeps a document back; gives the row of the one before. Rows that share a key are marked: it could not be told which of them an
/// earlier import has brought.
fn pass(last: &mut Option<Last>, found: &Document) -> Option<Row> {
    let mut next = Last { row: row(found), id: found.get("_id").cloned(), alike: 1 };
    if let Some(last) = last
        && next.id.is_some()
        && last.row.key == next.row.key
    {
        next.alike = last.alike.saturating_add(1);
        (last.row.fault, next.row.fault) = (Some(Skip::SharedId), Some(Skip::SharedId));
    }
    last.replace(next).map(|last| last.row)
}

/// Looks for a document that has a field, which takes long where none has, and then says what was looked for.
async fn sought<T>(server: &str, name: &str, field: &str, answer: impl Future<Output = T>) -> anyhow::Result<T> {
    timely(server, answer).await.with_context(|| {
        format!(
            "no document of the source's collection {name} was found in time that has {field}: if it is not the predecessor's, \
             name that with --collection"
        )
    })
}

fn is_closed(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(command) if command.code == CURSOR_NOT_FOUND)
}

fn row(found: &Document) -> Row {
    let Some(id) = found.get("_id") else { return Row::without_id("NULL", 1) };
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
    Row { key: key(id), count: 1, fault: None, client, at: seconds(found.get("timestamp")), credits }
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
        Bson::Double(seconds) if seconds.fract() == 0.0 => whole(&format!("{seconds:.0}")),
        Bson::Decimal128(seconds) => whole(&seconds.to_string()),
        _ => None,
    }
}

/// Written as amounts are, and exact to the millionth as they are; more than an amount can be is past all instants.
fn whole(seconds: &str) -> Option<i64> {
    let (second, unsigned) = (Credits::ONE.micros(), seconds.strip_prefix('-').unwrap_or(seconds));
    let millis = match Amount::Decimal(unsigned.to_owned()).credits() {
        Ok(credits) if credits.micros() % second == 0 => credits.micros() / second * MILLIS,
        Err(Skip::TooMany) => i64::MAX,
        _ => return None,
    };
    Some(if unsigned == seconds { millis } else { -millis })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use mongodb::bson::Decimal128;
    use mongodb::bson::oid::ObjectId;
    use mongodb::event::EventHandler;
    use mongodb::event::command::CommandEvent;
    use mongodb::options::ClientOptions;
    use quota_servers::Server;

    use super::*;

    /// A collection, and the cursors that its server has answered with.
    async fn watched(url: &str, name: &str) -> (MongoCollection, Arc<Mutex<Vec<i64>>>) {
        let cursors = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&cursors);
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Succeeded(done) = event
                && let Ok(cursor) = done.reply.get_document("cursor")
            {
                noted.lock().unwrap().push(cursor.get_i64("id").unwrap());
            }
        }));
        let collection = mongodb::Client::with_options(options).unwrap().database("quota").collection(name);
        (
            MongoCollection {
                collection,
                cursor: None,
                last: None,
                read_again: 0,
                is_reopened: false,
                server: "it".to_owned(),
            },
            cursors,
        )
    }

    #[tokio::test]
    async fn a_cursor_that_the_server_has_closed_is_opened_again_where_it_was() {
        let Some(url) = quota_servers::url(Server::Mongodb) else { return };
        let name = format!("closed_{:08x}", fastrand::u32(..));
        let (mut source, cursors) = watched(&url, &name).await;
        // Keys of two types, of which a filter would find one.
        let numbers = (0..11_000).map(|id| doc! { "_id": id });
        let texts = (0..1_000).map(|id| doc! { "_id": format!("${id}") });
        let all: Vec<Document> = numbers.chain(texts).collect();
        for some in all.chunks(2_000) {
            source.collection.insert_many(some).await.unwrap();
        }
        let (mut keys, mut pages) = (BTreeSet::new(), 0);
        loop {
            let rows = source.page().await.unwrap();
            if rows.is_empty() {
                break;
            }
            for row in rows {
                assert_eq!(row.fault, None, "{}", row.key);
                assert!(keys.insert(row.key), "none twice");
            }
            pages += 1;
            // The one that was read last may be deleted meanwhile: none behind it is left out.
            if let (0, Some(id)) = (pages % 2, source.last_id().cloned()) {
                source.collection.delete_one(doc! { "_id": id }).await.unwrap();
            }
            let cursor = *cursors.lock().unwrap().last().unwrap();
            let database = mongodb::Client::with_uri_str(&url).await.unwrap().database("quota");
            database.run_command(doc! { "killCursors": &name, "cursors": [cursor] }).await.unwrap();
        }
        assert_eq!((keys.len(), pages), (12_000, 3));
        let found = cursors.lock().unwrap().iter().collect::<BTreeSet<_>>().len();
        assert!(found > 2, "it was opened again: {found}");
        source.collection.drop().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_that_is_looked_for_in_vain_is_named() {
        let late = sought("MongoDB at db:1", "old", "credits", std::future::pending::<()>()).await.unwrap_err();
        let told = format!("{late:#}");
        assert!(told.contains("collection old was found in time that has credits: "), "{told}");
        assert!(told.contains("MongoDB at db:1, did not answer within 60 s"), "{told}");
    }

    #[test]
    fn documents_that_share_their_key_are_marked() {
        let mut last = None;
        let ids = [Bson::Int32(1), Bson::Int32(2), Bson::Int32(2), Bson::Int32(2), Bson::String("2".to_owned())];
        let passed = ids.map(|id| pass(&mut last, &doc! { "_id": id }).map(|row| (row.key, row.fault)));
        let shared = || Some(("2".to_owned(), Some(Skip::SharedId)));
        assert_eq!(passed, [None, Some(("1".to_owned(), None)), shared(), shared(), shared()]);
        let kept = last.take().unwrap();
        assert_eq!((kept.row.key.as_str(), kept.row.fault, kept.alike), ("s:2", None, 1));
        let unkeyed =
            [doc! {}, doc! {}, doc! { "_id": 1 }].map(|found| pass(&mut last, &found).and_then(|row| row.fault));
        assert_eq!(unkeyed, [None, Some(Skip::NoId), Some(Skip::NoId)]);
    }

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
        assert_eq!(row(&doc! { "credits": 1 }), Row::without_id("NULL", 1), "nothing tells it from others");
        let as_told = [("1709251200", time), ("1709251200.000", time), ("1.7092512E+9", time), ("170925120E1", time)];
        let nothing = [("0", Some(0)), ("0E+30", Some(0)), ("0E-30", Some(0))];
        let no_second = [
            ("1709251200.5", None),
            ("17092512005E-1", None),
            ("5E-1", None),
            ("NaN", None),
            ("1E+21", Some(i64::MAX)),
        ];
        assert_eq!(whole("-5"), Some(-5_000));
        for (told, at) in as_told.into_iter().chain(nothing).chain(no_second) {
            let told: Decimal128 = told.parse().unwrap();
            assert_eq!(read(doc! { "_id": 7, "timestamp": told }).2, at, "{told}");
        }
        let (_, client, at, credits) = read(doc! { "_id": "x", "timestamp": 1.5, "credits": "2", "clientId": true });
        assert_eq!((client, at, credits), (None, None, None));
    }
}
