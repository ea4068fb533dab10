//! Usage taken over from the predecessor.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;

use crate::support::{Folder, both, database, json, quota, refused, told};

/// The predecessor's table with rows of every kind.
fn old(folder: &Folder) -> String {
    let mut connection = SqliteConnection::establish(&folder.path("old.db")).unwrap();
    connection
        .batch_execute(
            "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id VARCHAR, timestamp INTEGER, credits FLOAT);
             INSERT INTO api_billing_usage (client_id, timestamp, credits) VALUES
                 ('client1', 1709251200, 1), ('client1', 1709251201, 0.1), ('client1', 1709337600, 2.5),
                 (7, 1709251200, 3), ('client1', 1709251200, NULL), ('client1', 1709251200, 9e999),
                 ('client1', 1709251200, -1), ('client1', 4000000000, 1), ('client1', 99999999999, 1),
                 (NULL, 1709251200, 1), ('', 1709251200, 1), ('client1', NULL, 1), ('client1', 1709251200, 'lots');",
        )
        .unwrap();
    folder.url("old.db")
}

#[test]
fn a_client_that_the_store_cannot_read_keeps_no_other_waiting() {
    let folder = Folder::new();
    let (from, to) = (old(&folder), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    json(&import);
    let mut connection = SqliteConnection::establish(&folder.path("quota.db")).unwrap();
    connection.batch_execute("UPDATE quota_accounts SET document = '{' WHERE client = 'client1'").unwrap();
    let (code, told, said) = both(&[&import[..], &["--source-name", "again", "--json"]].concat());
    let done: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &done["added"], &done["skipped"]["count"]), (Some(1), &json!(1), &json!(12)), "{done}");
    assert!(told.contains("what the store has of the client client1 cannot be read"), "{told}");
    assert!(said.contains("rows of client1 were left out"), "{said}");
}

#[test]
fn rows_become_entries_once_however_often_they_are_imported() {
    let folder = Folder::new();
    let (from, to) = (old(&folder), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];

    let tried = json(&[&import[..], &["--dry-run"]].concat());
    assert_eq!((&tried["read"], &tried["added"], &tried["dry_run"]), (&json!(13), &json!(4), &json!(true)));
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists(), "a dry run writes nothing");

    let done = json(&import);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(4), &json!(0)));
    assert_eq!(done["skipped"]["count"], 9);
    let reasons = done["skipped"]["reasons"].as_array().unwrap();
    let rows_of = |reason: &str| {
        let found = reasons.iter().find(|entry| entry["reason"].as_str().unwrap().contains(reason));
        found.unwrap_or_else(|| panic!("{reason}: {reasons:?}"))["rows"].clone()
    };
    assert_eq!(rows_of("no client"), json!(["10", "11"]));
    assert_eq!(rows_of("no number"), json!(["5", "13"]));
    assert_eq!(rows_of("infinite"), json!(["6"]));
    assert_eq!(rows_of("negative"), json!(["7"]));
    assert_eq!(rows_of("future"), json!(["8"]));
    assert_eq!(rows_of("before 1970"), json!(["9"]));
    assert_eq!(rows_of("whole number of seconds"), json!(["12"]));

    let again = json(&import);
    assert_eq!((&again["added"], &again["already_there"]), (&json!(0), &json!(4)));
    let days = ["usage", "client1", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-03"];
    assert_eq!(
        json(&days),
        json!({ "days": [
            { "day": "2024-03-01", "credits": "1.1", "entries": 2 },
            { "day": "2024-03-02", "credits": "2.5", "entries": 1 },
        ], "total": "3.6" })
    );
    let whole = json(&["usage", "7", "--store", &to, "--from", "2024-01-01", "--to", "2025-01-01"]);
    assert_eq!(whole["total"], "3", "a number is its decimal text");
    assert!(told(&import).contains("0 entries added, 4 were there already"));
}

