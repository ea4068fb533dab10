//! What a commit leaves for the ledger.

use std::time::Duration;

use quota_core::{Cut, Removal, Window, Writes};
use quota_service::StoreError;

use crate::client_run::Attempt;
use crate::part::{OfQuarter, Part, Removed};
use crate::pending_deletion::PendingDeletion;
use crate::stored::Stored;

impl Attempt<'_> {
    /// What the ledger is to get.
    pub(crate) async fn part(&self, next: &mut Stored, writes: &mut Writes) -> Result<Part, StoreError> {
        let mut part = Part::new(next.seq);
        let changes = match writes.removal.take() {
            None => {
                part.entries = std::mem::take(&mut writes.entries);
                OfQuarter::of_entries(&part.entries, &mut next.labels)
            }
            Some(removal) => {
                next.removed_seq = next.seq;
                match removal {
                    Removal::Entry(entry) => match entry.id.clone() {
                        None => Vec::new(),
                        Some(id) => {
                            part.removed = Some(Removed::Entry { at: entry.at.millis(), id });
                            vec![OfQuarter::without(&entry, &next.labels)]
                        }
                    },
                    Removal::Range(range) => self.take_range(range, next, &mut part).await?,
                }
            }
        };
        let left = next.open.take_in(next.seq, changes);
        (part.added, part.closed) = (left.added, left.closed);
        Ok(part)
    }

    /// A deletion of many entries takes their sums out, and leaves the entries dead: to take them out takes longer than
    /// others may wait for this commit.
    async fn take_range(
        &self,
        range: Window,
        next: &mut Stored,
        part: &mut Part,
    ) -> Result<Vec<OfQuarter>, StoreError> {
        let (tables, client) = (self.run.tables(), self.run.client);
        let span = (range.start().millis(), range.end().millis());
        let last = tables.last_of_many(client, span).await?;
        // An account has room for one. And a deletion of few takes out no more than it has counted.
        if next.pending.as_ref().is_some_and(|pending| last.is_some() || pending.overlaps(span)) {
            // Others of the batch wait for this. What is done stays done.
            let finished = tokio::time::timeout(BRIEFLY, tables.finish_deletion(client)).await;
            finished.map_err(|_| StoreError::NotDone { message: STILL_DELETING.to_owned(), source: None })??;
            next.pending = None;
        }
        let Cut { quarters, edges } = Cut::new(range, next.folded_until);
        let cut = self.ledger().cut_from_quarters(&edges, &next.labels).await?;
        let mut entries = span;
        if let Some(last) = last {
            next.pending = Some(PendingDeletion::new(next.seq, span.0, last));
            entries = (span.0, span.0);
        }
        part.removed = Some(Removed::Range { entries, quarters });
        next.open.remove(next.seq, quarters);
        Ok(cut)
    }
}

/// How long an earlier deletion may keep a batch waiting: less than the service waits for answers.
const BRIEFLY: Duration = Duration::from_secs(3);

const STILL_DELETING: &str = "an earlier deletion of the client is still being finished: ask again";
