#![doc = include_str!("../README.md")]

#[expect(missing_docs, reason = "a case is named for the promise that it holds a store to")]
#[expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a case fails by panicking")]
pub mod conformance;
#[expect(clippy::expect_used, reason = "a case fails by panicking")]
mod forgetting;
mod gated;
#[expect(clippy::expect_used, reason = "a case fails by panicking")]
mod harness;
#[expect(missing_docs, reason = "a case is named for the promise that it holds an adapter to")]
#[expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a case fails by panicking"
)]
pub mod http;
mod listed;
mod proxy;
mod run;
mod shared;
mod store_url;
#[expect(clippy::panic, clippy::expect_used, reason = "a case fails by panicking")]
mod subject;
pub mod vectors;
#[expect(clippy::panic, reason = "a test that writes down what is none fails")]
mod words;

pub use quota_servers::{Node, PrivateServer, Server, ServerError, private as private_server, url as server};

pub use crate::forgetting::{
    RETENTION, days_past_a_retention_are_forgotten, sums_past_a_retention_are_forgotten_in_steps,
    windows_past_a_retention_are_refused,
};
pub use crate::gated::{Gate, Gated, Keeper};
pub use crate::harness::{Boxed, Harness, StoreFactory};
pub use crate::proxy::{Cut, Proxy};
pub use crate::run::{run, scale, seed};
pub use crate::shared::{Shared, SharedMemory};
pub use crate::store_url::with_entries;
pub use crate::subject::{Subject, past_entry, word};
pub use crate::words::{at, credits, minutes, operation_id, per_day, per_hour, quota, quota_from, range, seconds};
