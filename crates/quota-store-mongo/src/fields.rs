//! Fields of stored documents.

use std::fmt::Display;

use mongodb::bson::{Bson, Document};
use quota_core::{Credits, Instant, Label};
use quota_service::StoreError;

/// What is stored cannot be read.
pub(crate) fn corrupt(what: &str, found: impl Display) -> StoreError {
    let found: String = found.to_string().chars().take(200).collect();
    StoreError::Corrupt { message: format!("{what}: {found}"), source: None }
}

/// A field that must hold a text.
pub(crate) fn text<'a>(document: &'a Document, field: &str) -> Result<&'a str, StoreError> {
    optional_text(document, field)?.ok_or_else(|| corrupt("a text is missing", field))
}

/// A field that may hold a text.
pub(crate) fn optional_text<'a>(document: &'a Document, field: &str) -> Result<Option<&'a str>, StoreError> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::String(text)) => Ok(Some(text)),
        Some(_) => Err(corrupt("no text", field)),
    }
}

/// A field that must hold a 64-bit integer. A sum that the server computed may have come out shorter.
pub(crate) fn number(document: &Document, field: &str) -> Result<i64, StoreError> {
    optional_number(document, field)?.ok_or_else(|| corrupt("a number is missing", field))
}

/// A field that may hold one.
pub(crate) fn optional_number(document: &Document, field: &str) -> Result<Option<i64>, StoreError> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Int64(number)) => Ok(Some(*number)),
        Some(Bson::Int32(number)) => Ok(Some(i64::from(*number))),
        Some(_) => Err(corrupt("no integer", field)),
    }
}

/// A field that may hold a document.
pub(crate) fn optional_document<'a>(document: &'a Document, field: &str) -> Result<Option<&'a Document>, StoreError> {
    match document.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::Document(inner)) => Ok(Some(inner)),
        Some(_) => Err(corrupt("no document", field)),
    }
}

/// A field that holds documents, or is missing.
pub(crate) fn documents(document: &Document, field: &str) -> Result<Vec<Document>, StoreError> {
    let inner = |value: &Bson| value.as_document().cloned().ok_or_else(|| corrupt("no document", field));
    match document.get(field) {
        None => Ok(Vec::new()),
        Some(Bson::Array(values)) => values.iter().map(inner).collect(),
        Some(_) => Err(corrupt("no array", field)),
    }
}

pub(crate) fn instant(millis: i64) -> Result<Instant, StoreError> {
    Instant::from_millis(millis).map_err(|_| corrupt("an instant", millis))
}

pub(crate) fn credits(micros: i64) -> Result<Credits, StoreError> {
    Credits::from_micros(micros).map_err(|_| corrupt("credits", micros))
}

pub(crate) fn count(entries: i64) -> Result<u64, StoreError> {
    u64::try_from(entries).map_err(|_| corrupt("a count", entries))
}

/// A label; the empty text is none.
pub(crate) fn label(text: &str) -> Result<Option<Label>, StoreError> {
    match text {
        "" => Ok(None),
        text => Label::new(text).map(Some).map_err(|_| corrupt("a label", text)),
    }
}
