//! An import whose source is lost while it is read.

use std::path::Path;

use mongodb::bson::{Document, doc};
use quota_servers::Server;
use serde_json::{Value, json};

use crate::place::execute;
use crate::relay::{Relay, server_of};
use crate::support::{Folder, TABLE, both, database, json, name, password, refused, runtime};

/// Four pages.
const ROWS: i64 = 20_000;

/// SQLite's own choice.
const PAGE_OF_A_FILE: usize = 4_096;

/// What each client used: a credit for each of its rows.
const USED: [(&str, &str); 3] = [("client0", "8000"), ("client1", "6000"), ("client2", "6000")];

/// So many bytes come from a server before anybody is logged in.
const IN_THE_GREETING: u64 = 60;

/// So many bytes are more than a page (190,000 from MySQL, 270,000 from PostgreSQL), fewer than all of them, and end
/// within one.
const IN_A_PAGE: u64 = 450_000;

/// The same of MongoDB, where a page is 540,000 bytes.
const IN_A_PAGE_OF_DOCUMENTS: u64 = 850_000;

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

/// A table whose source goes away before it is read, and within a page.
fn check(server: Server) {
    let Some(url) = quota_servers::url(server) else { return };
    let table = name();
    execute(&url, &filled(&table));
    let (folder, place, secret) = (Folder::new(), server_of(&url), password(&url));
    let to = folder.url("quota.db");

    let relay = Relay::cutting(place, IN_THE_GREETING);
    let from = relay.in_place_of(place, &url);
    let (code, answer, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--table", &table, "--json"]);
    assert_eq!((code, answer.as_str(), relay.cuts()), (Some(1), "", 1), "{said}");
    assert!(said.contains("the source cannot be connected to: ") && said.contains("cannot be reached"), "{said}");
    assert!(secret.is_empty() || !said.contains(secret), "{said}");
    assert!(!Path::new(&folder.path("quota.db")).exists(), "no store is made for a source that is not there");

    check_cut(&url, &["--table", &table], secret, IN_A_PAGE);
    execute(&url, &[format!("DROP TABLE {table}")]);
}

/// That the source went away is told; what was read of it stays, and nothing is there twice in the end.
fn check_cut(url: &str, names: &[&str], secret: &str, after: u64) {
    let (folder, place) = (Folder::new(), server_of(url));
    let to = folder.url("quota.db");
    let import = |from: &str| both(&[&["import-frappy", "--from", from, "--to", &to, "--json"][..], names].concat());
    let relay = Relay::cutting(place, after);
    let broken = relay.in_place_of(place, url);
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

    finish(url, names, &to, added);
}

/// The source is there again, after so many of its rows were added.
fn finish(from: &str, names: &[&str], to: &str, added: i64) {
    let (code, answer, said) = both(&[&["import-frappy", "--from", from, "--to", to, "--json"][..], names].concat());
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!((&done["read"], &done["added"]), (&json!(ROWS), &json!(ROWS - added)), "{done}");
    assert_eq!((&done["already_there"], &done["skipped"]["count"]), (&json!(added), &json!(0)), "{done}");
    for (client, used) in USED {
        let usage = json(&["usage", client, "--store", to, "--from", "2024-03-01", "--to", "2024-03-02"]);
        assert_eq!(usage["total"], used, "{client}");
    }
}

/// Documents of the same usage.
fn documents(url: &str, collection: &str) {
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        let collection = client.database("quota").collection::<Document>(collection);
        let document = |row: i64| {
            let (client, at) = (format!("client{}", row % 10 % 3), 1_709_251_200 + row % 100);
            doc! { "timestamp": at, "credits": 1.0, "clientId": client, "dataModelVersion": 1 }
        };
        let all: Vec<_> = (0..ROWS).map(document).collect();
        // In several commits: one of all is near what a slow machine may take.
        for some in all.chunks(2_000) {
            collection.insert_many(some).await.unwrap();
        }
    });
}

