//! Usage, status and renewals read back; usage deleted and pruned.

use serde_json::json;

use crate::support::{Folder, json, quota, refused, told};

const PLANS: &str = r#"{"clients":{"client1":{"quotas":[
    {"period":"DAY","every":1,"limit":"500","anchor":"2022-01-01T00:00:00Z","tz":"UTC"},
    {"period":"MONTH","every":1,"limit":"10000","anchor":"2022-01-01T00:00:00Z","tz":"UTC"}]}}}"#;

/// A store with the predecessor's usage of `client1`: 1 on 1 March at noon, 2 on 2 March at noon.
pub(crate) fn used(folder: &Folder) -> String {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    let mut connection = SqliteConnection::establish(&folder.path("old.db")).unwrap();
    connection
        .batch_execute(
            "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id VARCHAR, timestamp INTEGER, credits FLOAT);
             INSERT INTO api_billing_usage (client_id, timestamp, credits) VALUES
                 ('client1', 1709294400, 1), ('client1', 1709380800, 2);",
        )
        .unwrap();
    let store = folder.url("quota.db");
    json(&["import-frappy", "--from", &folder.url("old.db"), "--to", &store]);
    store
}

/// What `client1` used in the first days of March.
pub(crate) fn usage(store: &str) -> serde_json::Value {
    json(&["usage", "client1", "--store", store, "--from", "2024-03-01", "--to", "2024-03-05"])
}

#[test]
fn days_are_shown_with_bars_and_cut_in_the_zone() {
    let folder = Folder::new();
    let store = used(&folder);
    let shown =
        told(&["usage", "client1", "--store", &store, "--from", "2024-03-01", "--to", "2024-03-05", "--by-label"]);
    for part in ["2024-03-01", "2024-03-02", "total", "3", &"█".repeat(40), &"█".repeat(20)] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let far_east = ["usage", "client1", "--store", &store, "--from", "2024-03-02", "--to", "2024-03-03"];
    let far_east = json(&[&far_east[..], &["--tz", "Pacific/Kiritimati"]].concat());
    assert_eq!(far_east["days"], json!([{ "day": "2024-03-02", "credits": "1", "entries": 1 }]));
    let recent = json(&["usage", "client1", "--store", &store]);
    assert_eq!(recent, json!({ "days": [], "total": "0" }), "the last 30 days");
}

#[test]
fn status_shows_every_quota_of_the_plan() {
    let folder = Folder::new();
    let store = used(&folder);
    let said = refused(&["status", "client1", "--store", &store]);
    assert!(said.contains("no plan") || said.contains("unknown"), "{said}");
    std::fs::write(folder.path("plans.json"), PLANS).unwrap();
    let plans = folder.path("plans.json");
    let status = json(&["status", "client1", "--store", &store, "--plans", &plans]);
    assert_eq!(status["quotas"][0]["limit"], "500");
    assert_eq!(status["lowest"]["remaining"], "500");
    let shown = told(&["status", "client1", "--store", &store, "--plans", &plans]);
    assert!(shown.contains("10000") && shown.contains("lowest: 500 left of the day quota"), "{shown}");
}

#[test]
fn renewals_are_told_in_order() {
    let month = ["windows", "--period", "MONTH", "--anchor", "2024-01-31", "--from", "2024-02-01", "--count", "3"];
    let windows = json(&month);
    let ends: Vec<_> = windows["windows"].as_array().unwrap().iter().map(|window| &window["resets_at"]).collect();
    assert_eq!(
        json!(ends),
        json!(["2024-02-29T00:00:00.000Z", "2024-03-31T00:00:00.000Z", "2024-04-30T00:00:00.000Z"])
    );
    assert!(told(&month).contains("2024-03-31T00:00:00Z"));
    assert_eq!(
        json(&["windows", "--period", "DAY", "--anchor", "2024-01-31"])["windows"].as_array().unwrap().len(),
        12
    );
    for bad in [["--period", "DAYS", "--anchor", "2024-01-31"], ["--period", "DAY", "--anchor", "soon"]] {
        assert!(!refused(&[&["windows"], &bad[..]].concat()).is_empty());
    }
    assert!(refused(&["windows", "--period", "DAY", "--anchor", "2024-01-31", "--every", "0"]).contains("every 0"));
}

#[test]
fn deletion_asks_and_takes_the_range_out() {
    let folder = Folder::new();
    let store = used(&folder);
    let day = ["delete", "client1", "--store", &store, "--from", "2024-03-01", "--to", "2024-03-02"];
    assert!(refused(&day).contains("--yes"), "nobody is there to answer");
    assert_eq!(usage(&store)["total"], "3");
    assert_eq!(json(&[&day[..], &["--yes"]].concat()), json!({ "deleted": 1 }));
    assert_eq!(usage(&store)["total"], "2");
    assert!(refused(&["delete", "client1", "--store", &store, "--yes"]).contains("--from"));
    assert_eq!(json(&["delete", "client1", "--store", &store, "--all", "--yes"]), json!({ "deleted": 1 }));
}

#[test]
fn pruning_keeps_the_sums() {
    let folder = Folder::new();
    let store = used(&folder);
    let pruned = json(&["prune", "--store", &store, "--before", "2024-03-02"]);
    assert_eq!(pruned, json!({ "entries": 1, "ids": 1 }));
    assert_eq!(usage(&store)["total"], "3");
}

#[test]
fn what_is_malformed_is_named_and_nothing_is_done() {
    let folder = Folder::new();
    let store = folder.url("quota.db");
    for arguments in [
        vec!["usage", "a\u{1b}[2Jb", "--store", &store],
        vec!["usage", "client1", "--store", &store, "--tz", "Mars/Olympus"],
        vec!["usage", "client1", "--store", &store, "--from", "2024-02-30"],
        vec!["usage", "client1", "--store", &store, "--from", "2024-03-02", "--to", "2024-03-01"],
        vec!["usage", "client1", "--store", "oracle://user:secret@host"],
        vec!["prune", "--store", &store, "--before", "yesterday"],
    ] {
        let output = quota(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && !said.contains("secret") && !said.contains('\u{1b}'),
            "{arguments:?}: {said}"
        );
    }
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
}
