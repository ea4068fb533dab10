//! A server in a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::apps::App;
use super::beside;
use crate::process::processor_micros;

/// Ends with the value.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// This program as one of the applications that it can be.
    pub(super) fn app(app: App) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child-port", &port.to_string(), "--child-app", &app.name()]);
        Self::start(command, port)
    }

    /// A quickstart, by the name of its program.
    pub(super) fn quickstart(program: &str, store: &str, plans: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(beside(program)?);
        command.env("PORT", port.to_string()).env("QUOTA_STORE", store).env("QUOTA_PLANS", plans);
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("could not start a server")?;
        let mut server = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        let began = Instant::now();
        while TcpStream::connect(server.address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("a server ended with {status} before it answered");
            }
            if began.elapsed() > Duration::from_secs(20) {
                bail!("a server did not answer within 20 seconds");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor time used so far.
    pub(super) fn processor_micros(&self) -> anyhow::Result<u64> {
        processor_micros(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing that it stored is wanted.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
