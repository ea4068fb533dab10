//! What decides about a request, for every framework.

mod admission;
mod charged;
mod client_by;
mod condition;
mod found;
mod framework;
mod held;
mod idempotency;
mod keyed;
mod meter;
mod metered_future;
#[expect(clippy::module_inception, reason = "the type that gives the folder its name")]
mod metering;
mod quota_error;
mod request_quota;
mod route_cost;
mod routes;
mod settled_after;
mod shown;
mod stake;
mod trial;
mod under_key;

pub use admission::{Admission, Admitted};
pub use charged::Charged;
pub use client_by::ClientBy;
pub use framework::Framework;
pub use held::Held;
pub use idempotency::{IdempotencyKeys, OnReplay};
pub use meter::Watch;
pub use metered_future::{Finish, MeteredFuture};
pub use metering::{Metering, Passage};
pub use quota_error::QuotaError;
pub use request_quota::RequestQuota;
pub use route_cost::RouteCost;
pub use settled_after::{OnDrop, SettledAfter};
