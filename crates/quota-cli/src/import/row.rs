//! A row of the predecessor's, and what becomes of it.

use std::fmt;

use quota_core::{ClientId, Instant, OperationId, PastEntry};

use crate::import::amount::Amount;

/// A row as it was read: what it lacks or holds of another type is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What tells it from every other row of its source.
    pub(super) key: String,
    /// How many rows it stands for: more than one where nothing tells them apart.
    pub(super) count: u64,
    /// Why it is no entry whatever it holds.
    pub(super) fault: Option<Skip>,
    pub(super) client: Option<String>,
    /// Milliseconds since 1970.
    pub(super) at: Option<i64>,
    pub(super) credits: Option<Amount>,
}

/// Why a row is no entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skip {
    NoId,
    SharedId,
    NoClient,
    NoTime,
    TimeOutOfRange,
    InFuture,
    NoCredits,
    NotFinite,
    Negative,
    TooMany,
    Key,
    /// The client's sum would be more than can be counted.
    Overflow(ClientId),
    /// The client has more rows than a store with quarters tells apart.
    TooManyIds(ClientId),
    /// What the store has of the client cannot be read.
    Unreadable(ClientId),
}

impl Row {
    /// So many rows that nothing tells from each other, and what stands in their id's place.
    pub(super) fn without_id(id: impl Into<String>, count: u64) -> Self {
        Self { key: id.into(), count, fault: Some(Skip::NoId), client: None, at: None, credits: None }
    }

    /// The entry that it stands for. Its id is made of the source's name and the row's key, so that a second import finds
    /// it there. Credits are rounded to six places; nothing else is.
    pub(super) fn entry(&self, source: &str, now: Instant) -> Result<(ClientId, PastEntry), Skip> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let client = self.client.as_ref().ok_or(Skip::NoClient)?;
        let client = ClientId::new(client).map_err(|_| Skip::NoClient)?;
        let at = self.at.ok_or(Skip::NoTime)?;
        let at = Instant::from_millis(at).map_err(|_| Skip::TimeOutOfRange)?;
        if at > now {
            return Err(Skip::InFuture);
        }
        let credits = self.credits.as_ref().ok_or(Skip::NoCredits)?.credits()?;
        let id = OperationId::new(format!("frappy:{source}:{}", self.key)).map_err(|_| Skip::Key)?;
        Ok((client, PastEntry { id, at, credits, label: None }))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoId => "it has no id, or one that is no whole number below 2^63",
            Self::SharedId => "its id is another row's as well",
            Self::NoClient => "it has no client id, or one that is none",
            Self::NoTime => "its timestamp is no whole number of seconds",
            Self::TimeOutOfRange => "its timestamp lies before 1970 or after 2099",
            Self::InFuture => "its timestamp lies in the future",
            Self::NoCredits => "its credits are no number",
            Self::NotFinite => "its credits are infinite or not a number",
            Self::Negative => "its credits are negative",
            Self::TooMany => "its credits are more than can be counted",
            Self::Key => "its key makes no id",
            Self::Overflow(client) => {
                return write!(f, "the client {client} would have used more than can be counted");
            }
            Self::TooManyIds(client) => {
                return write!(
                    f,
                    "the client {client} has more rows than a store with quarters tells apart in 24 hours"
                );
            }
            Self::Unreadable(client) => {
                return write!(f, "what the store has of the client {client} cannot be read");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            key: "7".to_owned(),
            count: 1,
            fault: None,
            client: Some("client1".to_owned()),
            at: Some(1_700_000_000_000),
            credits: Some(Amount::Double(0.1)),
        }
    }

    fn now() -> Instant {
        Instant::from_millis(1_700_000_000_000).unwrap()
    }

    #[test]
    fn a_row_becomes_an_entry_whose_id_is_its_own() {
        let (client, entry) = row().entry("api_billing_usage", now()).unwrap();
        assert_eq!((client.as_str(), entry.id.as_str()), ("client1", "frappy:api_billing_usage:7"));
        assert_eq!((entry.at, entry.credits.to_string().as_str()), (now(), "0.1"));
    }

    #[test]
    fn what_cannot_be_an_entry_is_told_apart() {
        let later = now().millis() + 1;
        for (row, skip) in [
            (Row { client: None, ..row() }, Skip::NoClient),
            (Row { client: Some(String::new()), ..row() }, Skip::NoClient),
            (Row { client: Some("a\nb".to_owned()), ..row() }, Skip::NoClient),
            (Row { at: None, ..row() }, Skip::NoTime),
            (Row { at: Some(-1), ..row() }, Skip::TimeOutOfRange),
            (Row { at: Some(i64::MAX), ..row() }, Skip::TimeOutOfRange),
            (Row { at: Some(later), ..row() }, Skip::InFuture),
            (Row { credits: None, ..row() }, Skip::NoCredits),
            (Row { credits: Some(Amount::Double(f64::NAN)), ..row() }, Skip::NotFinite),
            (Row { credits: Some(Amount::Double(f64::INFINITY)), ..row() }, Skip::NotFinite),
            (Row { credits: Some(Amount::Double(-0.5)), ..row() }, Skip::Negative),
            (Row { credits: Some(Amount::Double(1e300)), ..row() }, Skip::TooMany),
            (Row { key: "k".repeat(300), ..row() }, Skip::Key),
            (Row { fault: Some(Skip::SharedId), ..row() }, Skip::SharedId),
            (Row::without_id("NULL", 2), Skip::NoId),
        ] {
            assert_eq!(row.entry("t", now()).unwrap_err(), skip, "{row:?}");
        }
    }
}
