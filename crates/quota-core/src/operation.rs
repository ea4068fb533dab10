//! What can be asked of an account, and what it answers.

use std::sync::Arc;

use crate::credits::Credits;
use crate::decision::{Decision, Status};
use crate::entry::{Asker, PastEntry, Ttl};
use crate::id::{Label, OperationId};
use crate::instant::Instant;
use crate::plan::{Plan, PlanVersion};
use crate::window::Window;

/// The id that an entry is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EntryId {
    /// None: the entry cannot be found again, nor a retry be told from a new charge.
    #[default]
    Absent,
    /// Made at random for this one operation. Nobody else knows it, so it is not looked up, but where its caller may have been told that it
    /// is not known what became of the operation, and have asked again elsewhere ([`crate::Turn::look_for_made`]).
    Made(OperationId),
    /// Given by the caller: looked up first, so that a retry is answered and not charged again.
    Given(OperationId),
}

/// An operation on one client's account. All of it happens, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds an entry at `now` if every finite quota has the credits.
    Charge {
        /// The cost.
        credits: Credits,
        /// The entry's id.
        id: EntryId,
        /// What for.
        label: Option<Label>,
    },
    /// Adds an entry at `now` without a check: usage that has happened, which may lead into debt.
    Record {
        /// The cost.
        credits: Credits,
        /// The entry's id.
        id: EntryId,
        /// What for.
        label: Option<Label>,
    },
    /// Sets credits aside if every finite quota has them.
    Hold {
        /// How much.
        credits: Credits,
        /// The hold's id; never absent in effect: [`EntryId::Absent`] is refused as [`crate::Refusal::IdRequired`].
        id: EntryId,
        /// For how long.
        ttl: Ttl,
        /// What for.
        label: Option<Label>,
        /// Who asks. An active hold of the same id that another made is its own no longer, once this is told that it holds.
        asker: Option<Asker>,
    },
    /// Lets an active hold expire at `now` + `ttl` instead.
    Extend {
        /// The hold.
        id: OperationId,
        /// For how long from now.
        ttl: Ttl,
        /// Only if it was made at this instant: when that one has expired, another's may stand under the same id.
        at: Option<Instant>,
        /// Leaves a hold that lasts longer as it is, as a renewal does.
        at_least: bool,
    },
    /// Ends an active hold and adds an entry at the hold's instant, with its id and label, unchecked.
    Settle {
        /// The hold.
        id: OperationId,
        /// The actual cost, less or more than was held.
        credits: Credits,
    },
    /// Ends an active hold without an entry.
    Release {
        /// The hold.
        id: OperationId,
        /// Only if it was made at this instant: when that one has expired, another's may stand under the same id.
        at: Option<Instant>,
        /// Only if it was made for this asker, and nobody else was told that it holds: by whoever does not know whether it is the
        /// one that it asked for, or whether its caller has asked another process since.
        asker: Option<Asker>,
    },
    /// Takes the entry with this id out of the ledger.
    Void {
        /// The entry.
        id: OperationId,
        /// Only if the entry counts at this instant: by whoever tries again later, when the id may have become free and be
        /// another entry's.
        at: Option<Instant>,
    },
    /// Changes nothing.
    Status,
    /// Removes the entries in a range.
    Delete {
        /// Half-open.
        range: Window,
    },
    /// Adds past usage at its own instants, unchecked. At most [`Operation::MAX_BACKFILL`] entries.
    Backfill {
        /// What is added.
        entries: Vec<PastEntry>,
        /// The latest instant that an entry may have, unless the account's own time is later still.
        not_after: Instant,
    },
    /// Replaces the client's plan in a store that keeps plans.
    SetPlan {
        /// The new plan.
        plan: Arc<Plan>,
        /// Its version.
        version: PlanVersion,
    },
    /// Removes the client's plan from a store that keeps plans; entries and holds stay.
    RemovePlan,
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To charge, record, hold, extend, settle and release.
    Decision(Decision),
    /// To status and to setting a plan.
    Status(Status),
    /// To void: whether there was such an entry.
    Voided(bool),
    /// To delete: how many entries went.
    Deleted(u64),
    /// To backfill.
    Backfilled(Backfilled),
    /// To removing a plan.
    PlanRemoved,
}

/// What became of the entries of a backfill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// Entries that are in the ledger now.
    pub added: u64,
    /// Entries that were there already, with the same instant and credits.
    pub skipped: u64,
    /// Ids that are there with another instant or other credits, or are an active hold's, or of entries so old that
    /// only sums are kept of their time, so that it cannot be told whether they are in them. Left alone.
    pub conflicts: Vec<OperationId>,
}

impl EntryId {
    /// The id itself.
    #[must_use]
    pub const fn as_id(&self) -> Option<&OperationId> {
        match self {
            Self::Absent => None,
            Self::Made(id) | Self::Given(id) => Some(id),
        }
    }

    /// The id, if there may be an entry of it: a made one only where it is looked for.
    pub(crate) fn sought(&self, looks_for_made: bool) -> Option<&OperationId> {
        match self {
            Self::Given(id) => Some(id),
            Self::Made(id) => looks_for_made.then_some(id),
            Self::Absent => None,
        }
    }
}

impl Operation {
    /// The greatest number of entries in one backfill.
    pub const MAX_BACKFILL: usize = 10_000;

    /// The id under which a retry finds out what became of this operation.
    #[must_use]
    pub const fn id(&self) -> Option<&OperationId> {
        match self {
            Self::Charge { id, .. } | Self::Record { id, .. } | Self::Hold { id, .. } => id.as_id(),
            Self::Extend { id, .. } | Self::Settle { id, .. } | Self::Release { id, .. } | Self::Void { id, .. } => {
                Some(id)
            }
            Self::Status | Self::Delete { .. } | Self::Backfill { .. } | Self::SetPlan { .. } | Self::RemovePlan => {
                None
            }
        }
    }

    /// The name, for logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Charge { .. } => "charge",
            Self::Record { .. } => "record",
            Self::Hold { .. } => "hold",
            Self::Extend { .. } => "extend",
            Self::Settle { .. } => "settle",
            Self::Release { .. } => "release",
            Self::Void { .. } => "void",
            Self::Status => "status",
            Self::Delete { .. } => "delete",
            Self::Backfill { .. } => "backfill",
            Self::SetPlan { .. } => "plan",
            Self::RemovePlan => "unplan",
        }
    }
}
