#![doc = include_str!("../README.md")]

#[cfg(all(unix, feature = "tests"))]
#[expect(missing_docs, reason = "a case is named for what it promises")]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub mod cases;
mod demo;
mod query;
#[cfg(all(unix, feature = "tests"))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod server;
mod settings;
mod stop;
mod words;

pub use crate::query::{failure, flag_from_query};
pub use crate::settings::{Settings, client_header, dashboard};
pub use crate::stop::asked_to_stop;
pub use crate::words::{cannot_listen, log_to_stderr, print_what_to_try};
