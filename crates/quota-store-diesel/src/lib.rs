#![doc = include_str!("../README.md")]

#[cfg(not(feature = "sqlite"))]
compile_error!("quota-store-diesel needs an engine: enable its feature `sqlite`");

// What no engine owns: the order of a batch, what is summed from where, the text of statements, migrations.
mod batch;
mod changes;
mod failure;
mod ledger;
mod migrations;
mod open_error;
mod prefix;
mod rows;
mod statement;
mod texts;

#[cfg(feature = "sqlite")]
mod sqlite;

pub use crate::open_error::OpenError;
pub use crate::prefix::{PrefixError, TablePrefix};
#[cfg(feature = "sqlite")]
pub use crate::sqlite::{SqliteBuilder, SqliteStore, Synchronous};
