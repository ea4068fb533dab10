//! Whether a server can keep usage, and its indexes.

use std::cmp::Ordering;
use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use quota_core::Instant;
use quota_service::StoreError;

use crate::connect_error::ConnectError;
use crate::fields::corrupt;
use crate::tables::{CallError, Tables};

/// The format of the documents that this version writes and knows.
const FORMAT: i64 = 3;

/// How long it is remembered that something was deleted, so that nobody who is late brings it back.
const GONE_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Looks at the server before anything is written there.
pub(crate) async fn check(tables: &Tables) -> Result<(), ConnectError> {
    let found = command(tables, doc! { "buildInfo": 1 }).await?;
    let version = found.get_str("version").unwrap_or_default();
    if is_too_old(version) {
        return Err(ConnectError::TooOld { found: version.to_owned() });
    }
    let hello = command(tables, doc! { "hello": 1 }).await?;
    match hello.get("isWritablePrimary") {
        Some(Bson::Boolean(false)) => Err(ConnectError::ReadOnly),
        _ => Ok(()),
    }
}

/// Whether a server with this version is older than 5.0. What does not begin with a number is none of MongoDB's own.
fn is_too_old(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < 5)
}

/// Writes the format's number where there is none, and reads it.
pub(crate) async fn check_format(tables: &Tables) -> Result<(), ConnectError> {
    // Before anything is written: another's collection is left alone.
    let others = doc! { "_id": { "$nin": ["format", "health"] } };
    if tables.timely(tables.schema.find_one(others)).await.map_err(reached)?.is_some() {
        return Err(ConnectError::Foreign { collection: tables.schema.name().to_owned() });
    }
    if !has_format(tables).await? {
        for collection in [&tables.accounts, &tables.entries, &tables.quarters] {
            let theirs = tables.timely(collection.find_one(doc! {})).await.map_err(reached)?.is_some();
            // Another start-up may have made them meanwhile, which notes the format first.
            if theirs && !has_format(tables).await? {
                return Err(ConnectError::Foreign { collection: collection.name().to_owned() });
            }
        }
    }
    let format = doc! { "q": { "_id": "format" }, "u": { "$setOnInsert": { "n": FORMAT } }, "upsert": true };
    tables.update(&tables.schema, vec![format]).await.map_err(reached)?;
    let found = tables.timely(tables.schema.find_one(doc! { "_id": "format" })).await.map_err(reached)?;
    let foreign = || ConnectError::Foreign { collection: tables.schema.name().to_owned() };
    let found = match found.as_ref().and_then(|found| found.get("n")) {
        Some(Bson::Int64(found)) => *found,
        _ => return Err(foreign()),
    };
    match found.cmp(&FORMAT) {
        Ordering::Less => Err(ConnectError::Older { found, known: FORMAT }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(ConnectError::Newer { found, known: FORMAT }),
    }
}

async fn has_format(tables: &Tables) -> Result<bool, ConnectError> {
    let format = tables.timely(tables.schema.find_one(doc! { "_id": "format" })).await;
    Ok(format.map_err(reached)?.is_some())
}

/// Makes the indexes that are not there.
pub(crate) async fn make_indexes(tables: &Tables) -> Result<(), ConnectError> {
    let exists = |field: &str| doc! { field: { "$exists": true } };
    let index = |keys: Document, options: IndexOptions| IndexModel::builder().keys(keys).options(options).build();
    let sweep = |after: Duration| {
        let options = IndexOptions::builder().expire_after(after).partial_filter_expression(exists("gone")).build();
        index(doc! { "gone": 1 }, options)
    };
    let ids = IndexOptions::builder().partial_filter_expression(exists("i")).build();
    // An account's number outlives what was numbered by it.
    for (collection, indexes) in [
        (&tables.accounts, vec![sweep(GONE_FOR.saturating_mul(2))]),
        (&tables.entries, vec![index(doc! { "i": 1 }, ids), sweep(GONE_FOR)]),
        (&tables.quarters, vec![sweep(GONE_FOR)]),
    ] {
        tables.timely(collection.create_indexes(indexes)).await.map_err(reached)?;
    }
    Ok(())
}

/// The primary's own time.
pub(crate) async fn time(tables: &Tables) -> Result<Instant, StoreError> {
    let answer = tables.timely(tables.database.run_command(doc! { "hello": 1 })).await.map_err(CallError::of_read)?;
    let time = answer.get_datetime("localTime").map_err(|error| corrupt("the server's time", error))?;
    Instant::from_millis(time.timestamp_millis()).map_err(|_| corrupt("the server's time", time))
}

async fn command(tables: &Tables, command: Document) -> Result<Document, ConnectError> {
    tables.timely(tables.database.run_command(command)).await.map_err(reached)
}

fn reached(error: CallError) -> ConnectError {
    match error {
        CallError::NotDone(error) | CallError::Lost(error) => error.into(),
        CallError::Refused(message) | CallError::Open(message) => {
            mongodb::error::Error::from(std::io::Error::other(message)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_5_0_are_too_old() {
        for version in ["4.4.29", "3.6.0-rc1", "0.1"] {
            assert!(is_too_old(version), "{version}");
        }
        for version in ["5.0.0", "7.0.14-rc2", "8.0", "10.1.2", "", "unknown"] {
            assert!(!is_too_old(version), "{version}");
        }
    }
}
