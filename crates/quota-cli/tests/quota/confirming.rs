//! What `quota delete` asks before it deletes.

use std::fs::File;
use std::process::Command;

use crate::reading::{usage, used};
use crate::support::{Folder, TABLE, database, json};
use crate::terminal::{line, on_terminal, quoted};

const QUESTION: &str = "This deletes what client1 used in [2024-03-01T00:00:00.000Z, 2024-03-02T00:00:00.000Z), \
     and its quotas follow. Type the client's id to go on: ";

/// Deletes the first of two days on which `client1` used something.
fn first_day(store: &str) -> [&str; 8] {
    ["delete", "client1", "--store", store, "--from", "2024-03-01", "--to", "2024-03-02"]
}

#[test]
fn the_clients_id_deletes() {
    let folder = Folder::new();
    let store = used(&folder);
    let Some(shown) = on_terminal(&line(&first_day(&store)), "client1\n") else { return };
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    assert!(shown.text.contains(QUESTION), "{}", shown.text);
    assert!(shown.text.ends_with("1 entries of client1 deleted\n"), "{}", shown.text);
    assert_eq!(usage(&store)["total"], "2");
    let all = line(&["delete", "client1", "--store", &store, "--all"]);
    let Some(shown) = on_terminal(&all, "client1\n") else { return };
    assert!(shown.text.contains("what client1 used in [1970-01-01T00:00:00.000Z, 2099-12-31T"), "{}", shown.text);
    assert_eq!((shown.code, usage(&store)["total"].clone()), (Some(0), "0".into()));
}

#[test]
fn any_other_answer_deletes_nothing() {
    let folder = Folder::new();
    let store = used(&folder);
    // The last one is none at all: the end of the input.
    for answer in ["client2\n", "client1 \n", "CLIENT1\n", "yes\n", "\n", ""] {
        let Some(shown) = on_terminal(&line(&first_day(&store)), answer) else { return };
        assert_eq!(shown.code, Some(1), "{answer:?}: {}", shown.text);
        assert!(shown.text.contains(QUESTION), "{answer:?}: {}", shown.text);
        assert!(shown.text.contains("that is not its id: nothing was deleted"), "{answer:?}: {}", shown.text);
        assert_eq!(usage(&store)["total"], "3", "{answer:?}");
    }
}

#[test]
fn nobody_is_asked_about_a_store_that_is_not_there() {
    let folder = Folder::new();
    let store = folder.url("mistyped.db");
    let Some(shown) = on_terminal(&line(&first_day(&store)), "client1\n") else { return };
    assert_eq!(shown.code, Some(1), "{}", shown.text);
    assert!(!shown.text.contains("Type the client's id") && shown.text.contains("error: "), "{}", shown.text);
}

#[test]
fn an_answer_from_a_file_is_none() {
    let folder = Folder::new();
    let store = used(&folder);
    std::fs::write(folder.path("answer"), "client1\n").unwrap();
    let answer = File::open(folder.path("answer")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_quota"));
    let output = command.args(first_day(&store)).stdin(answer).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.contains("call it with --yes where nobody can answer") && !said.contains("Type the"), "{said}");
    assert_eq!(usage(&store)["total"], "3");
}

#[test]
fn the_question_is_no_part_of_the_answer() {
    let folder = Folder::new();
    let store = used(&folder);
    let answer = folder.path("answer.json");
    let into_file = format!("{} --json >{}", line(&first_day(&store)), quoted(&answer));
    let Some(shown) = on_terminal(&into_file, "client1\n") else { return };
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    assert!(shown.text.contains(QUESTION), "{}", shown.text);
    assert_eq!(std::fs::read_to_string(answer).unwrap(), "{\"deleted\":1}\n");
}

#[test]
fn an_id_that_a_terminal_would_act_on_is_asked_for_escaped_and_typed_as_it_is() {
    let (id, escaped) = ("a\u{202e}b", r"a\u{202e}b");
    let folder = Folder::new();
    let rows = format!("{TABLE} INSERT INTO api_billing_usage VALUES (1, '{id}', 1709251200, 1)");
    let (from, store) = (database(&folder, "old.db", &rows), folder.url("quota.db"));
    json(&["import-frappy", "--from", &from, "--to", &store]);
    let total =
        || json(&["usage", id, "--store", &store, "--from", "2024-03-01", "--to", "2024-03-02"])["total"].clone();
    let delete = line(&["delete", id, "--store", &store, "--all"]);
    let Some(shown) = on_terminal(&delete, &format!("{escaped}\n")) else { return };
    assert!(shown.text.contains(&format!("This deletes what {escaped} used in [")), "{}", shown.text);
    assert!(!shown.text.contains('\u{202e}'), "{:?}", shown.text);
    assert!(shown.text.contains("that is its id as it is shown, and not the id itself"), "{}", shown.text);
    assert_eq!((shown.code, total()), (Some(1), "1".into()), "another id might be spelled like that");
    let Some(shown) = on_terminal(&delete, &format!("{id}\n")) else { return };
    assert_eq!((shown.code, total()), (Some(0), "0".into()), "{}", shown.text);
    assert!(shown.text.ends_with(&format!("1 entries of {escaped} deleted\n")), "{}", shown.text);
}
