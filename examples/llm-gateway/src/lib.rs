#![doc = include_str!("../README.md")]

mod answer;
mod clients;
mod completion;
mod completion_request;
mod event;
mod gateway;
mod keys;
mod model;
mod quote;
mod rates;
mod stop;
mod usage;

pub use crate::clients::{keys, plans};
pub use crate::gateway::Gateway;
pub use crate::keys::Keys;
pub use crate::model::Model;
pub use crate::rates::Rates;
pub use crate::stop::{Stop, Stopper, stop};
