#![doc = include_str!("../README.md")]

mod answers;
mod block;
mod client;
mod digits;
mod headers;
mod lasting;
mod member;
#[cfg(feature = "service")]
mod metering;
mod of_application;
mod problem;
mod quota_headers;
mod refusals;
mod response;
#[cfg(feature = "service")]
mod task;
#[cfg(feature = "usage-api")]
mod usage_api;

pub use crate::answers::{Answers, RateLimitFields};
pub use crate::client::{NoClient, client_from_header};
pub use crate::headers::{
    RATE_LIMIT, RATE_LIMIT_POLICY, X_RATE_LIMIT_LIMIT, X_RATE_LIMIT_REMAINING, X_RATE_LIMIT_RESET,
};
pub use crate::member::{Malformed, MemberError, credits_from_query, member_from_query};
#[cfg(feature = "service")]
pub use crate::metering::{
    Admission, Admitted, Charged, ClientBy, Finish, Framework, Held, IdempotencyKeys, MeteredFuture, Metering, OnDrop,
    OnReplay, Passage, QuotaError, RequestQuota, RouteCost, SettledAfter, Watch,
};
pub use crate::of_application::is_of_application;
pub use crate::quota_headers::{HeadersMut, QuotaHeader};
pub use crate::response::RefusalResponse;
#[cfg(feature = "usage-api")]
pub use crate::usage_api::{
    ApiRequest, ApiResponse, MountedUsageApi, NoBody, OperatorToken, OperatorTokenError, Sent, Standing, UsageApi,
};
#[cfg(feature = "dashboard")]
pub use quota_dashboard::Dashboard;
