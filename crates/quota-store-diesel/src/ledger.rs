//! What a batch needs of the tables, inside a transaction that keeps every other writer out of its clients.

use quota_core::{ClientId, Fact, Need, Span};

use crate::changes::{Changes, Removed};
use crate::failure::Failure;
use crate::rows::{Standing, Stored};

/// The tables inside one transaction.
pub(crate) trait Ledger {
    /// A client's account as it stands in this transaction.
    fn account(&mut self, client: &ClientId) -> Result<Stored, Failure>;

    /// Takes the account back as [`Ledger::write`] leaves it, so that the next transaction may not have to read it.
    fn keep(&mut self, client: &ClientId, stored: Stored);

    /// What the ledger says, without what is still to be written.
    fn fact(&mut self, client: &ClientId, standing: Standing, need: &Need) -> Result<Fact, Failure>;

    /// Takes entries out, and their part of the sums. Of a large range only the sums: it gives the span of the rows that
    /// are left, and notes it in the account.
    fn remove(&mut self, removed: &Removed<'_>) -> Result<Option<Span>, Failure>;

    /// Makes room among the deleted rows of this span for what is to be added at an instant and later: takes out those from
    /// there on. Gives the span of the rows that are left, and notes it in the account.
    ///
    /// # Errors
    /// [`Failure::Unfinished`] where they are too many to be taken out at once.
    fn make_room(&mut self, client: &ClientId, deleted: Span, at: i64) -> Result<Option<Span>, Failure>;

    /// Writes all of it.
    fn write(&mut self, changes: &Changes) -> Result<(), Failure>;
}
