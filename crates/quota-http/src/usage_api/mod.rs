//! The usage API: reading quotas and usage, and what operators do.

mod answering;
mod change;
mod description;
mod mounted;
mod operators;
mod query;
mod request;
mod route;
mod table;
mod views;

pub use crate::usage_api::answering::UsageApi;
pub use crate::usage_api::mounted::{MountedUsageApi, Sent};
pub use crate::usage_api::operators::{OperatorToken, OperatorTokenError, Standing};
pub use crate::usage_api::request::{ApiRequest, ApiResponse, NoBody};
