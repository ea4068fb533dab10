#![doc = include_str!("../README.md")]

mod builder;
mod claim;
mod client_run;
mod connect_error;
mod drainer;
mod draining;
mod escrow;
mod escrow_run;
mod fields;
mod finishing;
mod keys;
mod leaving;
mod ledger;
mod meetings;
mod open_sums;
mod outbox;
mod part;
mod pending_deletion;
mod pruning;
mod put;
mod server;
mod settings;
mod store;
mod stored;
mod tables;
mod together;
mod usage;
mod used;

pub use crate::builder::MongoBuilder;
pub use crate::connect_error::ConnectError;
pub use crate::store::MongoStore;
