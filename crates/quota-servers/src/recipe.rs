//! What a server needs to be started.

use std::fmt::Debug;
use std::path::Path;

use rustix::process::{Pid, Signal};

use crate::error::ServerError;
use crate::launch::Program;

/// Where a server listens, on the loopback interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// For clients.
    pub(crate) client: u16,
    /// For other servers of its cluster.
    pub(crate) bus: u16,
    /// For clients with encrypted connections, where these have a port of their own.
    pub(crate) encrypted: u16,
}

/// A server that was started, and may answer by now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) ports: Ports,
    pub(crate) pid: Pid,
    /// What it has written since it was started.
    pub(crate) log: &'a str,
}

/// One kind of server.
pub(crate) trait Recipe: Debug + Send + Sync {
    /// Fills its folder before it is first started.
    fn prepare(&self, folder: &Path, log: &Path) -> Result<(), ServerError>;

    /// The program that serves until it is ended.
    fn program(&self, folder: &Path, ports: Ports) -> Result<Program, ServerError>;

    /// Whether it takes commands.
    fn is_ready(&self, started: Started<'_>) -> bool;

    /// What ends it at once without leaving anything in the system.
    fn ends_by(&self) -> Signal {
        Signal::KILL
    }

    /// Takes away what a killed one left outside its folder.
    fn clean(&self, _folder: &Path) {}
}
