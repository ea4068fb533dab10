//! What a commit leaves for the ledger.

use std::time::Duration;

use quota_core::{Cut, Removal, Span, Window, Writes};
use quota_service::StoreError;
use tokio::time::Instant;

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

    /// Finishes an earlier deletion, if one of this range has to wait for it.
    ///
    /// # Errors
    /// [`Unfinished::Late`] where that takes long.
    pub(crate) async fn finish_earlier(&self, range: Window) -> Result<(), Unfinished> {
        let Some(pending) = &self.stored.pending else { return Ok(()) };
        let span = (range.start().millis(), range.end().millis());
        let last = self.run.tables().last_of_many(self.run.client, span).await?;
        if is_in_the_way(Some(pending), last.as_ref(), span) { self.finish_briefly().await } else { Ok(()) }
    }

    /// Others of the batch wait for this. What is done stays done.
    async fn finish_briefly(&self) -> Result<(), Unfinished> {
        let finishing = self.run.tables().finish_deletion(self.run.client);
        let until = *self.run.finishing_until.get_or_init(|| Instant::now() + BRIEFLY);
        tokio::time::timeout_at(until, finishing).await.map_err(|_| Unfinished::Late)?.map_err(Unfinished::Failed)
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
        if is_in_the_way(next.pending.as_ref(), last.as_ref(), span) {
            // It was finished when this deletion was counted, unless more has come since.
            self.finish_briefly().await?;
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

/// Why an earlier deletion is not finished.
pub(crate) enum Unfinished {
    /// There is more of it than can be waited for.
    Late,
    Failed(StoreError),
}

impl From<StoreError> for Unfinished {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unfinished> for StoreError {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Late => Self::NotDone { message: STILL_DELETING.to_owned(), source: None },
            Unfinished::Failed(error) => error,
        }
    }
}

/// An account has room for one. And a deletion of few takes out no more than it has counted.
fn is_in_the_way(pending: Option<&PendingDeletion>, last: Option<&String>, span: Span) -> bool {
    pending.is_some_and(|pending| last.is_some() || pending.overlaps(span))
}

/// How long earlier deletions may keep a batch waiting in all: less than the service waits for answers.
const BRIEFLY: Duration = Duration::from_secs(3);

const STILL_DELETING: &str = "an earlier deletion of the client is still being finished: ask again";
