//! What a batch writes over accounts as they were seen.

use quota_core::{ClientId, OperationId};

use crate::changes::{Changes, NewAccount};

/// An account's row as it was read or written last.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) client: ClientId,
    pub(crate) document: String,
    pub(crate) labels: String,
    pub(crate) folded_until: i64,
}

/// What a batch writes if these rows are as they were seen and no rows that a deletion has left are noted in them, and nothing of
/// if one is not. What is decided is a function of an account and of what ids name: equal rows decide alike, whoever wrote them.
/// So an account that says more than its row, a sum that was read and not written, is not decided on.
#[derive(Debug, Default)]
pub(crate) struct Over {
    pub(crate) changes: Changes,
    /// The rows of `changes.accounts` before, in their order.
    pub(crate) before: Vec<Seen>,
    /// Rows that are not written.
    pub(crate) confirmed: Vec<Seen>,
    /// Ids that name nothing, and under which nothing is added here: what is added finds out by itself that its id is there.
    pub(crate) absent: Vec<(ClientId, OperationId)>,
}

impl Seen {
    /// What is written to make it so.
    pub(crate) fn row(&self) -> NewAccount {
        let (document, labels) = (self.document.clone(), self.labels.clone());
        NewAccount { client: self.client.clone(), document, labels }
    }
}

#[cfg(feature = "postgres")]
impl Over {
    /// Whether there is anything to confirm beside what is written.
    pub(crate) fn confirms(&self) -> bool {
        !self.confirmed.is_empty() || !self.absent.is_empty()
    }
}
