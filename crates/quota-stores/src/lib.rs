#![doc = include_str!("../README.md")]

mod connect;

pub use crate::connect::{ConnectError, connect, hosts};
