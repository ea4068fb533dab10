//! What one commit leaves to be written into the ledger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{Document, doc};
use quota_core::{ClientId, Cut, Entry, Instant, Labels, OperationId, Span};
use quota_service::StoreError;

use crate::fields::{
    corrupt, credits, documents, instant, label, number, optional_document, optional_number, optional_text, text,
};
use crate::keys::{entry_key, id_key, id_of};

/// What one commit leaves to be written into the ledger.
#[derive(Debug)]
pub(crate) struct Part {
    /// The commit's number: greater than that of every commit before on the same client.
    pub(crate) seq: i64,
    /// Entries to add. Each one's place here is a part of its key.
    pub(crate) entries: Vec<Entry>,
    /// What is added to quarters that are not open; after what is taken out.
    pub(crate) added: Vec<OfQuarter>,
    /// What a quarter came to that was open until this commit.
    pub(crate) closed: Vec<OfQuarter>,
    /// What is taken out first.
    pub(crate) removed: Option<Removed>,
    /// This process made it, and writes it into the ledger.
    pub(crate) is_own: bool,
    /// This process knows that it stands there.
    stands: AtomicBool,
}

/// Credits and entries of a quarter and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfQuarter {
    pub(crate) quarter: i64,
    /// Empty for none, and for those beyond the labels that are told apart.
    pub(crate) label: String,
    pub(crate) micros: i64,
    pub(crate) entries: i64,
}

/// What is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The entry with this id at this instant. Its quarter is told by what is added.
    Entry { at: i64, id: OperationId },
    /// Entries of these instants, none where a pending deletion has them, and the sums of these whole quarters. Quarters
    /// that are cut are told by what is added.
    Range { entries: Span, quarters: Span },
}

impl Part {
    pub(crate) fn new(seq: i64) -> Self {
        let stands = AtomicBool::new(false);
        let (entries, added, closed) = (Vec::new(), Vec::new(), Vec::new());
        Self { seq, entries, added, closed, removed: None, is_own: true, stands }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.closed.is_empty() && !self.is_ordered()
    }

    /// Whether everything before has to stand in the ledger before this is written, and this before everything after.
    pub(crate) fn is_ordered(&self) -> bool {
        self.removed.is_some() || !self.added.is_empty()
    }

    pub(crate) fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }

    pub(crate) fn set_standing(&self) {
        self.stands.store(true, Ordering::Release);
    }

    pub(crate) fn to_document(&self) -> Document {
        let mut document = doc! { "s": self.seq };
        if let Some(first) = self.entries.iter().map(|entry| entry.at).min() {
            document.insert("f", first.millis());
            document.insert("e", waiting_text(&self.entries));
        }
        for (field, sums) in [("q", &self.added), ("c", &self.closed)] {
            if !sums.is_empty() {
                document.insert(field, sums.iter().map(OfQuarter::to_document).collect::<Vec<_>>());
            }
        }
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
        let sums =
            |field| documents(document, field)?.iter().map(OfQuarter::read).collect::<Result<Vec<_>, StoreError>>();
        let id = |text: &str| OperationId::new(text).map_err(|_| corrupt("an id", text));
        let removed = match (optional_text(document, "i")?, optional_document(document, "r")?) {
            (Some(text), _) => Some(Removed::Entry { at: number(document, "t")?, id: id(text)? }),
            (None, Some(range)) => Some(Removed::Range {
                entries: (number(range, "f")?, number(range, "t")?),
                quarters: (number(range, "qf")?, number(range, "qt")?),
            }),
            (None, None) => None,
        };
        let mut entries = optional_text(document, "e")?.map_or(Ok(Vec::new()), read_waiting)?;
        // The account's time, where whoever charged did not know it.
        let not_before = optional_number(document, "x")?.map_or(Ok(Instant::MIN), instant)?;
        entries.iter_mut().for_each(|entry| entry.at = entry.at.max(not_before));
        let new = Self::new(number(document, "s")?);
        Ok(Self { entries, added: sums("q")?, closed: sums("c")?, removed, is_own: false, ..new })
    }
}

impl OfQuarter {
    /// What entries come to, by quarter and by the label that they are counted under.
    pub(crate) fn of_entries(entries: &[Entry], labels: &mut Labels) -> Vec<Self> {
        let mut sums: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
        for entry in entries {
            let sum = sums.entry((Cut::floor(entry.at.millis()), labels.place(entry.label.as_ref()))).or_default();
            // The lifetime sum bounds it.
            sum.0 = sum.0.saturating_add(entry.credits.micros());
            sum.1 = sum.1.saturating_add(1);
        }
        let of = |((quarter, label), (micros, entries)): ((i64, &str), (i64, i64))| Self {
            quarter,
            label: label.to_owned(),
            micros,
            entries,
        };
        sums.into_iter().map(of).collect()
    }

    /// What is taken from its quarter with an entry.
    pub(crate) fn without(entry: &Entry, labels: &Labels) -> Self {
        Self {
            quarter: Cut::floor(entry.at.millis()),
            label: labels.counted(entry.label.as_ref()).to_owned(),
            micros: entry.credits.micros().saturating_neg(),
            entries: -1,
        }
    }