#[test]
fn a_source_that_is_none_is_told_and_nothing_is_made() {
    let folder = Folder::new();
    let (from, to) = (old(&folder), folder.url("quota.db"));
    for (arguments, said) in [
        (vec!["--from", &from, "--to", &to, "--table", "absent"], "has no table absent"),
        (vec!["--from", &from, "--to", &to, "--collection", "c"], "are for a source in MongoDB"),
        (vec!["--from", &from, "--to", &from], "the same database"),
        (vec!["--from", &from, "--to", &from.replace("old.db", "./old.db")], "the same database"),
        (vec!["--from", "old.db", "--to", &to], "begins with its scheme"),
        (vec!["--from", "oracle://user:secret@host", "--to", &to], "scheme oracle"),
        (vec!["--from", "sqlite:/absent/old.db", "--to", &to], "is no file"),
        (
            vec!["--from", "mongodb://h/d", "--to", &to, "--collection", "c", "--table", "t"],
            "--table is for a source in SQL",
        ),
        (vec!["--from", "mongodb://u:secret@h:x/d", "--to", &to, "--collection", "c"], "its URL is malformed"),
        (
            vec!["--from", "mysql://u:secret@h/d?pool_min=secret", "--to", &to],
            "its option pool_min has an invalid value",
        ),
        (vec!["--from", "postgres://u:secret@h/d?keepalives=secret", "--to", &to], "keepalives"),
        (vec!["--from", "postgres://u:p@secret/word@h/d", "--to", &to], "holds one of / ? # @"),
        (vec!["--from", "mysql://u:p@secret/word@h/d", "--to", &to], "holds one of / ? # @"),
        (vec!["--from", "mysql://u:?secret@h/d", "--to", &to], "holds one of / ? # @"),
        (vec!["--from", "postgres://u:p@x?secret=w@h/d", "--to", &to], "holds one of / ? # @"),
        (vec!["--from", "postgres:u:secret=word@h/d", "--to", &to], "it begins with postgres://"),
        (vec!["--from", "host=h user=u password=secret:2", "--to", &to], "begins with its scheme"),
        (vec!["--from", &from, "--to", "host=h user=u password=secret:2"], "begins with its scheme"),
        (vec!["--from", "mongodb://u:1/secret@h/d", "--to", &to, "--collection", "c"], "holds one of / ? # @"),
        (vec!["--from", "mongodb://u:1@secret@h/d", "--to", &to, "--collection", "c"], "holds one of / ? # @"),
        (
            vec!["--from", "mongodb+srv://u:secret@h/d", "--to", &to, "--collection", "c"],
            "the scheme mongodb+srv is not compiled in",
        ),
    ] {
        let refused = refused(&[&["import-frappy"], &arguments[..]].concat());
        assert!(refused.contains(said) && !refused.contains("secret"), "{refused}");
    }
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
    let mut foreign = SqliteConnection::establish(&folder.path("old.db")).unwrap();
    foreign.batch_execute("CREATE TABLE \"my \"\"usage\" (id INTEGER PRIMARY KEY, client_id, timestamp)").unwrap();
    let said = refused(&["import-frappy", "--from", &from, "--to", &to, "--table", "my \"usage"]);
    assert!(said.contains("lacks credits"), "{said}");
}

#[test]
fn an_entry_that_stands_for_something_else_is_left_alone() {
    let folder = Folder::new();
    let (from, to) = (old(&folder), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    json(&import);
    let mut changed = SqliteConnection::establish(&folder.path("old.db")).unwrap();
    changed.batch_execute("UPDATE api_billing_usage SET credits = 100 WHERE id = 1").unwrap();
    let again = json(&import);
    let tried = json(&[&import[..], &["--dry-run"]].concat());
    assert_eq!((&tried["added"], &tried["already_there"]), (&json!(0), &json!(3)), "{tried}");
    assert_eq!(tried["conflicts"], again["conflicts"], "a dry run finds the same");
    assert_eq!(again["conflicts"], json!({ "count": 1, "ids": ["frappy:api_billing_usage:1"] }));
    assert!(quota(&import).status.success());
}

/// A column that is no integer's keeps whole seconds as a number with a point.
#[test]
fn whole_seconds_in_a_column_of_reals_are_whole() {
    let folder = Folder::new();
    let from = database(
        &folder,
        "old.db",
        "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id VARCHAR, timestamp FLOAT, credits FLOAT);
         INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1), (2, 'c', 1709251200.5, 1), (3, 'c', 9e300, 1)",
    );
    let done = json(&["import-frappy", "--from", &from, "--to", &folder.url("quota.db")]);
    assert_eq!((&done["added"], &done["skipped"]["count"]), (&json!(1), &json!(2)), "{done}");
}
