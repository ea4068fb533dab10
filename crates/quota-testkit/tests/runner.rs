//! The runner, as anyone calls it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../quota-core/tests/vectors");

fn runner(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quota-testkit")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn file(folder: &Path, lines: &[Value]) -> PathBuf {
    let path = folder.join("vectors.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    path
}

fn ran(arguments: &[&str]) -> (String, i32) {
    let output = runner(arguments);
    assert_eq!(text(&output.stderr), "");
    (text(&output.stdout).to_owned(), output.status.code().unwrap())
}

#[test]
fn worked_windows_pass() {
    assert_eq!(ran(&["windows", &format!("{VECTORS}/windows.jsonl")]), ("3000 passed, 0 failed\n".to_owned(), 0));
}

#[test]
fn worked_scenarios_pass_in_memory() {
    let file = format!("{VECTORS}/accounts.jsonl");
    assert_eq!(ran(&["accounts", &file, "--store", "memory:"]), ("200 passed, 0 failed\n".to_owned(), 0));
}

#[test]
fn worked_scenarios_pass_on_sqlite_also_a_second_time_on_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("quota.db").display());
    for _ in 0..2 {
        let file = format!("{VECTORS}/accounts.jsonl");
        assert_eq!(ran(&["accounts", &file, "--store", &store]), ("200 passed, 0 failed\n".to_owned(), 0));
    }
}

