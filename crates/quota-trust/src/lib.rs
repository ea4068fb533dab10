#![doc = include_str!("../README.md")]

mod authorities;
mod client_config;
mod trust_error;

pub use crate::authorities::authorities;
pub use crate::client_config::client_config;
pub use crate::trust_error::TrustError;
