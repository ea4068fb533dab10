//! How the command talks: its arguments, its output, and what it says of both.

use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::support::{Folder, both, database, refused};

const WINDOWS: [&str; 7] = ["windows", "--period", "SECOND", "--anchor", "2024-01-31", "--count", "10000"];

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quota"))
        .args(WINDOWS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cannot_be_written_is_an_error() {
    for arguments in [&WINDOWS[..], &["--help"], &["windows", "--period", "DAY", "--anchor", "2024-01-31", "--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_quota")).args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("the answer cannot be written") && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn no_url_is_ever_told_again() {
    let url = "postgres://user:sec ret@host/db";
    let equals = format!("--tz={url}");
    for arguments in [
        vec!["usage", "client1", "--store", "memory:", url],
        vec!["usage", "client1", "--store", "memory:", &equals],
        vec!["usage", "client1", "--store", "memory:", "--from", url],
        vec!["windows", "--anchor", "2024-01-31", "--period", url],
        vec!["windows", "--anchor", url, "--period", "DAY"],
        vec!["prune", "--store", "memory:", "--before", url],
        vec!["delete", "client1", "--store", "memory:", "--yes", "--from", url, "--to", url],
        vec![url],
        vec!["--json", url],
    ] {
        let said = refused(&arguments);
        assert!(!said.contains("sec") && !said.contains("ret@"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_a_terminal_would_act_on_is_escaped_in_errors_of_the_arguments() {
    for bad in ["--\u{1b}[2J", "\u{202e}usage", "--period=\u{9b}2J", "a\nerror: b"] {
        let said = refused(&["windows", "--anchor", "2024-01-31", bad]);
        let is_plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        assert!(said.chars().all(is_plain) && !said.contains("\nerror: b"), "{bad:?}: {said:?}");
    }
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = Folder::new();
    let (absent, foreign) = (folder.url("absent.db"), database(&folder, "app.db", "CREATE TABLE users (id INTEGER)"));
    // As some write the path of a file from the root on.
    let slashes = format!("sqlite:///{}", folder.path("app.db"));
    let before = std::fs::read(folder.path("app.db")).unwrap();
    for (store, said) in
        [(&absent, "absent.db is no file"), (&foreign, "without a store"), (&slashes, "without a store")]
    {
        for arguments in [
            &["usage", "client1", "--store", store][..],
            &["status", "client1", "--store", store],
            &["delete", "client1", "--store", store, "--all", "--yes"],
            &["prune", "--store", store, "--before", "2024-01-01"],
        ] {
            let refused = refused(arguments);
            assert!(refused.contains(said), "{refused}");
        }
    }
    assert!(!std::path::Path::new(&folder.path("absent.db")).exists());
    assert_eq!(std::fs::read(folder.path("app.db")).unwrap(), before);
}

#[test]
fn a_database_that_is_locked_for_a_moment_is_not_made_a_store() {
    let folder = Folder::new();
    let foreign = database(&folder, "app.db", "CREATE TABLE users (id INTEGER)");
    let before = std::fs::read(folder.path("app.db")).unwrap();
    let mut writer = SqliteConnection::establish(&folder.path("app.db")).unwrap();
    writer.batch_execute("BEGIN EXCLUSIVE").unwrap();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        writer.batch_execute("ROLLBACK").unwrap();
    });
    let said = refused(&["usage", "client1", "--store", &foreign]);
    assert!(said.contains("without a store"), "{said}");
    ends.join().unwrap();
    assert_eq!(std::fs::read(folder.path("app.db")).unwrap(), before);
}

#[test]
fn a_path_that_begins_with_two_slashes_means_itself() {
    let folder = Folder::new();
    let old = "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id, timestamp, credits); \
        INSERT INTO api_billing_usage VALUES (1, 'client1', 1709251200, 2)";
    database(&folder, "old.db", old);
    let [from, to] = ["old.db", "quota.db"].map(|name| format!("sqlite:///{}", folder.path(name)));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    assert_eq!(both(&import).0, Some(0));
    let (code, said, _) = both(&[&import[..], &["--dry-run"]].concat());
    assert!(code == Some(0) && said.contains("1 rows read"), "{said}");
    assert!(both(&["usage", "client1", "--store", &to, "--from", "2024-03-01"]).1.contains("2024-03-01"));
}

#[test]
fn the_last_day_of_all_can_be_asked_for() {
    let folder = Folder::new();
    let old = "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id, timestamp, credits)";
    let (from, to) = (database(&folder, "old.db", old), folder.url("quota.db"));
    assert_eq!(both(&["import-frappy", "--from", &from, "--to", &to]).0, Some(0));
    let last = ["usage", "client1", "--store", &to, "--from", "2099-12-31", "--to", "2100-01-01"];
    assert_eq!(both(&last).0, Some(0));
    assert!(refused(&["usage", "client1", "--store", &to, "--to", "2100-01-02"]).contains("2100-01-02"));
}
