#![doc = include_str!("../README.md")]

mod additions;
mod attempt;
mod builder;
mod call_error;
mod client_run;
mod clients;
mod cluster_node;
mod connect_error;
mod day_set;
mod dead_entries;
mod entry_text;
mod facts;
mod gathering;
mod id_counts;
mod keys;
mod link;
mod node;
mod open_sums;
mod pruning;
mod reading;
mod removing;
mod script;
mod sent_commit;
mod server;
mod settings;
mod store;
mod stored;
mod sum_text;
mod target;
mod trust;
mod usage;
mod values;

pub use crate::builder::RedisBuilder;
pub use crate::connect_error::ConnectError;
pub use crate::keys::{KeyPrefix, PrefixError};
pub use crate::store::RedisStore;
