//! What a dry run finds, says and does.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use quota_servers::Server;
use serde_json::json;

use crate::place::at_new_place;
use crate::support::{Folder, TABLE, both, database, json, told};

fn source(folder: &Folder) -> String {
    database(folder, "old.db", &format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)"))
}

/// A dry run refuses what a real one does, in the same words, and no other prefix.
fn check_prefixes(store: &str, bad: &[&str], good: &[&str]) {
    let folder = Folder::new();
    let from = source(&folder);
    let separator = if store.contains('?') { '&' } else { '?' };
    let import = |prefix: &str, tried: &[&str]| {
        let to = format!("{store}{separator}prefix={prefix}");
        both(&[&["import-frappy", "--from", &from, "--to", &to][..], tried].concat())
    };
    for prefix in bad {
        let (code, answer, said) = import(prefix, &["--dry-run"]);
        assert_eq!((code, answer.as_str()), (Some(1), ""), "{prefix}: {said}");
        let (_, why) = said.split_once(&format!("{prefix:?} is no prefix of ")).unwrap();
        let (code, _, said) = import(prefix, &[]);
        assert!(code == Some(1) && said.ends_with(why), "{prefix}: {said}: {why}");
    }
    for prefix in good {
        for tried in [&["--dry-run"][..], &[]] {
            assert_eq!(import(prefix, tried).0, Some(0), "{prefix}");
        }
    }
}

#[test]
fn a_prefix_that_is_none_is_refused_by_a_dry_run_too() {
    let (folder, longest) = (Folder::new(), "a".repeat(31));
    let too_long = format!("{longest}a");
    let bad = ["", "_q", "1q", "Quota_", "quota-", "%3B", &too_long];
    check_prefixes(&folder.url("quota.db"), &bad, &["q", "a1_b2", &longest]);
    at_new_place(Server::Postgres, |store| check_prefixes(store, &bad[2..4], &["a1_b2"]));
}

#[test]
fn a_prefix_of_collections_that_is_none_is_refused_by_a_dry_run_too() {
    let longest = "a".repeat(64);
    let too_long = format!("{longest}a");
    at_new_place(Server::Mongodb, |store| check_prefixes(store, &["a.b", "%3B", &too_long], &["1_Quota-", &longest]));
}

#[test]
fn a_store_that_is_not_there_is_said_not_to_have_been_made() {
    let folder = Folder::new();
    let (from, to) = (source(&folder), folder.url("quota.db"));
    let tried = ["import-frappy", "--from", &from, "--to", &to, "--dry-run"];
    let shown = told(&tried);
    let why = "the store is not there yet, and whether it can be made was not tried";
    assert_eq!(shown, format!("1 rows read\n1 could be imported; nothing was written; {why}\n"));
    assert_eq!(json(&tried)["store_is_there"], false);
    json(&["import-frappy", "--from", &from, "--to", &to]);
    assert_eq!(told(&tried), "1 rows read\n0 could be imported, 1 are there already; nothing was imported\n");
    assert_eq!(json(&tried)["store_is_there"], true);
}

#[test]
fn nothing_is_said_not_to_be_written_where_older_tables_are_brought_up_to_date() {
    let folder = Folder::new();
    let (from, to) = (source(&folder), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    json(&import);
    for asked in [&["usage", "c", "--store", &to][..], &[&import[..], &["--dry-run"]].concat()] {
        let mut store = SqliteConnection::establish(&folder.path("quota.db")).unwrap();
        let older =
            "ALTER TABLE quota_accounts DROP COLUMN deleted_from; ALTER TABLE quota_accounts DROP COLUMN deleted_to;
             ALTER TABLE quota_accounts DROP COLUMN deleted_sums;
             DELETE FROM quota_schema WHERE version > 1";
        store.batch_execute(older).unwrap();
        assert!(!told(asked).contains("nothing was written"));
        store.batch_execute("SELECT deleted_from, deleted_to, deleted_sums FROM quota_accounts").unwrap();
    }
    for command in [&["import-frappy"][..], &["usage"], &["status"]] {
        let help = told(&[command, &["--help"]].concat());
        assert!(
            help.split_whitespace().collect::<Vec<_>>().join(" ").contains("tables of an older version up to date"),
            "{help}"
        );
    }
    assert_eq!(json(&import)["already_there"], json!(1));
}
