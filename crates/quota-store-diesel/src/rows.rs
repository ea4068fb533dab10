//! What is read from the tables, and what is made of it.

use std::num::NonZeroU64;
use std::sync::Arc;

use diesel::sql_types::{BigInt, Nullable, Text};
use quota_core::{
    Account, ClientId, Credits, DocumentError, Entry, Instant, Label, Labels, OperationId, Plan, PlanVersion,
    QuarterSum,
};
use quota_service::{StoreError, StoredPlan};
use thiserror::Error;
use uuid::Uuid;

use crate::standing::Standing;

/// The SQL types of the rows.
pub(crate) type AccountSql = (Text, BigInt, Text, BigInt, BigInt, BigInt);
pub(crate) type EntrySql = (BigInt, BigInt, Text);
pub(crate) type PageSql = (BigInt, Text, BigInt, Text);
pub(crate) type SumSql = (BigInt, BigInt);
pub(crate) type LabelSumSql = (Text, BigInt, BigInt);
pub(crate) type QuarterSql = (BigInt, Text, BigInt, BigInt);
pub(crate) type PlanSql = (BigInt, Text);
pub(crate) type FoldableSql = (Text, Nullable<BigInt>);
pub(crate) type FoldSizeSql = (Nullable<BigInt>, BigInt, BigInt);

/// Document, folded until, labels, deleted from, deleted to, deleted sums.
pub(crate) type AccountRow = (String, i64, String, i64, i64, i64);
/// At, credits, label.
pub(crate) type EntryRow = (i64, i64, String);
/// At, id, credits, label.
pub(crate) type PageRow = (i64, String, i64, String);
/// Quarter, label, credits, entries.
pub(crate) type QuarterRow = (i64, String, i64, i64);

/// What is stored for one client cannot be read. It is that client's error only.
#[derive(Clone, Debug, Error)]
pub(crate) enum Broken {
    #[error("format {found} is newer than {known}")]
    Newer { found: u64, known: u64 },
    #[error("{0}")]
    Malformed(String),
}

/// One client's row of the accounts, read.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) account: Account,
    pub(crate) standing: Standing,
    pub(crate) labels: Labels,
}

impl Broken {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }
}

impl From<Broken> for StoreError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Newer { found, known } => Self::UpgradeNeeded { found, known },
            Broken::Malformed(message) => Self::Corrupt { message, source: None },
        }
    }
}

impl From<DocumentError> for Broken {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Newer { found, known } => Self::Newer { found, known },
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl Stored {
    /// Reads the row; the account of a client without one is new.
    pub(crate) fn read(row: Option<&AccountRow>) -> Result<Self, Broken> {
        let Some(row) = row else { return Ok(Self::default()) };
        let (document, _, labels, ..) = row;
        Ok(Self {
            account: Account::from_document(document)?,
            standing: Standing::read(row)?,
            labels: Labels::from_document(labels)?,
        })
    }
}

pub(crate) fn instant(millis: i64) -> Result<Instant, Broken> {
    Instant::from_millis(millis).map_err(|error| Broken::malformed(format!("{millis}: {error}")))
}

pub(crate) fn credits(micros: i64) -> Result<Credits, Broken> {
    Credits::from_micros(micros).map_err(|error| Broken::malformed(format!("{micros}: {error}")))
}

pub(crate) fn count(rows: i64) -> Result<u64, Broken> {
    u64::try_from(rows).map_err(|_| Broken::malformed(format!("{rows} entries")))
}

pub(crate) fn label(text: &str) -> Result<Option<Label>, Broken> {
    if text.is_empty() {
        return Ok(None);
    }
    Label::new(text).map(Some).map_err(|error| Broken::malformed(format!("the label {text:?}: {error}")))
}

pub(crate) fn client(text: &str) -> Result<ClientId, Broken> {
    ClientId::new(text).map_err(|error| Broken::malformed(format!("the client {text:?}: {error}")))
}

pub(crate) fn stored_plan((version, quotas): &(i64, String)) -> Result<StoredPlan, Broken> {
    let plan: Plan = serde_json::from_str(quotas).map_err(|error| Broken::malformed(format!("its plan: {error}")))?;
    // The same 64 bits: columns are signed.
    let version =
        NonZeroU64::new(version.cast_unsigned()).ok_or_else(|| Broken::malformed("its plan has the version 0"))?;
    Ok(StoredPlan { plan: Some(Arc::new(plan)), version: Some(PlanVersion::new(version)) })
}

/// Marks the ids of rows whose entry has none: no caller's id begins with a control character.
const NAMELESS: char = '\u{1}';

/// What stands in the id's column: an entry without an id needs one for its key.
pub(crate) fn id_column(id: Option<&OperationId>) -> String {
    id.map_or_else(|| format!("{NAMELESS}{}", Uuid::now_v7().simple()), |id| id.as_str().to_owned())
}

pub(crate) fn id(column: &str) -> Result<Option<OperationId>, Broken> {
    if column.starts_with(NAMELESS) {
        return Ok(None);
    }
    OperationId::new(column).map(Some).map_err(|error| Broken::malformed(format!("the id {column:?}: {error}")))
}

pub(crate) fn quarter(row: &QuarterRow) -> Result<QuarterSum, Broken> {
    let (start, text, micros, entries) = row;
    Ok(QuarterSum {
        start: instant(*start)?,
        label: label(text)?,
        credits: credits(*micros)?,
        entries: count(*entries)?,
    })
}

pub(crate) fn entry(id: Option<OperationId>, row: &EntryRow) -> Result<Entry, Broken> {
    let (at, micros, text) = row;
    Ok(Entry { id, at: instant(*at)?, credits: credits(*micros)?, label: label(text)? })
}

pub(crate) fn page_entry(row: &PageRow) -> Result<Entry, Broken> {
    let (at, column, micros, text) = row;
    Ok(Entry { id: id(column)?, at: instant(*at)?, credits: credits(*micros)?, label: label(text)? })
}
