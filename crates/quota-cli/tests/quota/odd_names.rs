//! Clients and sources of any name: imported, read and deleted by it, whatever it means to a shell, a server or a key.

use std::ffi::OsStr;
use std::process::Command;

use quota_servers::Server;
use serde_json::json;

use crate::place::at_new_place;
use crate::support::{Folder, TABLE, both, database, json, refused, told};

/// Each used a credit more than the one before.
fn names() -> [String; 16] {
    let long = "é".repeat(127);
    [
        "client",
        "Client",
        "client ",
        "--all",
        "-",
        "o'rder\"%_\\",
        "{a}:a",
        "$a.`b`; DROP TABLE quota_entries --",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{feff}client",
        "顧客\u{1f600}",
        "a/b?c#d@e",
        "null",
        &format!("{long}x"),
        &format!("{long}y"),
    ]
    .map(str::to_owned)
}

/// As SQL writes a text.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn answer(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&told(arguments)).unwrap()
}

fn used(store: &str, client: &str) -> serde_json::Value {
    // A name may begin with what begins an option.
    answer(&["--json", "usage", "--store", store, "--from", "2024-03-01", "--to", "2024-03-02", "--", client])["total"]
        .clone()
}

fn check(store: &str) {
    let (folder, names) = (Folder::new(), names());
    let row = |(number, name): (usize, &String)| format!("({number}, {}, 1709251200, {number} + 1)", literal(name));
    let rows: Vec<_> = names.iter().enumerate().map(row).collect();
    let rows = format!("{TABLE} INSERT INTO api_billing_usage VALUES {}", rows.join(", "));
    let from = database(&folder, "old.db", &rows);
    let import = ["import-frappy", "--from", &from, "--to", store, "--source-name", "it's \"{old}\" \\ caf\u{e9}"];
    for counts in [(16, 0), (0, 16)] {
        let done = json(&import);
        assert_eq!((&done["added"], &done["already_there"]), (&json!(counts.0), &json!(counts.1)), "{done}");
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(used(store, name), (number + 1).to_string(), "{name:?}");
    }
    for name in names.iter().step_by(2) {
        let deleted = answer(&["--json", "delete", "--store", store, "--all", "--yes", "--", name]);
        assert_eq!(deleted, json!({ "deleted": 1 }), "{name:?}");
    }
    for (number, name) in names.iter().enumerate() {
        let left = if number % 2 == 0 { 0 } else { number + 1 };
        assert_eq!(used(store, name), left.to_string(), "{name:?}");
    }
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_sqlite() {
    let folder = Folder::new();
    check(&folder.url("quota.db"));
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_postgresql() {
    at_new_place(Server::Postgres, check);
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_mysql() {
    at_new_place(Server::Mysql, check);
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_redis() {
    at_new_place(Server::Redis, check);
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_a_redis_cluster() {
    at_new_place(Server::RedisCluster, check);
}

#[test]
fn a_client_of_any_name_is_read_and_deleted_in_mongodb() {
    at_new_place(Server::Mongodb, check);
}

/// A store with a row of a client `c`; rows of names that are none are skipped.
fn store(folder: &Folder) -> String {
    let rows = "INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1), (2, 'c' || char(0), 1709251200, 1),
         (3, char(0), 1709251200, 1), (4, 'a' || char(10) || 'b', 1709251200, 1), (5, char(133), 1709251200, 1),
         (6, printf('%0256d', 0), 1709251200, 1), (7, '', 1709251200, 1)";
    let (from, to) = (database(folder, "old.db", &format!("{TABLE} {rows}")), folder.url("quota.db"));
    let done = json(&["import-frappy", "--from", &from, "--to", &to]);
    let reasons = &done["skipped"]["reasons"];
    assert_eq!((&done["added"], &reasons[0]["rows"]), (&json!(1), &json!(["2", "3", "4", "5", "6", "7"])), "{done}");
    to
}

#[test]
fn a_name_that_is_none_is_refused_and_shown_escaped() {
    let folder = Folder::new();
    let store = store(&folder);
    let long = "x".repeat(256);
    for (name, why) in [
        ("", "it is empty"),
        ("a\nb", "a control character"),
        ("\u{1b}[2J", "a control character"),
        ("\u{7f}", "a control character"),
        ("\u{85}", "a control character"),
        (&long, "longer than 255 bytes"),
    ] {
        for call in [
            &["usage", "--store", &store, "--", name][..],
            &["status", "--store", &store, "--", name],
            &["delete", "--store", &store, "--all", "--yes", "--", name],
        ] {
            let (code, answer, said) = both(call);
            assert_eq!((code, answer.as_str()), (Some(2), ""), "{name:?}: {said}");
            assert!(said.contains(why), "{name:?}: {said}");
            let is_plain = |c: char| c == '\n' || !c.is_control();
            assert!(said.chars().all(is_plain) && !said.contains("a\nb"), "{name:?}: {said:?}");
        }
    }
    for (option, text) in [("--source-name", "a\nb"), ("--source-name", &long), ("--table", "a\nb"), ("--table", "")] {
        let said = refused(&["import-frappy", "--from", &folder.url("old.db"), "--to", &store, option, text]);
        assert!(
            !said.contains("a\nb") && said.lines().next().is_some_and(|line| line.starts_with("error: ")),
            "{said}"
        );
    }
    assert_eq!(used(&store, "c"), "1");
}

#[test]
#[cfg(unix)]
fn a_name_that_is_no_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::new();
    let store = store(&folder);
    let name = OsStr::from_bytes(b"c\xff");
    for call in [&["usage", "--store", &store][..], &["delete", "--all", "--yes", "--store", &store]] {
        let output = Command::new(env!("CARGO_BIN_EXE_quota")).args(call).arg(name).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
        assert!(said.contains("UTF-8"), "{said}");
    }
    assert_eq!(used(&store, "c"), "1");
}
