#![doc = include_str!("../README.md")]

mod account;
mod asked;
mod credits;
mod cut;
mod days;
mod decision;
#[cfg(feature = "serde")]
mod document;
mod entry;
mod headroom;
mod holds;
mod id;
mod instant;
#[cfg(feature = "serde")]
mod labels;
mod lattice;
mod ledger;
mod mending;
mod operation;
mod period;
mod plan;
mod quotas;
mod refusal;
mod slot;
mod terms;
mod turn;
mod window;
#[cfg(feature = "serde")]
mod wire;

pub use crate::account::{Account, Verdict};
pub use crate::asked::{Asked, PlanCheck};
pub use crate::credits::{Balance, Credits, CreditsError};
pub use crate::cut::{Cut, Span};
pub use crate::days::{DayUsage, Days, GroupBy, QuarterSum};
pub use crate::decision::{Allowed, Decision, Denied, Status};
#[cfg(feature = "serde")]
pub use crate::document::DocumentError;
pub use crate::entry::{Asker, Entry, Hold, PastEntry, Ttl, TtlError};
pub use crate::headroom::Headroom;
pub use crate::id::{ClientId, IdError, Label, OperationId};
pub use crate::instant::{Instant, InstantError};
#[cfg(feature = "serde")]
pub use crate::labels::Labels;
pub use crate::lattice::{Anchor, Lattice, UnknownZone, WindowOutOfRange, zone};
pub use crate::ledger::{Detail, Fact, Need, PlanWrite, QUARTER_MILLIS, Removal, Stop, Writes, is_quarter, quarter_of};
pub use crate::operation::{Answer, Backfilled, EntryId, Operation};
pub use crate::period::{Period, PeriodError, Unit};
pub use crate::plan::{Limit, Plan, PlanError, PlanVersion, Quota};
pub use crate::quotas::{QuotaStatus, Quotas, Remaining};
pub use crate::refusal::Refusal;
pub use crate::terms::Terms;
pub use crate::turn::Turn;
pub use crate::window::{InvalidRange, Window};
pub use chrono::NaiveDate;
pub use chrono_tz::Tz;
