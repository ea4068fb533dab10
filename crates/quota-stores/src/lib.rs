#![doc = include_str!("../README.md")]

mod connect;
mod prefix;

pub use crate::connect::{ConnectError, connect, hosts};
pub use crate::prefix::split_prefix;
