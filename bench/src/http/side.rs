//! One of the servers that are compared, and what it did in the rounds.

use std::time::Duration;

use anyhow::bail;

use super::load::{Load, Stop, drive};
use super::server::Server;
use crate::number::{count, median, median_ratio};
use crate::row::{Measured, Row};

pub(super) struct Side {
    name: &'static str,
    /// What it does for a request beyond answering it.
    work: &'static str,
    durability: &'static str,
    server: Server,
    requests_a_second: Vec<f64>,
    micros_each: Vec<f64>,
}

impl Side {
    pub(super) const fn new(name: &'static str, work: &'static str, durability: &'static str, server: Server) -> Self {
        Self { name, work, durability, server, requests_a_second: Vec::new(), micros_each: Vec::new() }
    }

    /// One slice of load, of which every request has to be admitted.
    pub(super) fn serve(&mut self, requests: &[Vec<u8>], slice: Duration) -> anyhow::Result<()> {
        let before = self.server.processor_micros()?;
        let load = drive(self.server.address(), requests, Stop::After(slice))?;
        let used = self.server.processor_micros()?.saturating_sub(before);
        if load.denied > 0 {
            bail!("{}: {} requests were denied below the limit", self.name, load.denied);
        }
        self.requests_a_second.push(load.requests_a_second());
        self.micros_each.push(count(usize::try_from(used)?) / count(load.admitted));
        Ok(())
    }

    /// Forgets the round that does not count.
    pub(super) fn forget(&mut self) {
        self.requests_a_second.clear();
        self.micros_each.clear();
    }

    pub(super) fn processor_time(&self, group: &'static str, bare: &Self) -> Row {
        let measured = Measured { value: median(self.micros_each.clone()), unit: "us" };
        let name = format!("processor time of a request, {} ({})", self.name, self.work);
        let ratio = median_ratio(&self.micros_each, &bare.micros_each);
        Row::new(group, name, self.durability, measured).against(bare.name, median(bare.micros_each.clone()), ratio)
    }

    /// Compared with nothing yet.
    pub(super) fn speed(&self, group: &'static str) -> Row {
        let measured = Measured { value: median(self.requests_a_second.clone()), unit: "/s" };
        Row::new(group, format!("requests a second, {}", self.name), self.durability, measured)
    }

    pub(super) fn speed_by(&self, group: &'static str, bare: &Self) -> Row {
        let ratio = median_ratio(&self.requests_a_second, &bare.requests_a_second);
        self.speed(group).against(bare.name, median(bare.requests_a_second.clone()), ratio)
    }

    /// More requests than a client's limit, from all connections at once: how many were admitted.
    pub(super) fn admitted_of(&self, request: &[u8], requests: usize) -> anyhow::Result<usize> {
        let Load { admitted, denied, .. } =
            drive(self.server.address(), &[request.to_vec()], Stop::AfterRequests(requests))?;
        if admitted + denied != requests {
            bail!("{}: {admitted} requests were admitted and {denied} denied of {requests}", self.name);
        }
        Ok(admitted)
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn durability(&self) -> &'static str {
        self.durability
    }
}
