//! Servers of every scheme that are not there, do not answer, let nobody in or have no such database: as a store that is
//! asked, as the target of an import, and as its source.

use std::net::TcpListener;
use std::path::Path;
use std::thread;

use quota_servers::Server;

use crate::relay::server_of;
use crate::support::{Folder, TABLE, both, database, name};

/// It stands in every URL, and in no message.
const SECRET: &str = "hunter2secret";

/// What stands before a user and behind a host in the URLs of each scheme, and what messages call it.
const SCHEMES: [(&str, &str, &str); 8] = [
    ("postgres", "/d", "postgres"),
    ("postgresql", "/d", "postgres"),
    ("mysql", "/d", "mysql"),
    ("redis", "/0", "redis"),
    ("redis+cluster", "", "redis"),
    ("redis+sentinel", "/main", "redis"),
    ("valkey", "", "redis"),
    ("mongodb", "/d?serverSelectionTimeoutMS=500&connectTimeoutMS=500", "mongodb"),
];

/// What each subcommand says of this URL: what it is called, where it is and what to do, and nothing else happens.
fn refuses(folder: &Folder, url: &str, named: &str, parts: &[&str]) {
    let (from, new) = (folder.url("old.db"), folder.url("new.db"));
    let (source, target) =
        (["import-frappy", "--to", &new, "--from", url], ["import-frappy", "--from", &from, "--to", url]);
    let mut calls = vec![
        vec!["usage", "c", "--store", url],
        vec!["status", "c", "--store", url],
        vec!["delete", "c", "--all", "--yes", "--store", url],
        vec!["prune", "--before", "2024-01-01", "--store", url],
        target.to_vec(),
        [&target[..], &["--dry-run"]].concat(),
    ];
    match named {
        "redis" => {}
        "mongodb" => calls.push([&source[..], &["--database", "d", "--collection", "c"]].concat()),
        _ => calls.push(source.to_vec()),
    }
    // Some wait for seconds.
    thread::scope(|threads| {
        for call in calls {
            threads.spawn(move || {
                let (code, answer, said) = both(&call);
                let call = call.join(" ");
                assert_eq!((code, answer.as_str()), (Some(1), ""), "{call}: {said}");
                assert!(said.starts_with("error: ") && said.lines().count() == 1, "{call}: {said}");
                assert!(said.to_lowercase().contains(named), "it is called {named}: {call}: {said}");
                for part in parts {
                    assert!(said.contains(part), "{part}: {call}: {said}");
                }
                for leaked in [SECRET, "panicked", "Some(", "labels"] {
                    assert!(!said.contains(leaked), "{leaked}: {call}: {said}");
                }
            });
        }
    });
    assert!(!Path::new(&folder.path("new.db")).exists(), "no store is made for a source that is none: {url}");
}

/// With a source of the predecessor's.
fn folder() -> Folder {
    let folder = Folder::new();
    database(&folder, "old.db", &format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)"));
    folder
}

#[test]
fn a_host_where_nobody_listens_is_named() {
    for (scheme, behind, named) in SCHEMES {
        let url = format!("{scheme}://user:{SECRET}@127.0.0.1:1{behind}");
        refuses(&folder(), &url, named, &["127.0.0.1:1", "check host"]);
    }
}

#[test]
fn a_host_that_is_not_known_is_named() {
    for (scheme, behind, named) in SCHEMES {
        let url = format!("{scheme}://user:{SECRET}@no-such-host.invalid{behind}");
        refuses(&folder(), &url, named, &["no-such-host.invalid", "check host"]);
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_named() {
    // Connections are made by the system, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    thread::scope(|threads| {
        for (scheme, behind, named) in SCHEMES {
            let (folder, address) = (folder(), &address);
            let url = format!("{scheme}://user:{SECRET}@{address}{behind}");
            threads.spawn(move || refuses(&folder, &url, named, &[address, "check host"]));
        }
    });
}

/// A server's URL with another user and password.
fn as_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}://{user}:{SECRET}@{rest}")
}

#[test]
fn a_user_or_a_password_that_is_wrong_is_told_and_never_shown() {
    for (server, named) in [
        (Server::Postgres, "postgres"),
        (Server::Mysql, "mysql"),
        (Server::Redis, "redis"),
        (Server::RedisCluster, "redis"),
        (Server::Mongodb, "mongodb"),
    ] {
        let Some(url) = quota_servers::url(server) else { continue };
        // The one exists in the servers that have users.
        for user in ["quota", "nobody"] {
            refuses(&folder(), &as_user(&url, user), named, &[server_of(&url), "check user", "password"]);
        }
    }
}

#[test]
fn a_database_that_is_not_there_is_told() {
    for (server, absent, parts) in [
        (Server::Postgres, name(), ["does not exist", "database"]),
        (Server::Mysql, name(), ["Unknown database", "database"]),
        (Server::Redis, "9999".to_owned(), ["no database of this number", "name another"]),
        (Server::RedisCluster, "3".to_owned(), ["one database only", "leave the number out"]),
    ] {
        let Some(url) = quota_servers::url(server) else { continue };
        let (host, scheme) = (server_of(&url), url.split([':', '+']).next().unwrap());
        let (before, _) = url.split_once(host).unwrap();
        let parts = [host, parts[0], parts[1]];
        refuses(&folder(), &format!("{before}{host}/{absent}"), scheme, &parts);
    }
}

/// MongoDB makes databases when something is written there.
#[test]
fn a_database_of_mongodb_that_is_not_there_has_no_store_and_no_collection() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let (folder, host, absent) = (folder(), server_of(&url), name());
    let url = format!("mongodb://{host}/{absent}");
    for call in [["usage", "c", "--store", &url], ["status", "c", "--store", &url]] {
        let (code, answer, said) = both(&call);
        assert_eq!((code, answer.as_str()), (Some(1), ""), "{said}");
        assert!(said.contains(&format!("there is none at {host}: look at the database")), "{said}");
    }
    let (code, answer, said) =
        both(&["import-frappy", "--from", &url, "--collection", "c", "--to", &folder.url("new.db")]);
    assert_eq!((code, answer.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains(&format!("database {absent} at MongoDB at {host} has no collection c: name them")), "{said}");
}
