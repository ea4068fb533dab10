#![doc = include_str!("../README.md")]

mod carried;
mod extract;
mod framework;
mod layer;
mod refused;
mod service;
mod usage_routes;

/// How a request's client is found.
pub type ClientBy = quota_http::ClientBy<Axum>;

/// What a route charges before its handler runs. One credit by default.
///
/// ```
/// use quota_axum::RouteCost;
///
/// let five = RouteCost::from(5);
/// let half = RouteCost::from("0.5".parse::<quota_core::Credits>()?);
/// let paid_if_it_works = RouteCost::from(5).on_success();
/// # Ok::<(), quota_core::CreditsError>(())
/// ```
pub type RouteCost = quota_http::RouteCost<Axum>;

pub use crate::extract::ClientQuota;
pub use crate::framework::Axum;
pub use crate::layer::QuotaLayer;
pub use crate::refused::Refused;
pub use crate::service::{Metered, MeteredFuture};
pub use crate::usage_routes::UsageRoutes;
#[cfg(feature = "dashboard")]
pub use quota_http::Dashboard;
pub use quota_http::{
    Answers, Charged, Held, IdempotencyKeys, Malformed, MemberError, NoClient, OnDrop, OnReplay, OperatorToken,
    QuotaError, RateLimitFields, RefusalResponse, RequestQuota, SettledAfter, Standing, UsageApi, credits_from_query,
    member_from_query,
};
