#![doc = include_str!("../README.md")]

mod alarm;
mod any_store;
mod batch;
mod builder;
mod charge;
mod claims;
mod client_turn;
mod clock;
mod days_reading;
mod deadline;
mod denials;
mod dyn_service;
mod ender;
mod entries_cursor;
mod error;
mod flight;
mod guard;
mod held_clients;
mod inbox;
mod instruments;
mod kept_accounts;
mod lane;
mod lanes;
mod made_id;
mod patience;
mod perform;
mod plan_file;
mod plan_set;
mod plan_source;
mod plans;
mod present;
mod queue;
mod receipt;
mod server_clock;
mod service;
mod slip;
mod store;
mod store_error;
mod together;
mod usage;
mod used_ids;

#[doc = include_str!("write_your_own_store.md")]
#[doc = "```rust,no_run"]
#[doc = include_str!("../examples/own_store.rs")]
#[doc = "# fn main() {}"]
#[doc = "```"]
pub mod write_your_own_store {}

pub use crate::any_store::AnyStore;
pub use crate::batch::{Answers, Batch, ClientRequests};
pub use crate::builder::{OnStoreError, QuotaServiceBuilder};
pub use crate::charge::Charge;
pub use crate::client_turn::{ClientTurn, Step};
pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::days_reading::DaysReading;
pub use crate::dyn_service::{DynService, SharedService};
pub use crate::entries_cursor::EntriesCursor;
pub use crate::error::ServiceError;
pub use crate::guard::{HoldGuard, Holding, Settled};
pub use crate::held_clients::HeldClients;
pub use crate::kept_accounts::KeptAccounts;
pub use crate::made_id::{block_of_made, may_be_made};
pub use crate::patience::Patience;
pub use crate::plan_file::{PlanFile, PlanFileError};
pub use crate::plan_source::{PlanRegistry, PlanSource};
pub use crate::receipt::Receipt;
pub use crate::service::QuotaService;
pub use crate::store::{
    ClientsQuery, DailyQuery, Dispatch, EntriesPage, EntriesQuery, PlainCharge, PlanStamp, PlanStore, PlanView,
    PlansNow, Pruned, Request, StoredPlan, UsageStore,
};
pub use crate::store_error::{Source, StoreError};
pub use crate::together::{Joined, Together};
pub use crate::used_ids::{RoomForIds, UsedIds};

pub use async_trait::async_trait;
pub use quota_core;
pub use quota_core::{
    Allowed, Anchor, Backfilled, Balance, ClientId, Credits, CreditsError, DayUsage, Decision, Denied, Entry, GroupBy,
    IdError, Instant, InstantError, Label, Limit, OperationId, PastEntry, Period, PeriodError, Plan, PlanError, Quota,
    QuotaStatus, Quotas, Refusal, Remaining, Status, Ttl, Tz, Unit, Window,
};
