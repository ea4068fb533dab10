//! What the example says.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

/// Logs to standard error, as `RUST_LOG` says.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
}

/// What is to be done where an address cannot be listened on.
#[must_use]
pub fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}: end what listens there, or set PORT to another (0 takes a free one)")
}

/// Prints where it listens, and what to try.
///
/// # Errors
/// Those of standard output.
pub fn print_what_to_try(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}\n\ntry:")?;
    for path in [
        "/api/fetch-data",
        "/api/fetch-expensive-data",
        "/api/compute?credits=2.5",
        "/api/generate?max=100&actual=42",
        "/api/generate?max=100&actual=42&fail=true",
        "/quota/status",
        "/quota/usage",
    ] {
        writeln!(out, "  curl -i -H 'X-Client-Id: client1' 'http://{address}{path}'")?;
    }
    writeln!(out, "\nsee http://{address}/quota/ in a browser\nstop with ctrl-c")?;
    out.flush()
}
