//! Which servers a run was given, and which it must not do without.

use std::env;
use std::io::Write;

use crate::error::ServerError;
use crate::private_server::PrivateServer;
use crate::server::{REQUIRED, Server};

/// The URL of the server that tests share, from its variable.
///
/// Where nobody declared the server, this says on standard error that the suite is skipped, and gives none.
///
/// # Panics
/// Where the run requires the server ([`REQUIRED`]) but gives no URL: the suite then fails, rather than to test nothing.
#[must_use]
pub fn url(server: Server) -> Option<String> {
    let variable = server.variable();
    if let Some(url) = env::var(variable).ok().filter(|url| !url.is_empty()) {
        return Some(url);
    }
    assert!(!is_required(server), "{server} is required ({REQUIRED}), but {variable} is not set");
    skip(&format!("set {variable} or run cargo xtask test"));
    None
}

/// A server of the test's own, which it may kill and restart.
///
/// Where its program is not installed and nobody required it, this says on standard error that the suite is skipped, and
/// gives none.
///
/// # Panics
/// Where it does not start, or is not installed although the run requires this kind of server.
#[must_use]
pub fn private(server: Server) -> Option<PrivateServer> {
    unless_missing(server, PrivateServer::start(server))
}

/// The same with [`PrivateServer::start_encrypted`].
///
/// # Panics
/// As [`private`].
#[must_use]
pub fn private_encrypted(server: Server) -> Option<PrivateServer> {
    unless_missing(server, PrivateServer::start_encrypted(server))
}

/// The same with [`PrivateServer::start_sentinel`], where there is a Redis.
///
/// # Panics
/// As [`private`].
#[must_use]
pub fn private_sentinel(password: &str) -> Option<PrivateServer> {
    unless_missing(Server::Redis, PrivateServer::start_sentinel(password))
}

/// The same with [`PrivateServer::start_guarded`], where there is a MongoDB.
///
/// # Panics
/// As [`private`].
#[must_use]
pub fn private_guarded() -> Option<PrivateServer> {
    unless_missing(Server::Mongodb, PrivateServer::start_guarded())
}

fn unless_missing(server: Server, started: Result<PrivateServer, ServerError>) -> Option<PrivateServer> {
    match started {
        Ok(running) => Some(running),
        Err(error) if error.is_missing() && !is_required(server) => {
            skip(&format!("{error}; cargo xtask test sets it up"));
            None
        }
        Err(error) => panic!("{server}: {}", with_source(&error)),
    }
}

fn is_required(server: Server) -> bool {
    env::var(REQUIRED).is_ok_and(|names| names.split(',').any(|name| name.trim() == server.name()))
}

/// Not by `eprintln!`, which test harnesses hide where a test passes.
fn skip(advice: &str) {
    let thread = std::thread::current();
    let line = format!("SKIP {}: {advice}\n", thread.name().unwrap_or("suite"));
    // Nobody may read it: the test is skipped all the same.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", with_source(source)))
}
