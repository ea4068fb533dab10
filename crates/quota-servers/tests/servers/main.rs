//! Private servers: they start, answer, keep what they were told over a kill, and end with their owner.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod client;
mod cluster;
mod declared;
mod ending;
mod mongodb;
mod redis;
mod sql;
