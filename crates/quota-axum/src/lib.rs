#![doc = include_str!("../README.md")]

mod admission;
mod client_by;
mod context;
mod extract;
mod found;
mod layer;
mod refused;
mod route_cost;
mod routes;
mod service;
mod trial;
mod usage_routes;

pub use crate::client_by::ClientBy;
pub use crate::extract::{Charged, ClientQuota, Held, MissingLayer};
pub use crate::layer::QuotaLayer;
pub use crate::refused::{QuotaError, Refused};
pub use crate::route_cost::RouteCost;
pub use crate::service::{Metered, MeteredFuture};
pub use crate::usage_routes::UsageRoutes;
pub use quota_http::{
    Answers, Malformed, MemberError, NoClient, OperatorToken, RateLimitFields, RefusalResponse, Standing, UsageApi,
    credits_from_query, member_from_query,
};
