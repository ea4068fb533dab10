//! The store in a file of SQLite.

mod batch;
mod builder;
mod fault;
mod kept;
mod ledger;
mod location;
mod opening;
mod pruning;
mod reading;
mod session;
mod store;
mod workers;

pub use crate::sqlite::builder::{SqliteBuilder, Synchronous};
pub use crate::sqlite::store::SqliteStore;
