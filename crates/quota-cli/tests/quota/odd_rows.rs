//! Rows, tables and stores of the kinds that an import has to say something about.

use serde_json::{Value, json};

use crate::support::{Folder, TABLE, both, database, json, refused, told};

/// The rows that were skipped for a reason.
fn skipped(done: &Value, reason: &str) -> Value {
    let reasons = done["skipped"]["reasons"].as_array().unwrap();
    let found = reasons.iter().find(|entry| entry["reason"].as_str().unwrap().contains(reason));
    found.unwrap_or_else(|| panic!("{reason}: {reasons:?}"))["rows"].clone()
}

#[test]
fn a_store_that_forgets_ids_is_told_before_rows_go_there() {
    let folder = Folder::new();
    let from =
        database(&folder, "old.db", &format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)"));
    let (code, answer, said) = both(&["import-frappy", "--from", &from, "--to", "memory:"]);
    assert_eq!((code, answer.contains("1 entries added")), (Some(0), true), "{answer}");
    assert!(said.contains("24 hours") && said.contains("?detail=entries"), "{said}");
    let (code, _, said) = both(&["import-frappy", "--from", &from, "--to", "memory:?detail=entries"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_client_with_more_rows_than_are_told_apart_is_named_and_the_others_are_imported() {
    let folder = Folder::new();
    let rows = "INSERT INTO api_billing_usage SELECT value, 'big', 1709251200, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 100300) SELECT value FROM n);
         INSERT INTO api_billing_usage VALUES (200000, 'small', 1709251200, 1)";
    let from = database(&folder, "old.db", &format!("{TABLE} {rows}"));
    let import = ["import-frappy", "--from", &from, "--to", "memory:", "--json"];
    let (code, answer, said) = both(&import);
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, &done["read"], &done["added"]), (Some(1), &json!(100_301), &json!(100_001)), "{said}");
    assert_eq!(skipped(&done, "the client big has more rows").as_array().unwrap().len(), 300);
    assert!(said.contains("rows of big") && said.contains("?detail=entries"), "{said}");
    let (code, ..) = both(&["import-frappy", "--from", &from, "--to", "memory:?detail=entries"]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_row_that_a_client_has_no_room_for_is_skipped_and_the_rest_goes_on() {
    let folder = Folder::new();
    let rows = "INSERT INTO api_billing_usage VALUES (1, 'rich', 1709251200, 9e12), (2, 'rich', 1709251200, 9e12),
         (3, 'rich', 1709251200, 1), (4, 'poor', 1709251200, 1)";
    let from = database(&folder, "old.db", &format!("{TABLE} {rows}"));
    let done = json(&["import-frappy", "--from", &from, "--to", &folder.url("quota.db")]);
    assert_eq!(done["added"], 3, "{done}");
    assert_eq!(skipped(&done, "the client rich would have used more"), json!(["2"]));
}

#[test]
fn another_spelling_of_the_table_imports_nothing_twice() {
    let folder = Folder::new();
    let rows = "INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1); CREATE TABLE \"a.b\" AS SELECT * FROM api_billing_usage";
    let (from, to) = (database(&folder, "old.db", &format!("{TABLE} {rows}")), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    json(&import);
    for table in ["API_BILLING_USAGE", "main.api_billing_usage", "Main.Api_Billing_Usage"] {
        let again = json(&[&import[..], &["--table", table]].concat());
        assert_eq!((&again["added"], &again["already_there"]), (&json!(0), &json!(1)), "{table}");
    }
    assert_eq!(json(&[&import[..], &["--table", "a.b"]].concat())["added"], 1, "another table");
}

#[test]
fn sources_with_one_tables_name_are_told_apart_by_a_name_of_their_own() {
    let folder = Folder::new();
    let rows = |credits: u8| format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, {credits})");
    let (one, other) = (database(&folder, "one.db", &rows(1)), database(&folder, "other.db", &rows(2)));
    let to = folder.url("quota.db");
    assert_eq!(json(&["import-frappy", "--from", &one, "--to", &to])["added"], 1);
    let import = ["import-frappy", "--from", &other, "--to", &to];
    assert_eq!(json(&import)["conflicts"]["count"], 1);
    let named = [&import[..], &["--source-name", "other"]].concat();
    assert_eq!(json(&named)["added"], 1);
    assert_eq!(json(&named)["already_there"], 1);
    assert!(refused(&[&import[..], &["--source-name", ""]].concat()).contains("--source-name"));
}

#[test]
fn ids_that_are_none_or_not_a_rows_own_are_listed_and_nothing_is_lost() {
    let folder = Folder::new();
    let rows = "CREATE TABLE api_billing_usage (id, client_id, timestamp, credits);
         INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1), (2, 'c', 1709251200, 1), (2, 'c', 1709251201, 1),
         (NULL, 'c', 1709251200, 1), ('x\u{202e}', 'c', 1709251200, 1), (2.5, 'c', 1709251200, 1),
         (9223372036854775807, 'c', 1709251200, 1), (-9223372036854775808, 'c', 1709251200, 1)";
    let (from, to) = (database(&folder, "old.db", rows), folder.url("quota.db"));
    let done = json(&["import-frappy", "--from", &from, "--to", &to]);
    assert_eq!((&done["read"], &done["added"]), (&json!(8), &json!(3)), "{done}");
    assert_eq!(skipped(&done, "it has no id"), json!(["'x\u{202e}'", "2.5", "NULL"]));
    assert_eq!(skipped(&done, "is another row's as well"), json!(["2", "2"]));
    let shown = told(&["import-frappy", "--from", &from, "--to", &to, "--json"]);
    assert!(shown.contains("'x\\u202e'"), "{shown}");
}

#[test]
fn a_client_that_is_no_utf8_is_skipped() {
    for encoding in ["UTF-8", "UTF-16le"] {
        let folder = Folder::new();
        let rows = "INSERT INTO api_billing_usage VALUES (1, CAST(X'61ff' AS TEXT), 1709251200, 1), (2, 'Zo\u{eb}', 1709251200, 1)";
        let rows = if encoding == "UTF-8" { rows.to_owned() } else { rows.replace("61ff", "00d800d8") };
        let from = database(&folder, "old.db", &format!("PRAGMA encoding = '{encoding}'; {TABLE} {rows}"));
        let to = folder.url("quota.db");
        let done = json(&["import-frappy", "--from", &from, "--to", &to]);
        assert_eq!(done["added"], 1, "{done}");
        assert_eq!(skipped(&done, "no client id"), json!(["1"]));
        let usage = json(&["usage", "Zo\u{eb}", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
        assert_eq!(usage["total"], "1");
    }
}

#[test]
fn every_skipped_row_is_listed() {
    let folder = Folder::new();
    let rows = "INSERT INTO api_billing_usage SELECT value, NULL, 1, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 25) SELECT value FROM n)";
    let from = database(&folder, "old.db", &format!("{TABLE} {rows}"));
    let import = ["import-frappy", "--from", &from, "--to", &folder.url("quota.db")];
    assert_eq!(skipped(&json(&import), "no client id").as_array().unwrap().len(), 25);
    let shown = told(&import);
    assert!(shown.contains("19, 20, … (all of them with --json)"), "{shown}");
}

#[test]
fn a_dry_run_tells_of_a_target_that_cannot_be_one_and_makes_nothing() {
    let folder = Folder::new();
    let from =
        database(&folder, "old.db", &format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)"));
    std::fs::write(folder.path("text.db"), "this is no database, although it is long enough to be one").unwrap();
    for to in [
        "sqlite:/absent/quota.db",
        &folder.url("text.db"),
        "postgres://u:secret@127.0.0.1:1/d",
        "redis://127.0.0.1:1",
        "mongodb://u:secret@127.0.0.1:1/d?serverSelectionTimeoutMS=500",
        "oracle:x",
    ] {
        let said = refused(&["import-frappy", "--from", &from, "--to", to, "--dry-run"]);
        assert!(said.contains("the store cannot be opened") && !said.contains("secret"), "{to}: {said}");
        assert!(!said.contains("labels") && !said.contains("Some("), "no dump: {said}");
    }
    let app = database(&folder, "app.db", "CREATE TABLE users (id INTEGER)");
    let before = std::fs::read(folder.path("app.db")).unwrap();
    assert!(told(&["import-frappy", "--from", &from, "--to", &app, "--dry-run"]).contains("1 could be imported"));
    assert_eq!(std::fs::read(folder.path("app.db")).unwrap(), before);
}

#[test]
fn a_row_whose_time_was_folded_is_left_alone_and_told_so() {
    let folder = Folder::new();
    let from =
        database(&folder, "old.db", &format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)"));
    let to = folder.url("quota.db");
    let import = ["import-frappy", "--from", &from, "--to", &to];
    json(&import);
    json(&["prune", "--store", &to, "--before", "2024-04-01"]);
    let (code, shown, said) = both(&import);
    assert!(shown.contains("1 left alone, since their time was folded into sums"), "{shown}");
    assert!(code == Some(1) && said.contains("nothing lacks if they were imported before it"), "{said}");
}
