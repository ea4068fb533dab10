//! Whether the tables are this store's.

use crate::connect_error::ConnectError;
use crate::migrations::{OBJECTS, SCHEMA};
use crate::prefix::TablePrefix;

/// What was found under our names.
#[derive(Debug)]
pub(crate) struct Found {
    /// Tables, views and indexes with names of ours.
    pub(crate) objects: Vec<String>,
    /// Whether the table of the schema, if it is there, has our columns.
    pub(crate) is_ours: bool,
    /// The newest migration that is noted.
    pub(crate) version: Option<i64>,
}

/// The schema's version, 0 where nothing is there (or only the empty table that begins it), unless the tables are another's,
/// those of a newer crate, or incomplete.
pub(crate) fn check(server: &str, prefix: &TablePrefix, found: &Found, known: i64) -> Result<i64, ConnectError> {
    let has = |name: &str| found.objects.iter().any(|object| object == name);
    let schema = prefix.fill(SCHEMA);
    let foreign = |object: String| Err(ConnectError::Foreign { server: server.to_owned(), object });
    let objects = OBJECTS.map(|name| prefix.fill(name));
    if !has(&schema) {
        return objects.into_iter().find(|name| has(name)).map_or(Ok(0), foreign);
    }
    if !found.is_ours {
        return foreign(schema);
    }
    let version = found.version.unwrap_or(0);
    if version > known {
        let (found, known) = (version.unsigned_abs(), known.unsigned_abs());
        return Err(ConnectError::UpgradeNeeded { server: server.to_owned(), found, known });
    }
    match objects.into_iter().find(|name| !has(name)) {
        Some(table) if version > 0 => Err(ConnectError::Incomplete { server: server.to_owned(), table }),
        _ => Ok(version),
    }
}
