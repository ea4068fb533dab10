//! Requests over many connections from one thread.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::connection::Connection;
use crate::number::count;

const CONNECTIONS: usize = 64;

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) admitted: usize,
    pub(super) denied: usize,
    took: Duration,
}

/// When to send no more.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    After(Duration),
    AfterRequests(usize),
}

impl Load {
    pub(super) fn requests_a_second(&self) -> f64 {
        count(self.admitted + self.denied) / self.took.as_secs_f64()
    }

    fn add(&mut self, status: u16) -> anyhow::Result<()> {
        match status {
            200 => self.admitted += 1,
            429 => self.denied += 1,
            other => bail!("the server answered {other}"),
        }
        Ok(())
    }
}

/// Sends `requests` in turn, one in flight on each connection: the answer that was asked for first is read first and
/// the next request follows at once.
pub(super) fn drive(address: SocketAddr, requests: &[Vec<u8>], stop: Stop) -> anyhow::Result<Load> {
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<Result<Vec<_>, _>>()?;
    let mut requests = requests.iter().cycle();
    let mut load = Load::default();
    let mut sent = 0;
    let began = Instant::now();
    let goes_on = |sent: &mut usize| {
        *sent += 1;
        match stop {
            Stop::After(time) => began.elapsed() < time,
            Stop::AfterRequests(most) => *sent <= most,
        }
    };
    let mut in_flight = [false; CONNECTIONS];
    loop {
        let mut idle = true;
        for (connection, in_flight) in connections.iter_mut().zip(&mut in_flight) {
            if *in_flight {
                load.add(connection.receive()?)?;
                idle = false;
            }
            *in_flight = goes_on(&mut sent);
            if let Some(request) = requests.next().filter(|_| *in_flight) {
                connection.send(request)?;
                idle = false;
            }
        }
        if idle {
            break;
        }
    }
    load.took = began.elapsed();
    Ok(load)
}
