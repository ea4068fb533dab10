//! Free ports.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::error::ServerError;

/// Below the ports that systems give to outgoing connections, so that none of these takes the port of a server that is
/// restarted.
const RANGE: std::ops::Range<u16> = 10_240..32_768;

/// How many are tried.
const ATTEMPTS: usize = 200;

/// Those that this process gave out: a server needs a moment to take its own.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of the loopback interface on which nobody listens.
pub(crate) fn free() -> Result<u16, ServerError> {
    for _ in 0..ATTEMPTS {
        let port = fastrand::u16(RANGE);
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
    Err(ServerError::Answer(format!("none of {ATTEMPTS} ports is free")))
}
