//! The bar of an import.

use serde_json::{Value, json};

use crate::support::{Folder, TABLE, both, database};

/// A source with 1,000 rows of each of three clients.
fn source(folder: &Folder) -> String {
    let rows = "INSERT INTO api_billing_usage SELECT value, printf('client%d', value % 3), 1709251200, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 3000) SELECT value FROM n)";
    database(folder, "old.db", &format!("{TABLE} {rows}"))
}

#[test]
fn no_bar_is_drawn_where_there_is_no_terminal() {
    let folder = Folder::new();
    let (from, to) = (source(&folder), folder.url("quota.db"));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    let done = "3000 rows read\n3000 entries added, 0 were there already\n".to_owned();
    assert_eq!(both(&import), (Some(0), done, String::new()));
    let (code, answer, said) = both(&[&import[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, &answer["already_there"], said.as_str()), (Some(0), &json!(3_000), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_for_the_answer_alone_has_no_bar() {
    use crate::terminal::{line, on_terminal, quoted};

    let folder = Folder::new();
    let (from, to, errors) = (source(&folder), folder.url("quota.db"), folder.path("errors"));
    let import = line(&["import-frappy", "--from", &from, "--to", &to]);
    let Some(shown) = on_terminal(&format!("{import} 2>{}", quoted(&errors)), "") else { return };
    assert_eq!(shown.code, Some(0));
    assert_eq!(shown.text, "3000 rows read\n3000 entries added, 0 were there already\n");
    assert_eq!(std::fs::read_to_string(errors).unwrap(), "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_bar_shows_the_rate_and_the_time_left_and_is_no_part_of_the_answer() {
    use crate::terminal::{line, on_terminal, quoted};

    let folder = Folder::new();
    let (from, to, answer) = (source(&folder), folder.url("quota.db"), folder.path("answer.json"));
    let import = line(&["import-frappy", "--from", &from, "--to", &to, "--json"]);
    let mut texts = Vec::new();
    // Nobody waits for the count of the rows: it may come after the last of them was imported.
    while !texts.iter().any(|text: &String| text.contains("/3,000 rows, ")) {
        assert!(texts.len() < 20, "{texts:?}");
        let Some(shown) = on_terminal(&format!("{import} >{}", quoted(&answer)), "") else { return };
        assert_eq!(shown.code, Some(0), "{}", shown.text);
        let answer: Value = serde_json::from_str(&std::fs::read_to_string(&answer).unwrap()).unwrap();
        let added = if texts.is_empty() { 3_000 } else { 0 };
        assert_eq!((&answer["read"], &answer["added"]), (&json!(3_000), &json!(added)), "{answer}");
        texts.push(shown.text);
    }
    assert!(texts.iter().all(|text| text.contains(" rows, ") && text.contains("/s")), "{texts:?}");
    let counted = texts.last().unwrap();
    for part in ["█", "/s, ", " left"] {
        assert!(counted.contains(part), "{part} in {counted:?}");
    }
}