fn drop_documents(url: &str, collection: &str) {
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        client.database("quota").collection::<Document>(collection).drop().await.unwrap();
    });
}

#[test]
fn an_import_from_postgresql_that_is_cut_off_says_so_and_goes_on() {
    check(Server::Postgres);
}

#[test]
fn an_import_from_mysql_that_is_cut_off_says_so_and_goes_on() {
    check(Server::Mysql);
}

#[test]
fn an_import_from_mongodb_that_is_cut_off_says_so_and_goes_on() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let collection = name();
    documents(&url, &collection);
    let names = ["--database", "quota", "--collection", &collection];
    check_cut(&url, &names, "", IN_A_PAGE_OF_DOCUMENTS);
    drop_documents(&url, &collection);
}

#[test]
fn a_mongodb_that_falls_silent_is_given_up_and_named() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let (folder, collection, place) = (Folder::new(), name(), server_of(&url));
    documents(&url, &collection);
    let names = ["--database", "quota", "--collection", &collection];
    let to = folder.url("quota.db");
    let relay = Relay::falling_silent(place, IN_A_PAGE_OF_DOCUMENTS);
    // A server that does not say that it is there is given up after this, and a page after a minute.
    let from = format!("{}&connectTimeoutMS=5000&heartbeatFrequencyMS=500", relay.in_place_of(place, &url));
    let (code, answer, said) = both(&[&["import-frappy", "--from", &from, "--to", &to, "--json"][..], &names].concat());
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, relay.is_broken()), (Some(1), true), "{said}");
    assert!(said.contains("the import was cut off; what was added stays, and the same command goes on: "), "{said}");
    assert!(said.contains(server_of(&from)) && !said.contains("panicked"), "{said}");
    let added = done["added"].as_i64().unwrap();
    assert!(added > 0 && added < ROWS && done["read"] == added, "{done}");
    finish(&url, &names, &to, added);
    drop_documents(&url, &collection);
}

/// The same usage in a file.
fn file(folder: &Folder) -> String {
    let rows = format!(
        "INSERT INTO api_billing_usage \
         SELECT value, 'client' || (value % 10 % 3), 1709251200 + value % 100, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n LIMIT {ROWS}) SELECT value FROM n)"
    );
    database(folder, "old.db", &format!("{TABLE} {rows}"))
}

#[test]
fn a_file_that_was_cut_short_is_told_and_no_store_is_made() {
    let folder = Folder::new();
    let from = file(&folder);
    let whole = std::fs::metadata(folder.path("old.db")).unwrap().len();
    let cut = std::fs::OpenOptions::new().write(true).open(folder.path("old.db")).unwrap();
    for length in [whole / 2, 4_096, 50] {
        cut.set_len(length).unwrap();
        let said = refused(&["import-frappy", "--from", &from, "--to", &folder.url("quota.db")]);
        assert!(said.contains("the source") && !said.contains("panicked"), "{length}: {said}");
        assert!(!Path::new(&folder.path("quota.db")).exists(), "{length}");
    }
}

#[test]
fn a_file_that_is_damaged_half_way_is_told_and_what_was_read_stays() {
    let folder = Folder::new();
    let (from, to) = (file(&folder), folder.url("quota.db"));
    let whole = std::fs::read(folder.path("old.db")).unwrap();
    let mut damaged = whole.clone();
    // From a page's beginning on: what is left of a page may be taken for rows.
    damaged[whole.len() / 2 / PAGE_OF_A_FILE * PAGE_OF_A_FILE..].fill(0);
    std::fs::write(folder.path("old.db"), damaged).unwrap();
    let (code, answer, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--json"]);
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the source cannot be read: database disk image is malformed"), "{said}");
    let added = done["added"].as_i64().unwrap();
    assert!(added > 0 && added < ROWS && done["read"] == added, "{done}");
    std::fs::write(folder.path("old.db"), whole).unwrap();
    finish(&from, &[], &to, added);
}
