//! What every store must do, a case for each promise and each trap.
//!
//! A case is a plain async function that panics where the store breaks the promise in its name. Run them all with
//! [`crate::conformance!`].

pub mod batches;
pub mod charging;
pub mod clients;
pub mod concurrency;
pub mod days;
pub mod deletion;
mod expected;
pub mod faults;
pub mod holds;
pub mod ids;
pub mod many_sums;
pub mod model;
pub mod plans;
pub mod processes;
pub mod pruning;
pub mod usage;

use std::future::Future;
use std::pin::Pin;

use crate::harness::{Harness, StoreFactory};

/// A case that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case by its name, for a suite that is not made of `#[test]`s.
#[derive(Clone, Copy, Debug)]
pub struct Case<F: 'static> {
    /// Its module and name.
    pub name: &'static str,
    /// Runs it; it panics where the store breaks the promise.
    pub run: for<'a> fn(&'a Harness<F>) -> Running<'a>,
}

/// Every case.
#[must_use]
pub fn cases<F: StoreFactory>() -> Vec<Case<F>> {
    crate::for_each_case!(list(F))
}
