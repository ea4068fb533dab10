//! What a batch needs of the tables, inside a transaction that keeps every other writer out of its clients.

use quota_core::{ClientId, Fact, Need};

use crate::changes::{Changes, Removed};
use crate::failure::Failure;
use crate::rows::Stored;
use crate::standing::{Left, Standing};

/// The tables inside one transaction.
pub(crate) trait Ledger {
    /// A client's account as it stands in this transaction.
    fn account(&mut self, client: &ClientId) -> Result<Stored, Failure>;

    /// Takes the account back as [`Ledger::write`] leaves it, so that the next transaction may not have to read it.
    fn keep(&mut self, client: &ClientId, stored: Stored);

    /// What the ledger says, without what is still to be written.
    fn fact(&mut self, client: &ClientId, standing: Standing, need: &Need) -> Result<Fact, Failure>;

    /// Takes entries out, and their part of the sums. Of a range of more entries or sums than are taken out at once it leaves them,
    /// gives where, and notes it in the account.
    fn remove(&mut self, removed: &Removed<'_>) -> Result<Option<Left>, Failure>;

    /// Makes room among what a deletion has left for what is to be added at an instant and later: takes out all from there on. Gives
    /// what is left then, and notes it in the account.
    ///
    /// # Errors
    /// [`Failure::Unfinished`] where that is too much to be taken out at once.
    fn make_room(&mut self, client: &ClientId, left: Left, at: i64) -> Result<Option<Left>, Failure>;

    /// Writes all of it.
    fn write(&mut self, changes: &Changes) -> Result<(), Failure>;
}
