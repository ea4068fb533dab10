//! Where the predecessor kept its usage.

use anyhow::{Context, bail};

use crate::import::mongodb::MongoCollection;
use crate::import::row::Row;
use crate::import::sql::SqlTable;
use crate::import::sqlite::SqliteTable;
use crate::target;

/// How many rows are read at once.
pub(super) const PAGE: usize = 5_000;

/// The table that the predecessor makes.
const TABLE: &str = "api_billing_usage";

/// The predecessor's table or collection, read in the order of its keys.
pub(super) enum Source {
    Sqlite(SqliteTable),
    Sql(SqlTable),
    Mongo(Box<MongoCollection>),
}

/// What names the rows in a source.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The predecessor's own where none was named.
    pub(super) table: Option<String>,
    pub(super) database: Option<String>,
    pub(super) collection: Option<String>,
}

/// Whether it has a scheme's form. What has not may be anything, as a part of a password.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
}

impl Source {
    /// Opens it for reading.
    pub(super) async fn open(url: &str, names: &Names) -> anyhow::Result<Self> {
        let (scheme, _) = url.split_once(':').context("the source's URL begins with its scheme, such as sqlite:")?;
        let is_mongo = matches!(scheme, "mongodb" | "mongodb+srv");
        if (names.database.is_some() || names.collection.is_some()) && !is_mongo {
            bail!("--database and --collection are for a source in MongoDB; a table is named by --table");
        }
        if names.table.is_some() && is_mongo {
            bail!("--table is for a source in SQL; a collection in MongoDB is named by --database and --collection");
        }
        let table = names.table.as_deref().unwrap_or(TABLE);
        match scheme {
            "sqlite" => {
                let path = target::file(url).context("the source's URL names no file, as sqlite:PATH does")?;
                Ok(Self::Sqlite(SqliteTable::open(&path, table)?))
            }
            "postgres" | "postgresql" => Ok(Self::Sql(SqlTable::postgres(url, table).await?)),
            "mysql" => Ok(Self::Sql(SqlTable::mysql(url, table).await?)),
            _ if is_mongo => Ok(Self::Mongo(Box::new(MongoCollection::open(url, names).await?))),
            _ if !is_scheme(scheme) => bail!("the source's URL begins with its scheme, such as sqlite:"),
            _ => {
                let scheme: String = scheme.chars().take(32).collect();
                bail!("no source has the scheme {scheme}: known are sqlite, postgres, mysql and mongodb")
            }
        }
    }

    /// The table's or collection's own name, however it was spelled: a part of every id.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Sqlite(table) => table.name(),
            Self::Sql(table) => table.name(),
            Self::Mongo(collection) => collection.name(),
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
