//! Ids and names that a terminal would act on or not show.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use quota_core::{ClientId, Credits, Label, OperationId, PastEntry};
use quota_service::QuotaService;
use serde_json::{Value, json};

use crate::support::{Folder, TABLE, both, database, json, refused, runtime, told};

/// A client's id with a mark that turns the direction of writing, one without width, and one of shorthand: an id may hold
/// anything but control characters.
const ODD: &str = "a\u{202e}b\u{200b}c\u{1bca0}d";

/// As it is shown.
const ESCAPED: &str = r"a\u{202e}b\u{200b}c\u{1bca0}d";

fn assert_plain(text: &str) {
    let is_plain = |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{200b}\u{1bca0}\u{1d173}".contains(c));
    assert!(text.chars().all(is_plain), "{text:?}");
}

/// A source with one row of [`ODD`], and a store that has it.
fn imported(folder: &Folder) -> (String, String) {
    let rows = format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, '{ODD}', 1709251200, 1)");
    let (from, to) = (database(folder, "old.db", &rows), folder.url("quota.db"));
    assert_eq!(json(&["import-frappy", "--from", &from, "--to", &to])["added"], 1);
    (from, to)
}

fn change(folder: &Folder, file: &str, statement: &str) {
    SqliteConnection::establish(&folder.path(file)).unwrap().batch_execute(statement).unwrap();
}

#[test]
fn a_deletion_shows_whose_escaped() {
    let folder = Folder::new();
    let (_, store) = imported(&folder);
    let shown = told(&["delete", ODD, "--store", &store, "--all", "--yes"]);
    assert_eq!(shown, format!("1 entries of {ESCAPED} deleted\n"));
}

#[test]
fn labels_are_shown_escaped() {
    let folder = Folder::new();
    let store = folder.url("quota.db");
    let entry = PastEntry {
        id: OperationId::new("i").unwrap(),
        at: "2024-03-01T12:00:00Z".parse().unwrap(),
        credits: Credits::ONE,
        label: Some(Label::new(ODD).unwrap()),
    };
    runtime().block_on(async {
        let service = QuotaService::new(quota_stores::connect(&store).await.unwrap());
        service.backfill(&ClientId::new("c").unwrap(), vec![entry]).await.unwrap();
        service.shutdown().await;
    });
    let usage = ["usage", "c", "--store", &store, "--from", "2024-03-01", "--to", "2024-03-02", "--by-label"];
    let shown = told(&usage);
    assert_plain(&shown);
    assert!(shown.lines().any(|line| line.contains("2024-03-01") && line.contains(ESCAPED)), "{shown}");
    let answer = told(&[&usage[..], &["--json"]].concat());
    assert_plain(&answer);
    let days: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(days["days"][0]["label"], ODD);
    // One with a control character is none: somebody else has written it.
    change(&folder, "quota.db", "UPDATE quota_quarters SET label = 'l' || char(27) || '[2J'");
    let said = refused(&usage);
    assert_plain(&said);
    assert!(said.contains(r"l\u{1b}[2J"), "{said}");
}

#[test]
fn skipped_rows_are_listed_escaped() {
    let folder = Folder::new();
    let rows = format!(
        "CREATE TABLE api_billing_usage (id, client_id, timestamp, credits);
         INSERT INTO api_billing_usage VALUES ('x\u{1b}[31m\u{202e}', 'c', 1709251200, 1),
         (1, 'c\u{1b}[2J', 1709251200, 1), (2, '{ODD}', 1709251200, 9e12), (3, '{ODD}', 1709251200, 9e12)"
    );
    let (from, to) = (database(&folder, "old.db", &rows), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    let shown = told(&import);
    assert_plain(&shown);
    for part in [
        r"1 skipped, since it has no id, or one that is no whole number below 2^63: 'x\u{1b}[31m\u{202e}'",
        "1 skipped, since it has no client id, or one that is none: 1",
        &format!("1 skipped, since the client {ESCAPED} would have used more than can be counted: 3"),
    ] {
        assert!(shown.lines().any(|line| line == part), "{part} in {shown}");
    }
    // In JSON it is written by its number, and is the same text when that is read.
    let answer = told(&[&import[..], &["--json"]].concat());
    assert_plain(&answer);
    let done: Value = serde_json::from_str(&answer).unwrap();
    let reasons = done["skipped"]["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["rows"] == json!(["'x\u{1b}[31m\u{202e}'"])), "{done}");
    assert!(reasons.iter().any(|reason| reason["reason"].as_str().unwrap().contains(ODD)), "{done}");
}

#[test]
fn rows_that_are_left_alone_are_listed_escaped() {
    let folder = Folder::new();
    let (from, to) = imported(&folder);
    let named = ["import-frappy", "--from", &from, "--to", &to, "--source-name", "s\u{202e}t"];
    assert_eq!(json(&named)["added"], 1);
    change(&folder, "old.db", "UPDATE api_billing_usage SET credits = 2");
    let shown = told(&named);
    assert_plain(&shown);
    assert!(shown.contains(r": frappy:s\u{202e}t:1"), "{shown}");
}

#[test]
fn a_client_that_the_store_cannot_read_is_named_escaped() {
    let folder = Folder::new();
    let (from, to) = imported(&folder);
    change(&folder, "quota.db", "UPDATE quota_accounts SET document = '{'");
    let (code, shown, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--source-name", "again"]);
    assert_eq!(code, Some(1), "{said}");
    assert_plain(&shown);
    assert_plain(&said);
    assert!(shown.contains(&format!("what the store has of the client {ESCAPED} cannot be read: 1")), "{shown}");
    assert!(said.contains(&format!("rows of {ESCAPED} were left out")), "{said}");
}

#[test]
fn a_client_whose_rows_cannot_be_written_is_named_escaped() {
    let folder = Folder::new();
    let (from, to) = imported(&folder);
    let refusing =
        "CREATE TRIGGER refusing BEFORE INSERT ON quota_entries BEGIN SELECT RAISE(ABORT, 'no\u{1b} room'); END";
    change(&folder, "quota.db", refusing);
    let (code, shown, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--source-name", "again"]);
    assert_eq!((code, shown.as_str()), (Some(1), "1 rows read\n0 entries added, 0 were there already\n"), "{said}");
    assert_plain(&said);
    assert!(said.contains("the import was cut off; what was added stays, and the same command goes on: "), "{said}");
    assert!(said.contains(&format!("the client {ESCAPED}: nothing was done")), "{said}");
    assert!(said.contains(r"no\u{1b} room"), "{said}");
}

#[test]
fn a_table_that_is_not_there_is_named_escaped() {
    let folder = Folder::new();
    let (from, to) = imported(&folder);
    let said = refused(&["import-frappy", "--from", &from, "--to", &to, "--table", "t\u{202e}\u{1d173}"]);
    assert_plain(&said);
    assert!(said.contains(r"has no table t\u{202e}\u{1d173}: name it with --table"), "{said}");
}
