//! Metrics, by the `metrics` facade. Handles are made when the service is built: install a recorder before.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use quota_core::{Decision, Instant};

use crate::error::ServiceError;

#[derive(Clone)]
pub(crate) struct Instruments {
    allowed: Counter,
    replayed: Counter,
    denied: Counter,
    unchecked: Counter,
    let_pass: Counter,
    refused: Counter,
    failed: Counter,
    clock_ahead: Counter,
    clock_offset: Gauge,
    store_seconds: Histogram,
    batch_size: Histogram,
    plan_changes: Counter,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        describe();
        let charges = |outcome: &'static str| counter!("quota_charges_total", "outcome" => outcome);
        Self {
            allowed: charges("allowed"),
            replayed: charges("replayed"),
            denied: charges("denied"),
            unchecked: charges("unchecked"),
            let_pass: counter!("quota_unchecked_total"),
            refused: charges("refused"),
            failed: charges("failed"),
            clock_ahead: counter!("quota_clock_ahead_total"),
            clock_offset: gauge!("quota_clock_offset_seconds"),
            store_seconds: histogram!("quota_store_seconds"),
            batch_size: histogram!("quota_batch_size"),
            plan_changes: counter!("quota_conflicts_total", "kind" => "plan"),
        }
    }

    pub(crate) fn charged(&self, answer: &Result<Decision, ServiceError>) {
        match answer {
            Ok(decision) => self.decided(decision),
            Err(ServiceError::Refused(_)) => self.refused.increment(1),
            Err(_) => self.failed.increment(1),
        }
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        match decision {
            Decision::Allowed(allowed) if allowed.replayed() => self.replayed.increment(1),
            Decision::Allowed(_) => self.allowed.increment(1),
            Decision::Denied(_) => self.denied.increment(1),
            Decision::Unchecked => self.unchecked.increment(1),
        }
    }

    pub(crate) fn batch(&self, requests: usize, took: Duration) {
        self.store_seconds.record(took);
        self.batch_size.record(u32::try_from(requests).unwrap_or(u32::MAX));
    }

    pub(crate) fn let_pass(&self) {
        self.let_pass.increment(1);
    }

    pub(crate) fn plan_changed(&self) {
        self.plan_changes.increment(1);
    }

    pub(crate) fn clock_was_ahead(&self) {
        self.clock_ahead.increment(1);
    }

    /// How far a clock of this machine is after the server's.
    pub(crate) fn offset(&self, own: Instant, server: Instant) {
        let ahead = own.since(server).as_secs_f64();
        let behind = server.since(own).as_secs_f64();
        self.clock_offset.set(if own < server { behind.copysign(-1.0) } else { ahead });
    }
}

fn describe() {
    describe_counter!("quota_charges_total", "charges, records and holds by outcome");
    describe_counter!("quota_unchecked_total", "operations let pass unchecked since the store could not answer");
    describe_counter!("quota_conflicts_total", "operations tried again, by kind of conflict");
    describe_counter!("quota_clock_ahead_total", "operations refused since their instant was too far ahead");
    describe_gauge!("quota_clock_offset_seconds", metrics::Unit::Seconds, "this machine's clock less the server's");
    describe_histogram!("quota_store_seconds", metrics::Unit::Seconds, "time that the store took for a batch");
    describe_histogram!("quota_batch_size", metrics::Unit::Count, "requests in a batch");
}