    fn to_document(&self) -> Document {
        doc! { "q": self.quarter, "l": &self.label, "m": self.micros, "n": self.entries }
    }

    fn read(document: &Document) -> Result<Self, StoreError> {
        Ok(Self {
            quarter: number(document, "q")?,
            label: text(document, "l")?.to_owned(),
            micros: number(document, "m")?,
            entries: number(document, "n")?,
        })
    }
}

/// An entry that waits: its instant, credits, label and id.
type Waiting<'a> = (i64, i64, Option<Cow<'a, str>>, Option<Cow<'a, str>>);

/// Entries that wait, as one text: a server that rewrites an account with each commit has no fields of theirs to go through.
fn waiting_text(entries: &[Entry]) -> String {
    fn waiting(entry: &Entry) -> Waiting<'_> {
        let label = entry.label.as_ref().map(|label| Cow::Borrowed(label.as_str()));
        let id = entry.id.as_ref().map(|id| Cow::Borrowed(id.as_str()));
        (entry.at.millis(), entry.credits.micros(), label, id)
    }
    let waiting: Vec<Waiting<'_>> = entries.iter().map(waiting).collect();
    // Numbers and texts have a JSON form.
    serde_json::to_string(&waiting).unwrap_or_default()
}

fn read_waiting(text: &str) -> Result<Vec<Entry>, StoreError> {
    let waiting: Vec<Waiting<'_>> =
        serde_json::from_str(text).map_err(|error| StoreError::corrupt("entries that wait", error))?;
    let entry = |(at, micros, named, id): Waiting<'_>| {
        let id = id.map(|text| OperationId::new(&*text).map_err(|_| corrupt("an id", text)));
        let label = label(&named.unwrap_or_default())?;
        Ok(Entry { id: id.transpose()?, at: instant(at)?, credits: credits(micros)?, label })
    };
    waiting.into_iter().map(entry).collect()
}

/// An entry as it stands in the ledger.
pub(crate) fn entry_document(client: &ClientId, entry: &Entry, seq: i64, number: usize) -> Document {
    let mut document = doc! {
        "_id": entry_key(client, entry.at.millis(), seq, number),
        "c": client.as_str(),
        "s": seq,
        "t": entry.at.millis(),
        "m": entry.credits.micros(),
    };
    if let Some(label) = &entry.label {
        document.insert("l", label.as_str());
    }
    if let Some(id) = &entry.id {
        document.insert("i", id_key(client, id));
    }
    document
}

pub(crate) fn read_entry(document: &Document) -> Result<Entry, StoreError> {
    let id = |key| {
        let text = id_of(key).ok_or_else(|| corrupt("an id's key", key))?;
        OperationId::new(text).map_err(|_| corrupt("an id", text))
    };
    Ok(Entry {
        id: optional_text(document, "i")?.map(id).transpose()?,
        at: instant(number(document, "t")?)?,
        credits: credits(number(document, "m")?)?,
        label: label(optional_text(document, "l")?.unwrap_or_default())?,
    })
}

#[cfg(test)]
mod tests {
    use quota_core::Label;

    use super::*;

    #[test]
    fn a_part_is_read_as_it_was_written() {
        let client = ClientId::new("c").unwrap();
        let at = Instant::from_millis(900_001).unwrap();
        let label = Some(Label::new("l").unwrap());
        let id = OperationId::new("i\"\\\u{1f600}").unwrap();
        let entry = Entry { id: Some(id.clone()), at, credits: credits(5).unwrap(), label };
        let plain = Entry { id: None, label: None, ..entry.clone() };
        let mut labels = Labels::default();
        let entries = vec![entry.clone(), plain.clone(), plain.clone()];
        let sums = OfQuarter::of_entries(&entries, &mut labels);
        assert_eq!(sums.iter().map(|sum| (sum.micros, sum.entries)).collect::<Vec<_>>(), [(10, 2), (5, 1)]);
        let added = Part { entries, added: sums.clone(), ..Part::new(7) };
        let closed = Part { closed: sums, ..Part::new(8) };
        let lost = vec![OfQuarter::without(&entry, &labels)];
        let removed = Some(Removed::Entry { at: at.millis(), id });
        let taken = Part { removed, added: lost.clone(), ..Part::new(8) };
        let span = (at.millis(), Instant::MAX.millis());
        let removed = Some(Removed::Range { entries: span, quarters: (1_800_000, 2_700_000) });
        let range = Part { removed, added: lost, ..Part::new(9) };
        for part in [added, closed, taken, range] {
            let read = Part { is_own: true, ..Part::read(&part.to_document()).unwrap() };
            assert_eq!(format!("{read:?}"), format!("{part:?}"));
        }
        for damage in ["", "{}", "[[1]]", "[[1,-1,null,null]]", "[[-1,1,null,null]]", "[[1,1,null,\"\"]]"] {
            assert!(Part::read(&doc! { "s": 1_i64, "e": damage }).is_err(), "{damage}");
        }
        for entry in [entry, plain] {
            assert_eq!(read_entry(&entry_document(&client, &entry, 7, 1)).unwrap(), entry);
        }
    }
}
