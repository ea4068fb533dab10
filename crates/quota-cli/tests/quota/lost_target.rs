//! An import whose store is full or lost.

use std::process::Command;

use quota_servers::Server;
use serde_json::Value;

use crate::many_rows::{ROWS, go_on, make, source};
use crate::place::at_new_place;
use crate::relay::{Relay, server_of};
use crate::support::{Folder, both, password};

/// What an import answered and said that could not write all: fewer rows than there are.
pub(crate) fn check_cut_off((code, answer, said): (Option<i32>, String, String)) -> (i64, String) {
    let done: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}: {said}"));
    let added = done["added"].as_i64().unwrap();
    assert!(code == Some(1) && added < ROWS, "{done}");
    assert!(said.contains("the import was cut off; what was added stays, and the same command goes on: "), "{said}");
    assert!(said.contains("the client client") && !said.contains("panicked"), "{said}");
    (added, said)
}

/// The next run finds what the one before added, and perhaps what it was not told of.
pub(crate) fn check_whole(from: &str, to: &str, added: i64) {
    let there = go_on(from, to)["already_there"].as_i64().unwrap();
    assert!(there >= added, "{added} were added, and {there} are there");
}

/// The store goes away after so many bytes of requests, in the midst of the rows.
fn check_lost(server: Server, after: u64) {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(server, |to| {
        make(&folder, to);
        let (place, secret) = (server_of(to), if to.contains('@') { password(to) } else { "" });
        let relay = Relay::losing(place, after);
        let lost = relay.in_place_of(place, to);
        let import = both(&["import-frappy", "--from", &from, "--to", &lost, "--json"]);
        assert!(relay.is_broken(), "it is met in the midst of the rows");
        let (added, said) = check_cut_off(import);
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
        check_whole(&from, to, added);
    });
}

/// All rows are more than 1.5 MB of requests, of whatever store.
#[test]
fn a_postgresql_that_is_lost_is_told_and_the_import_goes_on() {
    check_lost(Server::Postgres, 1_000_000);
}

#[test]
fn a_mysql_that_is_lost_is_told_and_the_import_goes_on() {
    check_lost(Server::Mysql, 1_000_000);
}

#[test]
fn a_redis_that_is_lost_is_told_and_the_import_goes_on() {
    check_lost(Server::Redis, 1_000_000);
}

/// The rows are sent twice, to accounts and to the ledger.
#[test]
fn a_mongodb_that_is_lost_is_told_and_the_import_goes_on() {
    check_lost(Server::Mongodb, 2_000_000);
}

#[test]
fn a_full_disk_is_told_and_the_import_goes_on() {
    let folder = Folder::new();
    let (from, to) = (source(&folder), folder.url("quota.db"));
    make(&folder, &to);
    // No file of the command's becomes larger than 2 MiB. That refuses a write as a full disk does, and does not end it.
    let limited = "trap '' XFSZ; ulimit -f 4096; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_quota"), "import-frappy", "--from", &from, "--to", &to]);
    let output = command.arg("--json").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (added, said) = check_cut_off((output.status.code(), text(output.stdout), text(output.stderr)));
    assert!(said.contains("disk"), "{said}");
    check_whole(&from, &to, added);
}

#[test]
fn a_redis_whose_memory_is_full_is_told_and_the_import_goes_on() {
    let Some(server) = quota_servers::private(Server::Redis) else { return };
    let folder = Folder::new();
    let (from, to) = (source(&folder), format!("{}?detail=entries", server.url()));
    make(&folder, &to);
    let redis = &server.nodes()[0];
    // Room for the server itself and for some of the rows.
    let memory = redis.ask_redis("INFO memory").unwrap();
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let room = used.parse::<u64>().unwrap() + 2_000_000;
    assert_eq!(redis.ask_redis(&format!("CONFIG SET maxmemory {room}")).unwrap(), "OK");
    let (added, said) = check_cut_off(both(&["import-frappy", "--from", &from, "--to", &to, "--json"]));
    assert!(said.contains("OOM"), "{said}");
    assert_eq!(redis.ask_redis("CONFIG SET maxmemory 0").unwrap(), "OK");
    check_whole(&from, &to, added);
}
