#![doc = include_str!("../README.md")]

mod entries;
mod ids;
mod ledger;
mod record;
mod shard;
mod store;

pub use crate::store::{MemoryStore, MemoryStoreBuilder};
