//! What a client's commits left to be written into the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use mongodb::bson::{Bson, DateTime, Document};
use quota_core::{Entry, OperationId};
use quota_service::StoreError;

use crate::fields::documents;
use crate::part::Part;

/// What a client's commits left to be written into the ledger, in their order. A commit's part is written into the account in
/// the same step as the commit, and stays there until a later commit of a process that knows that it stands in the ledger: so
/// whoever finds it can write it there, any number of times.
///
/// Parts may wait beside each other as long as all only add entries. One that also changes sums, or takes something out,
/// stands alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    parts: Vec<Arc<Part>>,
    /// The account had so many of the first ones, and no others.
    stored: usize,
}

/// More entries than these do not wait for a client, but the client for them: each commit writes all that wait.
const MANY: usize = 256;

/// An instant, credits, a label and an id, in the account and as an entry: most take less.
const BYTES_OF_ENTRY: usize = 400;

/// After so many commits what another process left is written by whoever sees it: that process may have ended.
const COMMITS: i64 = 16;

impl Outbox {
    /// What waits, and one part more.
    pub(crate) fn with(&self, part: Part) -> Self {
        // Once: what stands is found out beside this.
        let mut parts: Vec<_> = self.waiting().cloned().collect();
        let stored = if parts.len() == self.parts.len() { parts.len() } else { 0 };
        parts.extend((!part.is_empty()).then(|| Arc::new(part)));
        Self { parts, stored }
    }

    /// One part more, and less what was taken out of the account with it: some may have come to stand in the ledger since.
    pub(crate) fn with_and_without(&self, part: Part, taken_out: &[i64]) -> Self {
        let left = self.parts.iter().filter(|part| !taken_out.contains(&part.seq)).cloned();
        Self { parts: left.chain([Arc::new(part)]).collect(), stored: 0 }
    }

    /// The same as it was read again, with what is known of its parts. Those that are gone were taken out by others, since they stand in
    /// the ledger.
    pub(crate) fn read_again(&self, mut read: Self) -> Self {
        for known in &self.parts {
            match read.parts.iter_mut().find(|part| part.seq == known.seq) {
                Some(part) => *part = Arc::clone(known),
                None => known.set_standing(),
            }
        }
        read
    }

    /// The parts that an account lacks, if it has all the others and nothing else: written whole, what another process has taken out
    /// since would come back.
    pub(crate) fn appended(&self) -> Option<&[Arc<Part>]> {
        self.parts.get(self.stored..).filter(|_| self.stored > 0)
    }

    /// All that the account tells, be it in the ledger or not.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().map(Arc::as_ref)
    }

    /// What is not known to stand in the ledger.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.iter().filter(|part| !part.stands())
    }

    /// What this process is to write into the ledger, at its client's commit with this number: what others left is theirs to write,
    /// unless they had time for it.
    pub(crate) fn due(&self, seq: i64) -> impl Iterator<Item = &Arc<Part>> {
        self.waiting().filter(move |part| part.is_own || seq.saturating_sub(part.seq) >= COMMITS)
    }

    /// The numbers of the commits whose parts this process has written into the ledger.
    pub(crate) fn standing(&self) -> Vec<i64> {
        self.parts.iter().filter(|part| part.stands()).map(|part| part.seq).collect()
    }

    /// How many parts the account has.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().next().is_none()
    }

    /// Whether what waits has to stand in the ledger before the next commit.
    pub(crate) fn is_ordered(&self) -> bool {
        self.waiting().any(|part| part.is_ordered())
    }

    /// How many bytes it takes in an account, roughly.
    pub(crate) fn size(&self) -> usize {
        self.waiting().map(|part| part.entries.len().saturating_mul(BYTES_OF_ENTRY)).sum()
    }

    /// Whether more waits than a commit should write again.
    pub(crate) fn is_long(&self) -> bool {
        self.waiting().map(|part| part.entries.len()).sum::<usize>() > MANY
    }

    /// The entries with these ids, where they wait. Nothing waits behind what takes an entry out: so they are not taken out.
    pub(crate) fn named<'a>(&self, ids: impl Iterator<Item = &'a OperationId>) -> HashMap<&'a OperationId, Entry> {
        let mut sought: HashMap<&OperationId, Option<Entry>> = ids.map(|id| (id, None)).collect();
        for entry in self.parts.iter().flat_map(|part| &part.entries) {
            if let Some(found) = entry.id.as_ref().and_then(|id| sought.get_mut(id)) {
                // The first, should there be two.
                found.get_or_insert_with(|| entry.clone());
            }
        }
        sought.into_iter().filter_map(|(id, found)| Some((id, found?))).collect()
    }

    pub(crate) fn set_standing(&self) {
        self.parts.iter().for_each(|part| part.set_standing());
    }

    /// None where nothing waits.
    pub(crate) fn to_bson(&self) -> Option<Bson> {
        let parts: Vec<Document> = self.waiting().map(|part| part.to_document()).collect();
        (!parts.is_empty()).then(|| Bson::from(parts))
    }

    /// Reads the outbox of an account.
    pub(crate) fn read(account: &Document) -> Result<Self, StoreError> {
        let parts = documents(account, "o")?;
        let parts = parts.iter().map(|part| Part::read(part).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { parts, stored: 0 })
    }
}

