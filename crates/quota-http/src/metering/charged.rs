//! What came of a handler's charge.

use quota_core::Allowed;

/// A charge that a handler asked for and that was not denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// Done; the state of every quota afterwards. [`Allowed::replayed`] where its id was charged before.
    Allowed(Allowed),
    /// The store could not answer and the service fails open: nothing is known.
    Unchecked,
}
