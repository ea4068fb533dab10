//! The bare server.

use std::time::Duration;

/// What a server does without us: the least that a durable charge could be.
pub(super) trait Engine {
    /// What is compared with, on one row or on many.
    fn name(&self, rows: usize) -> String;

    /// What one caller's step is.
    fn step(&self) -> &'static str;

    /// Steps a second on any of so many rows.
    fn commits(&self, rows: usize, slice: Duration) -> anyhow::Result<f64>;

    /// How long one scan by index of so many rows of an instant, a text and two numbers takes, all of them sent to the
    /// caller; none where a server has no such
    /// thing.
    fn scan(&self, rows: i64) -> anyhow::Result<Option<Duration>>;

    /// How long each step of one caller on an idle system takes.
    fn waits(&self, slice: Duration) -> anyhow::Result<Vec<Duration>>;
}
