#![doc = include_str!("../README.md")]

#[cfg(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
compile_error!("quota-store-diesel needs an engine: enable its feature `sqlite`, `postgres` or `mysql`");

// What no engine owns: what is changed and what is read, prepared statements, migrations.
mod changes;
mod failure;
mod grace;
mod migrations;
mod prefix;
mod rows;
mod standing;
mod statement;

// What servers share.
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod connect_error;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

// What SQLite's statements need.
#[cfg(feature = "sqlite")]
mod batch;
#[cfg(feature = "sqlite")]
mod ledger;
#[cfg(feature = "sqlite")]
mod open_error;
#[cfg(feature = "sqlite")]
mod texts;

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use crate::connect_error::ConnectError;
#[cfg(feature = "mysql")]
pub use crate::mysql::{MysqlBuilder, MysqlStore};
#[cfg(feature = "sqlite")]
pub use crate::open_error::OpenError;
#[cfg(feature = "postgres")]
pub use crate::postgres::{PostgresBuilder, PostgresStore};
pub use crate::prefix::{PrefixError, TablePrefix};
#[cfg(feature = "sqlite")]
pub use crate::sqlite::{SqliteBuilder, SqliteStore, Synchronous};
