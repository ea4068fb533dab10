//! An import whose source is lost while it is read.

use std::path::Path;

use quota_servers::Server;
use serde_json::{Value, json};

use crate::place::execute;
use crate::relay::{Relay, server_of};
use crate::support::{Folder, both, json, name, password};

/// Four pages.
const ROWS: i64 = 20_000;

/// What each client used: a credit for each of its rows.
const USED: [(&str, &str); 3] = [("client0", "8000"), ("client1", "6000"), ("client2", "6000")];

/// So many bytes come from a server before anybody is logged in.
const IN_THE_GREETING: u64 = 60;

/// So many bytes are more than a page (190,000 from MySQL, 270,000 from PostgreSQL), fewer than all of them, and end
/// within one.
const IN_A_PAGE: u64 = 450_000;

/// The predecessor's table, made and numbered without what only one of the servers has.
fn filled(table: &str) -> [String; 2] {
    let digits = (0..10).map(|digit| format!("SELECT {digit} AS n")).collect::<Vec<_>>().join(" UNION ALL ");
    [
        format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, client_id VARCHAR(20), timestamp INTEGER, credits FLOAT)"
        ),
        format!(
            "INSERT INTO {table} SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 1, \
             CONCAT('client', a.n % 3), 1709251200 + 10 * b.n + a.n, 1 \
             FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, (SELECT 0 AS n UNION ALL SELECT 1 AS n) e"
        ),
    ]
}

/// That the source went away is told; what was read of it stays, and nothing is there twice in the end.
fn check(server: Server) {
    let Some(url) = quota_servers::url(server) else { return };
    let table = name();
    execute(&url, &filled(&table));
    let (folder, place, secret) = (Folder::new(), server_of(&url), password(&url));
    let to = folder.url("quota.db");
    let import = |from: &str| both(&["import-frappy", "--from", from, "--to", &to, "--table", &table, "--json"]);

    let relay = Relay::cutting(place, IN_THE_GREETING);
    let (code, answer, said) = import(&relay.in_place_of(place, &url));
    assert_eq!((code, answer.as_str(), relay.cuts()), (Some(1), "", 1), "{said}");
    assert!(said.contains("the source cannot be connected to: ") && said.contains("cannot be reached"), "{said}");
    assert!(secret.is_empty() || !said.contains(secret), "{said}");
    assert!(!Path::new(&folder.path("quota.db")).exists(), "no store is made for a source that is not there");

    let relay = Relay::cutting(place, IN_A_PAGE);
    let broken = relay.in_place_of(place, &url);
    let (code, answer, said) = import(&broken);
    let done: Value = serde_json::from_str(&answer).unwrap();
    let added = done["added"].as_i64().unwrap();
    assert_eq!((code, relay.cuts()), (Some(1), 1), "{said}");
    assert!(added > 0 && added < ROWS && done["read"] == added, "{done}");
    assert!(said.contains("the import was cut off; what was added stays, and the same command goes on: "), "{said}");
    assert!(said.contains("the source cannot be read: ") && !said.contains("panicked"), "{said}");
    assert!(said.contains(&format!(" at {} ", server_of(&broken))), "where the source is: {said}");
    assert!(secret.is_empty() || !said.contains(secret), "{said}");

    let (code, answer, said) = import(&broken);
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, relay.cuts()), (Some(1), 2), "{said}");
    assert_eq!((&done["added"], &done["already_there"]), (&json!(0), &json!(added)), "{said}");

    let (code, answer, said) = import(&url);
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!((&done["read"], &done["added"]), (&json!(ROWS), &json!(ROWS - added)), "{done}");
    assert_eq!((&done["already_there"], &done["skipped"]["count"]), (&json!(added), &json!(0)), "{done}");
    for (client, used) in USED {
        let usage = json(&["usage", client, "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
        assert_eq!(usage["total"], used, "{client}");
    }
    execute(&url, &[format!("DROP TABLE {table}")]);
}

#[test]
fn an_import_from_postgresql_that_is_cut_off_says_so_and_goes_on() {
    check(Server::Postgres);
}

#[test]
fn an_import_from_mysql_that_is_cut_off_says_so_and_goes_on() {
    check(Server::Mysql);
}
