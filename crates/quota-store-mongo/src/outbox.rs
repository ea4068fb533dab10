//! What a commit leaves to be written into the ledger.

use std::collections::BTreeMap;

use mongodb::bson::{DateTime, Document, doc};
use quota_core::{ClientId, Cut, Entry, Labels, OperationId, Span};
use quota_service::StoreError;

use crate::fields::{corrupt, credits, documents, instant, label, number, optional_document, optional_text, text};
use crate::keys::{entry_key, id_key, id_of};

/// What a commit leaves to be written into the ledger. It is written into the account with the commit, in the same step,
/// and stays there until the next commit: so whoever finds it can write it into the ledger, any number of times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outbox {
    /// The commit's number: greater than that of every commit before on the same client.
    pub(crate) seq: i64,
    /// Entries to add. Each one's place here is a part of its key.
    pub(crate) entries: Vec<Entry>,
    /// What is added to quarters; after what is taken out.
    pub(crate) quarters: Vec<QuarterDelta>,
    /// What is taken out first.
    pub(crate) removed: Option<Removed>,
}

/// What is added to the sum of a quarter and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuarterDelta {
    pub(crate) quarter: i64,
    /// Empty for none, and for those beyond the labels that are told apart.
    pub(crate) label: String,
    pub(crate) micros: i64,
    pub(crate) entries: i64,
}

/// What is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The entry with this id at this instant. Its quarter is told by a delta.
    Entry { at: i64, id: OperationId },
    /// Entries of these instants, none where a pending deletion has them, and the sums of these whole quarters. Quarters
    /// that are cut are told by deltas.
    Range { entries: Span, quarters: Span },
}

