//! Where the predecessor kept its usage.

use anyhow::{Context, bail};

use crate::import::mongodb::MongoCollection;
use crate::import::row::Row;
use crate::import::sql::SqlTable;
use crate::import::sqlite::SqliteTable;

/// How many rows are read at once.
pub(super) const PAGE: usize = 5_000;

/// The predecessor's table or collection, read in the order of its keys.
pub(super) enum Source {
    Sqlite(SqliteTable),
    Sql(SqlTable),
    Mongo(Box<MongoCollection>),
}

/// What names the rows in a source.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) table: String,
    pub(super) database: Option<String>,
    pub(super) collection: Option<String>,
}

impl Source {
    /// Opens it for reading.
    pub(super) async fn open(url: &str, names: &Names) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once(':').context("the source's URL begins with its scheme, such as sqlite:")?;
        let is_mongo = matches!(scheme, "mongodb" | "mongodb+srv");
        if (names.database.is_some() || names.collection.is_some()) && !is_mongo {
            bail!("--database and --collection are for a source in MongoDB; a table is named by --table");
        }
        match scheme {
            "sqlite" => Ok(Self::Sqlite(SqliteTable::open(rest, &names.table)?)),
            "postgres" | "postgresql" => Ok(Self::Sql(SqlTable::postgres(url, &names.table).await?)),
            "mysql" => Ok(Self::Sql(SqlTable::mysql(url, &names.table).await?)),
            _ if is_mongo => Ok(Self::Mongo(Box::new(MongoCollection::open(url, names).await?))),
            _ => {
                let scheme: String = scheme.chars().take(32).collect();
                bail!("no source has the scheme {scheme}: known are sqlite, postgres, mysql and mongodb")
            }
        }
    }

    /// How many rows there are about now.
    pub(super) async fn count(&mut self) -> anyhow::Result<u64> {
        match self {
            Self::Sqlite(table) => table.count(),
            Self::Sql(table) => table.count().await,
            Self::Mongo(collection) => collection.count().await,
        }
    }

    /// The next rows; none after the last.
    pub(super) async fn page(&mut self) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Sqlite(table) => table.page(),
            Self::Sql(table) => table.page().await,
            Self::Mongo(collection) => collection.page().await,
        }
    }
}
