//! Rows of a time that a pruning has folded into sums before they came.

use serde_json::{Value, json};

use crate::support::{Folder, TABLE, both, database, json};

/// What an import did that ends with this.
fn import(folder: &Folder, ends_with: i32) -> (Value, String) {
    let (from, to) = (folder.url("old.db"), folder.url("quota.db"));
    let (code, answer, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--json"]);
    assert_eq!(code, Some(ends_with), "{answer} {said}");
    (serde_json::from_str(&answer).unwrap(), said)
}

#[test]
fn a_pruning_before_an_import_is_whole_is_told_apart_from_ids_that_are_taken() {
    let folder = Folder::new();
    let change = |statements: &str| database(&folder, "old.db", statements);
    // 2 and 5 March.
    change(&format!(
        "{TABLE} INSERT INTO api_billing_usage VALUES (1, 'c', 1709380800, 1), (2, 'c', 1709640000, 1), (9, 'd', 1709251200, 1)"
    ));
    let (done, _) = import(&folder, 0);
    assert_eq!((&done["added"], &done["folded"]["count"]), (&json!(3), &json!(0)), "{done}");
    json(&["prune", "--store", &folder.url("quota.db"), "--before", "2024-03-03"]);

    // Of 1 and of 4 March: what a run before it was cut off had not got to. And one that was changed.
    change("INSERT INTO api_billing_usage VALUES (3, 'c', 1709251200, 1), (4, 'c', 1709553600, 1)");
    change("UPDATE api_billing_usage SET credits = 7 WHERE id = 2");
    let (done, said) = import(&folder, 1);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!(done["conflicts"], json!({ "count": 1, "ids": ["frappy:api_billing_usage:2"] }));
    let ids = [1, 3, 9].map(|id| format!("frappy:api_billing_usage:{id}"));
    let mut folded = done["folded"].clone();
    folded["ids"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(folded, json!({ "count": 3, "ids": ids }));
    assert!(said.contains("3 rows were left alone, since a pruning folded their time into sums"), "{said}");
    assert!(said.contains("Do not prune before an import is whole"), "{said}");

    let (from, to) = (folder.url("old.db"), folder.url("quota.db"));
    let (_, shown, _) = both(&["import-frappy", "--from", &from, "--to", &to]);
    assert!(
        shown.contains("1 left alone, since their id stands for another entry: frappy:api_billing_usage:2\n"),
        "{shown}"
    );
    assert!(shown.contains("3 left alone, since their time was folded into sums, which do not tell"), "{shown}");

    // As is said there: a deletion makes no room for them, and a new store has it.
    json(&["delete", "c", "--all", "--yes", "--store", &to]);
    assert_eq!(import(&folder, 1).0["folded"]["count"], 3);
    assert_eq!(json(&["import-frappy", "--from", &from, "--to", &format!("{to}?prefix=new_")])["added"], 5);
}