impl Outbox {
    pub(crate) fn new(seq: i64) -> Self {
        Self { seq, entries: Vec::new(), quarters: Vec::new(), removed: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.quarters.is_empty() && self.removed.is_none()
    }

    /// Adds entries, each to its quarter.
    pub(crate) fn add(&mut self, entries: Vec<Entry>, labels: &mut Labels) {
        let mut sums: BTreeMap<(i64, String), (i64, i64)> = BTreeMap::new();
        for entry in &entries {
            let counted = labels.place(entry.label.as_ref()).to_owned();
            let sum = sums.entry((Cut::floor(entry.at.millis()), counted)).or_default();
            // The lifetime sum bounds it.
            sum.0 = sum.0.saturating_add(entry.credits.micros());
            sum.1 = sum.1.saturating_add(1);
        }
        self.entries.extend(entries);
        let delta = |((quarter, label), (micros, entries))| QuarterDelta { quarter, label, micros, entries };
        self.quarters.extend(sums.into_iter().map(delta));
    }

    /// Takes one entry out.
    pub(crate) fn take(&mut self, entry: &Entry, id: OperationId, labels: &Labels) {
        self.removed = Some(Removed::Entry { at: entry.at.millis(), id });
        self.quarters.push(QuarterDelta {
            quarter: Cut::floor(entry.at.millis()),
            label: labels.counted(entry.label.as_ref()).to_owned(),
            micros: entry.credits.micros().saturating_neg(),
            entries: -1,
        });
    }

    /// Takes a range out; `cut` is what quarters at its ends lose.
    pub(crate) fn take_range(&mut self, entries: Span, quarters: Span, cut: Vec<QuarterDelta>) {
        self.removed = Some(Removed::Range { entries, quarters });
        self.quarters.extend(cut);
    }

    pub(crate) fn to_document(&self) -> Document {
        let delta = |delta: &QuarterDelta| doc! { "q": delta.quarter, "l": &delta.label, "m": delta.micros, "n": delta.entries };
        let quarters: Vec<Document> = self.quarters.iter().map(delta).collect();
        let entries: Vec<Document> = self.entries.iter().map(waiting_document).collect();
        let mut document = doc! { "s": self.seq, "e": entries, "q": quarters };
        match &self.removed {
            None => {}
            Some(Removed::Entry { at, id }) => {
                document.insert("i", id.as_str());
                document.insert("t", *at);
            }
            Some(Removed::Range { entries, quarters }) => {
                let range = doc! { "f": entries.0, "t": entries.1, "qf": quarters.0, "qt": quarters.1 };
                document.insert("r", range);
            }
        }
        document
    }

    pub(crate) fn read(document: &Document) -> Result<Self, StoreError> {
        let mut quarters = Vec::new();
        for delta in documents(document, "q")? {
            quarters.push(QuarterDelta {
                quarter: number(&delta, "q")?,
                label: text(&delta, "l")?.to_owned(),
                micros: number(&delta, "m")?,
                entries: number(&delta, "n")?,
            });
        }
        let id = |text: &str| OperationId::new(text).map_err(|_| corrupt("an id", text));
        let removed = match (optional_text(document, "i")?, optional_document(document, "r")?) {
            (Some(text), _) => Some(Removed::Entry { at: number(document, "t")?, id: id(text)? }),
            (None, Some(range)) => Some(Removed::Range {
                entries: (number(range, "f")?, number(range, "t")?),
                quarters: (number(range, "qf")?, number(range, "qt")?),
            }),
            (None, None) => None,
        };
        let entries = documents(document, "e")?.iter().map(read_waiting).collect::<Result<_, _>>()?;
        Ok(Self { seq: number(document, "s")?, entries, quarters, removed })
    }
}

/// An entry that waits.
fn waiting_document(entry: &Entry) -> Document {
    let mut document = entry_fields(entry);
    if let Some(id) = &entry.id {
        document.insert("i", id.as_str());
    }
    document
}

fn read_waiting(document: &Document) -> Result<Entry, StoreError> {
    entry_with(document, optional_text(document, "i")?)
}

/// An entry as it stands in the ledger.
pub(crate) fn entry_document(client: &ClientId, entry: &Entry, seq: i64, number: usize) -> Document {
    let mut document = doc! { "_id": entry_key(client, entry.at.millis(), seq, number) };
    document.extend(doc! { "c": client.as_str(), "s": seq });
    document.extend(entry_fields(entry));
    if let Some(id) = &entry.id {
        document.insert("i", id_key(client, id));
    }
    document
}

pub(crate) fn read_entry(document: &Document) -> Result<Entry, StoreError> {
    let id = |key| id_of(key).ok_or_else(|| corrupt("an id's key", key));
    entry_with(document, optional_text(document, "i")?.map(id).transpose()?)
}

/// What is stored of an entry wherever it stands.
fn entry_fields(entry: &Entry) -> Document {
    let mut document = doc! { "t": entry.at.millis(), "m": entry.credits.micros() };
    if let Some(label) = &entry.label {
        document.insert("l", label.as_str());
    }
    document
}

fn entry_with(document: &Document, id: Option<&str>) -> Result<Entry, StoreError> {
    let id = id.map(|text| OperationId::new(text).map_err(|_| corrupt("an id", text)));
    Ok(Entry {
        id: id.transpose()?,
        at: instant(number(document, "t")?)?,
        credits: credits(number(document, "m")?)?,
        label: label(optional_text(document, "l")?.unwrap_or_default())?,
    })
}

/// The number of a client's first commit, so that it is greater than those of an account of the same name that was
/// swept up: by this process's clock, with room for a thousand commits in each millisecond.
pub(crate) fn first_seq() -> i64 {
    DateTime::now().timestamp_millis().max(1).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use quota_core::{Instant, Label};

    use super::*;

    #[test]
    fn an_outbox_is_read_as_it_was_written() {
        let client = ClientId::new("c").unwrap();
        let at = Instant::from_millis(900_001).unwrap();
        let label = Some(Label::new("l").unwrap());
        let id = OperationId::new("i").unwrap();
        let entry = Entry { id: Some(id.clone()), at, credits: credits(5).unwrap(), label };
        let plain = Entry { id: None, label: None, ..entry.clone() };
        let mut labels = Labels::default();
        let mut added = Outbox::new(7);
        added.add(vec![entry.clone(), plain.clone(), plain.clone()], &mut labels);
        assert_eq!(
            added.quarters.iter().map(|delta| (delta.micros, delta.entries)).collect::<Vec<_>>(),
            [(10, 2), (5, 1)]
        );
        let mut taken = Outbox::new(8);
        taken.take(&entry, id, &labels);
        let mut range = Outbox::new(9);
        range.take_range((at.millis(), Instant::MAX.millis()), (1_800_000, 2_700_000), taken.quarters.clone());
        for outbox in [added, taken, range] {
            assert_eq!(Outbox::read(&outbox.to_document()).unwrap(), outbox);
        }
        for entry in [entry, plain] {
            assert_eq!(read_entry(&entry_document(&client, &entry, 7, 1)).unwrap(), entry);
        }
    }
}
