//! A deletion whose entries still stand in the ledger.

use mongodb::bson::{Document, doc};
use quota_core::{ClientId, Span};
use quota_service::StoreError;

use crate::fields::{corrupt, number, text};
use crate::keys::{digits_of, is_digits, key_with};

/// As many entries are taken out, or folded, in one step. A deletion of more leaves them to be taken out after its commit.
pub(crate) const ENTRIES_AT_ONCE: u64 = 2_000;

/// A deletion whose entries still stand in the ledger, from its commit on until they are taken out step by step.
///
/// An entry is dead if its key lies in the span and it was made by a commit before the deletion's. The account says so in
/// the same document and the same step as everything else that the deletion changes. So nobody who knows the account sees
/// a dead entry, and what later commits write between the same instants is none: it need not wait.
///
/// What is dead stays dead. Whoever knows the account as it was before some steps, or before all, takes for dead what is
/// taken out by now, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingDeletion {
    /// The deletion's commit.
    seq: i64,
    /// The digits with which the keys of what is left begin; the steps move it forward.
    from: String,
    /// The digits of the last key that there was at the commit.
    last: String,
}

impl PendingDeletion {
    /// What a commit deletes from an instant on, up to a key.
    pub(crate) fn new(seq: i64, from: i64, last: String) -> Self {
        Self { seq, from: digits_of(from), last }
    }

    pub(crate) fn read(document: &Document) -> Result<Self, StoreError> {
        let digits = |field| {
            let found = text(document, field)?;
            if is_digits(found) { Ok(found.to_owned()) } else { Err(corrupt("digits of a key", found)) }
        };
        Ok(Self { seq: number(document, "s")?, from: digits("f")?, last: digits("l")? })
    }

    pub(crate) fn to_document(&self) -> Document {
        doc! { "s": self.seq, "f": &self.from, "l": &self.last }
    }

    /// Whether the commit with this number made it.
    pub(crate) fn is_of(&self, seq: i64) -> bool {
        self.seq == seq
    }

    /// The same, when everything before a key is taken out.
    pub(crate) fn moved_to(&self, from: String) -> Self {
        Self { from, ..self.clone() }
    }

    /// Whether its account still says so, as the fields of a query.
    pub(crate) fn stands(&self, client: &ClientId) -> Document {
        doc! { "_id": client.as_str(), "d.s": self.seq, "d.f": &self.from }
    }

    /// Where the next step begins.
    pub(crate) fn from(&self) -> &str {
        &self.from
    }

    /// Whether keys of these instants lie in it.
    pub(crate) fn overlaps(&self, (from, to): Span) -> bool {
        self.last >= digits_of(from) && self.from < digits_of(to)
    }

    /// The keys of everything between its ends, dead or not.
    pub(crate) fn keys(&self, client: &ClientId) -> Document {
        doc! { "$gte": key_with(client, &self.from), "$lte": key_with(client, &self.last) }
    }

    /// The keys of what lies before one of them.
    pub(crate) fn keys_before(&self, client: &ClientId, digits: &str) -> Document {
        doc! { "$gte": key_with(client, &self.from), "$lt": key_with(client, digits) }
    }

    /// Which entries are dead, of those with these keys.
    pub(crate) fn dead(&self, keys: Document) -> Document {
        doc! { "_id": keys, "s": { "$lt": self.seq } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{digits_in, entry_key};

    fn pending() -> PendingDeletion {
        let client = ClientId::new("c").unwrap();
        let last = digits_in(&entry_key(&client, 1_005, 7, 3)).unwrap().to_owned();
        PendingDeletion::new(9, 1_000, last)
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let pending = pending();
        assert_eq!(PendingDeletion::read(&pending.to_document()).unwrap(), pending);
    }

    #[test]
    fn keys_of_others_are_not_read() {
        for digits in ["", "1", "000000000100x", "c\t0000000001000", &"1".repeat(40)] {
            for field in ["f", "l"] {
                let mut document = pending().to_document();
                document.insert(field, digits);
                assert!(PendingDeletion::read(&document).is_err(), "{field} {digits}");
            }
        }
    }

    #[test]
    fn instants_overlap_half_open() {
        let pending = pending();
        for (span, overlaps) in
            [((0, 1_000), false), ((0, 1_001), true), ((1_005, 1_006), true), ((1_006, 2_000), false)]
        {
            assert_eq!(pending.overlaps(span), overlaps, "{span:?}");
        }
    }
}
