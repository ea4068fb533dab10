//! The clients that come with the servers.

use std::process::Command;
use std::time::{Duration, Instant};

use quota_servers::{Node, PrivateServer};

/// What it answers; an error is what it says of it.
pub(crate) type Answer = Result<String, String>;

pub(crate) fn psql(url: &str, sql: &str) -> Answer {
    run(Command::new("psql").env("PGCONNECT_TIMEOUT", "2").args([
        url,
        "--no-psqlrc",
        "-v",
        "ON_ERROR_STOP=1",
        "-Atc",
        sql,
    ]))
}

pub(crate) fn mariadb(url: &str, sql: &str) -> Answer {
    let (account, place) = url.strip_prefix("mysql://").unwrap().split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    let (address, database) = place.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let options = ["--no-defaults", "--connect-timeout=2", "-h", host, "-P", port, "-u", user, "-Nse", sql, database];
    run(Command::new("mariadb").env("MYSQL_PWD", password).args(options))
}

pub(crate) fn redis(node: &Node, command: &str) -> Answer {
    let mut client = Command::new("timeout");
    client.args(["2", "redis-cli", "-e", "-c", "-p", &node.port().to_string()]).args(command.split(' '));
    run(&mut client)
}

pub(crate) fn only(server: &PrivateServer) -> &Node {
    assert_eq!(server.nodes().len(), 1);
    &server.nodes()[0]
}

/// Asks again and again, for what another process does in its own time.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(command: &mut Command) -> Answer {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
