//! What a caller asks to be charged.

use quota_core::{Credits, EntryId, Instant, Label, OperationId};

/// A cost, and optionally the id that makes it safe to retry, what it was for, and when it happened.
///
/// ```
/// use quota_service::{Charge, Credits, Label, OperationId};
///
/// let charge = Charge::new(Credits::new(5)?)
///     .with_id(OperationId::new("order-17")?)
///     .with_label(Label::new("/api/report")?);
/// assert_eq!(charge.credits(), Credits::new(5)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub(crate) credits: Credits,
    pub(crate) id: Option<OperationId>,
    pub(crate) label: Option<Label>,
    pub(crate) at: Option<Instant>,
}

impl Charge {
    /// This many credits, now.
    #[must_use]
    pub const fn new(credits: Credits) -> Self {
        Self { credits, id: None, label: None, at: None }
    }

    /// Asked again with the same id and credits, it answers as before and takes nothing. A hold that several ask for under one id is one
    /// hold: whoever of them settles or releases it, or drops its guard, ends it for all. Ids that begin with `key:` are those that
    /// `quota-http` makes of idempotency keys: give a charge of your own another one.
    #[must_use]
    pub fn with_id(mut self, id: OperationId) -> Self {
        self.id = Some(id);
        self
    }

    /// What it is for: usage by day can be told apart by it.
    #[must_use]
    pub fn with_label(mut self, label: Label) -> Self {
        self.label = Some(label);
        self
    }

    /// Asked at this instant of the caller's clock instead of the service's. An account's time never runs
    /// backwards: an earlier instant than the account's latest counts as that.
    #[must_use]
    pub const fn with_at(mut self, at: Instant) -> Self {
        self.at = Some(at);
        self
    }

    /// The cost.
    #[must_use]
    pub const fn credits(&self) -> Credits {
        self.credits
    }

    /// The id, if one was given.
    #[must_use]
    pub const fn id(&self) -> Option<&OperationId> {
        self.id.as_ref()
    }

    /// The label, if one was given.
    #[must_use]
    pub const fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// The instant that it is asked at, if one was given.
    #[must_use]
    pub const fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(crate) fn entry_id(&self, make: impl FnOnce() -> Option<OperationId>) -> EntryId {
        match &self.id {
            Some(id) => EntryId::Given(id.clone()),
            None => make().map_or(EntryId::Absent, EntryId::Made),
        }
    }
}

impl From<Credits> for Charge {
    fn from(credits: Credits) -> Self {
        Self::new(credits)
    }
}