/// The number of a client's first commit, so that it is greater than those of an account of the same name that was
/// swept up: by this process's clock, with room for a thousand commits in each millisecond.
pub(crate) fn first_seq() -> i64 {
    DateTime::now().timestamp_millis().max(1).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use quota_core::{Credits, Instant};

    use super::*;
    use crate::part::OfQuarter;

    fn id(text: &str) -> OperationId {
        OperationId::new(text).unwrap()
    }

    /// A part with so many entries, the first of which has an id.
    fn part(seq: i64, count: usize) -> Part {
        let at = Instant::from_millis(seq).unwrap();
        let entry = |number: usize| Entry {
            id: (number == 0).then(|| id(&format!("i{seq}"))),
            at,
            credits: Credits::ONE,
            label: None,
        };
        let mut part = Part::new(seq);
        part.entries = (0..count).map(entry).collect();
        part
    }

    fn seqs<'a>(parts: impl IntoIterator<Item = &'a Arc<Part>>) -> Vec<i64> {
        parts.into_iter().map(|part| part.seq).collect()
    }

    #[test]
    fn what_stands_waits_no_more() {
        let first = Outbox::default().with(part(1, 1));
        let second = first.with(part(2, 1));
        assert_eq!(seqs(second.waiting()), [1, 2]);
        let named =
            |outbox: &Outbox| outbox.named([&id("i1"), &id("other")].into_iter()).into_values().collect::<Vec<_>>();
        assert_eq!(named(&second).iter().map(|entry| entry.at.millis()).collect::<Vec<_>>(), [1]);
        first.set_standing();
        assert_eq!((seqs(second.waiting()), second.standing()), (vec![2], vec![1]));
        let third = second.with(part(3, 1));
        assert_eq!(seqs(&third.parts), [2, 3]);
        assert_eq!(named(&third), []);
        assert_eq!(seqs(&third.with(Part::new(4)).parts), [2, 3], "a commit may leave nothing");
        third.set_standing();
        assert!(third.is_empty() && third.to_bson().is_none());
    }

    #[test]
    fn what_came_to_stand_meanwhile_is_taken_out_of_the_account_with_the_next_commit() {
        let outbox = Outbox::default().with(part(1, 1)).with(part(2, 1));
        outbox.parts[0].set_standing();
        let taken_out = outbox.standing();
        outbox.parts[1].set_standing();
        let next = outbox.with_and_without(part(3, 1), &taken_out);
        assert_eq!((seqs(&next.parts), seqs(next.waiting()), next.standing()), (vec![2, 3], vec![3], vec![2]));
    }

    #[test]
    fn an_account_that_has_the_others_needs_the_last_part_alone() {
        let first = Outbox::default().with(part(1, 1));
        assert!(first.appended().is_none(), "it has none");
        let second = first.with(part(2, 1));
        assert_eq!(seqs(second.appended().unwrap()), [2]);
        assert!(second.with(Part::new(3)).appended().unwrap().is_empty());
        first.set_standing();
        assert!(second.with(part(3, 1)).appended().is_none(), "it has one that is to go");
        assert_eq!(second.with(part(3, 1)).to_bson().unwrap().as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_others_left_is_theirs_to_write_for_a_while() {
        let mut outbox = Outbox::read(&doc! { "o": [part(10, 1).to_document(), part(20, 1).to_document()] }).unwrap();
        assert_eq!(outbox.due(25).count(), 0);
        outbox = outbox.with(part(26, 1));
        assert_eq!(seqs(outbox.due(25)), [26]);
        assert_eq!(seqs(outbox.due(26)), [10, 26]);
        assert_eq!(seqs(outbox.due(36)), [10, 20, 26]);
    }

    #[test]
    fn it_says_when_it_is_long_and_when_its_order_matters() {
        let outbox = Outbox::default().with(part(1, MANY));
        assert!(!outbox.is_long() && !outbox.is_ordered());
        assert!(outbox.with(part(2, 1)).is_long());
        let added = OfQuarter { quarter: 0, label: String::new(), micros: 1, entries: 1 };
        let mut older = Part::new(2);
        older.added = vec![added];
        let ordered = outbox.with(older);
        assert!(ordered.is_ordered());
        ordered.set_standing();
        assert!(!ordered.is_ordered());
    }
}
