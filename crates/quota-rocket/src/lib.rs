#![doc = include_str!("../README.md")]

mod fairing;
mod framework;
mod guard;
mod memo;
mod price;
mod refused;
mod told;
mod usage_routes;

/// How a request's client is found.
pub type ClientBy = quota_http::ClientBy<Rocket>;

/// What a route charges before its handler runs.
pub type RouteCost = quota_http::RouteCost<Rocket>;

pub use crate::fairing::QuotaFairing;
pub use crate::framework::Rocket;
pub use crate::guard::{ClientQuota, Costs, Paid};
pub use crate::price::{ByHandler, Price, Whole};
pub use crate::refused::Refused;
pub use crate::usage_routes::UsageRoutes;
#[cfg(feature = "dashboard")]
pub use quota_http::Dashboard;
pub use quota_http::{
    Answers, Charged, Held, IdempotencyKeys, Malformed, MemberError, NoClient, OnDrop, OnReplay, OperatorToken,
    QuotaError, RateLimitFields, RefusalResponse, RequestQuota, SettledAfter, Standing, UsageApi, credits_from_query,
    member_from_query,
};