#[test]
fn a_store_may_be_named_by_a_variable() {
    let file = format!("{VECTORS}/accounts.jsonl");
    let run = |store: &str| {
        let mut runner = Command::new(env!("CARGO_BIN_EXE_quota-testkit"));
        runner.args(["accounts", &file, "--store-in", "RUNNERS_STORE"]).env("RUNNERS_STORE", store).output().unwrap()
    };
    let output = run("memory:?detail=entries");
    assert_eq!((text(&output.stdout), output.status.code()), ("200 passed, 0 failed\n", Some(0)));
    let output = run("papyrus:scroll");
    assert!(text(&output.stderr).contains("no store has the scheme papyrus"), "{}", text(&output.stderr));
    let output = runner(&["accounts", &file, "--store-in", "NOBODYS_STORE"]);
    assert!(text(&output.stderr).contains("NOBODYS_STORE: "), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_wrong_window_is_shown_with_both_answers() {
    let folder = tempfile::tempdir().unwrap();
    let window = |every: u64, end: &str| {
        json!({ "period": "DAY", "every": every, "anchor": "2024-01-01T00:00:00.000Z", "tz": "UTC",
            "now": "2024-01-01T00:00:00.000Z", "start": "2024-01-01T00:00:00.000Z", "end": end })
    };
    let mut refused = window(0, "");
    refused.as_object_mut().unwrap().retain(|member, _| member != "start" && member != "end");
    refused["error"] = json!("invalid_period");
    let file =
        file(folder.path(), &[window(1, "2024-01-02T00:00:00.000Z"), window(2, "2024-01-02T00:00:00.000Z"), refused]);
    let (output, code) = ran(&["windows", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(output.starts_with("line 2\n"), "{output}");
    assert!(output.contains("2024-01-03T00:00:00.000Z"), "{output}");
    assert!(output.ends_with("\n2 passed, 1 failed\n"), "{output}");
}

#[test]
fn the_first_ten_failures_are_shown_and_all_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = |number: usize| {
        let at = "2024-01-01T00:00:00.000Z";
        json!({ "name": format!("scenario {number}"), "steps": [
            { "op": "void", "client": "a", "id": "i", "at": at, "expect": { "voided": false } },
            { "op": "charge", "client": "a", "credits": "1", "at": at,
                "expect": { "error": if number.is_multiple_of(2) { "unknown_client" } else { "overflow" } } },
        ]})
    };
    let file = file(folder.path(), &(0..30).map(scenario).collect::<Vec<_>>());
    let (output, code) = ran(&["accounts", file.to_str().unwrap(), "--store", "memory:"]);
    assert_eq!(code, 1);
    let shown: Vec<&str> = output.lines().filter(|line| line.starts_with("scenario")).collect();
    let expected: Vec<String> = (0..10).map(|number| format!("scenario {}, step 2", number * 2 + 1)).collect();
    assert_eq!(shown, expected);
    assert!(
        output.contains(r#"expected {"error":"overflow"}"#)
            && output.contains(r#"actual   {"error":"unknown_client"}"#)
    );
    assert!(output.ends_with("\n15 passed, 15 failed\n"), "{output}");
}

#[test]
fn what_the_types_refuse_is_an_error_that_a_vector_may_expect() {
    let folder = tempfile::tempdir().unwrap();
    let step = |members: Value, expected: &str| {
        let mut step = json!({ "client": "a", "at": "2024-01-01T00:00:00.000Z", "expect": { "error": expected } });
        for (member, value) in members.as_object().unwrap() {
            step[member] = value.clone();
        }
        step
    };
    let quota = |member: &str, value: Value| {
        let mut quota =
            json!({ "period": "DAY", "every": 1, "limit": "5", "anchor": "2024-01-01T00:00:00Z", "tz": "UTC" });
        quota[member] = value;
        json!({ "op": "plan", "quotas": [quota] })
    };
    let many: Vec<Value> = (1..=65).map(|every| quota("every", json!(every))["quotas"][0].clone()).collect();
    let (early, late) = ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z");
    let steps = [
        step(json!({ "op": "charge", "credits": "-1" }), "invalid_credits"),
        step(json!({ "op": "charge", "credits": "NaN" }), "invalid_credits"),
        step(json!({ "op": "charge", "credits": "0.0000001" }), "invalid_credits"),
        step(json!({ "op": "charge", "credits": 5 }), "invalid_credits"),
        step(json!({ "op": "charge", "credits": "1", "id": "" }), "invalid_id"),
        step(json!({ "op": "charge", "credits": "1", "client": "" }), "invalid_client"),
        step(json!({ "op": "charge", "credits": "1", "client": 5 }), "invalid_client"),
        step(json!({ "op": "status", "at": null }), "invalid_instant"),
        step(json!({ "op": "charge", "credits": "1", "client": "x".repeat(256) }), "invalid_client"),
        step(json!({ "op": "charge", "credits": "1", "client": "x".repeat(255) }), "unknown_client"),
        step(json!({ "op": "charge", "credits": "1", "at": "2024-01-01T00:00:00.0001Z" }), "invalid_instant"),
        step(json!({ "op": "charge", "credits": "1", "at": "2100-01-01T00:00:00Z" }), "instant_out_of_range"),
        step(json!({ "op": "hold", "id": "h", "credits": "1", "ttl_ms": 0 }), "invalid_ttl"),
        step(json!({ "op": "hold", "id": "h", "credits": "1", "ttl_ms": 31_622_400_001_u64 }), "invalid_ttl"),
        step(json!({ "op": "total", "from": late, "to": early }), "invalid_range"),
        step(json!({ "op": "daily", "from": early, "to": late, "tz": "Mars/Olympus" }), "unknown_zone"),
        step(quota("every", json!(0)), "invalid_period"),
        step(quota("every", json!(100_001)), "invalid_period"),
        step(quota("period", json!("FORTNIGHT")), "invalid_period"),
        step(quota("limit", json!("-1")), "invalid_credits"),
        step(quota("tz", json!("Mars/Olympus")), "unknown_zone"),
        step(json!({ "op": "plan", "quotas": many }), "too_many_quotas"),
        step(json!({ "op": "plan", "quotas": [many[0].clone(), many[0].clone()] }), "duplicate_period"),
        step(json!({ "op": "backfill", "entries": [{ "id": "b", "at": late, "credits": "1" }] }), "entry_in_future"),
        step(json!({ "op": "status" }), "unknown_client"),
    ];
    let file = file(folder.path(), &[json!({ "name": "bad input", "steps": steps })]);
    assert_eq!(ran(&["accounts", file.to_str().unwrap()]), ("1 passed, 0 failed\n".to_owned(), 0));
}

#[test]
fn a_file_that_cannot_be_run_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    let name = path.to_str().unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let output = runner(arguments);
        let message = text(&output.stderr);
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    };
    refused(&["windows", name], &format!("{name} cannot be read: "));
    std::fs::write(&path, "").unwrap();
    refused(&["accounts", name], &format!("{name} is empty"));
    std::fs::write(&path, "\n{\"name\": \"a\", \"steps\": []}\n{\"name\": \n").unwrap();
    refused(&["accounts", name], &format!("{name}:3: "));
    std::fs::write(
        &path,
        "{\"name\": \"a\", \"steps\": [{\"op\": \"steal\", \"client\": \"a\", \"at\": \"\", \"expect\": {}}]}",
    )
    .unwrap();
    refused(&["accounts", name], &format!("{name}:1: step 1: no operation is called \"steal\""));
    std::fs::write(&path, "[]\n").unwrap();
    refused(&["windows", name], &format!("{name}:1: "));
    std::fs::write(&path, "{\"name\": \"a\", \"steps\": []}\n").unwrap();
    refused(&["accounts", name, "--store", "papyrus:scroll"], "no store has the scheme papyrus");
}
