//! What a server answers.

use quota_service::StoreError;
use redis::Value;

use crate::entry_text::corrupt;

/// A text; none for nil.
pub(crate) fn text(value: Value) -> Result<Option<String>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => {
            let text = String::from_utf8(bytes);
            text.map(Some).map_err(|error| corrupt("a value", &String::from_utf8_lossy(error.as_bytes())))
        }
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(Some(text)),
        Value::Int(number) => Ok(Some(number.to_string())),
        other => Err(unexpected(&other)),
    }
}

/// An array; empty for nil.
pub(crate) fn array(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        other => Err(unexpected(&other)),
    }
}

/// An array of texts; nil among them is left out.
pub(crate) fn texts(value: Value) -> Result<Vec<String>, StoreError> {
    array(value)?.into_iter().filter_map(|value| text(value).transpose()).collect()
}

/// The fields of a hash and their values.
pub(crate) fn fields(value: Value) -> Result<Vec<(String, String)>, StoreError> {
    let flat = match value {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(field, value)| [field, value]).collect(),
        other => array(other)?,
    };
    let mut flat = flat.into_iter();
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
        pairs.push((text(field)?.unwrap_or_default(), text(value)?.unwrap_or_default()));
    }
    Ok(pairs)
}

pub(crate) fn count(value: &Value) -> u64 {
    match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}

pub(crate) fn unexpected(value: &Value) -> StoreError {
    corrupt("an answer", &format!("{value:?}"))
}
