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

/// When the windows begin, and when the last of them ends.
fn bounds(arguments: &[&str]) -> Vec<String> {
    let told = json(&[&["windows"], arguments].concat());
    let windows = told["windows"].as_array().unwrap();
    let starts = windows.iter().map(|window| &window["starts_at"]);
    let bounds = starts.chain(windows.last().map(|window| &window["resets_at"]));
    bounds.map(|bound| bound.as_str().unwrap().to_owned()).collect()
}

#[test]
fn days_renew_at_their_zones_midnight_when_its_clocks_change() {
    let days = ["--period", "DAY", "--anchor", "2024-01-01", "--tz", "Europe/Berlin", "--count", "3", "--from"];
    assert_eq!(
        bounds(&[&days[..], &["2024-03-30"]].concat()),
        [
            "2024-03-29T23:00:00.000Z",
            "2024-03-30T23:00:00.000Z",
            "2024-03-31T22:00:00.000Z",
            "2024-04-01T22:00:00.000Z"
        ]
    );
    assert_eq!(
        bounds(&[&days[..], &["2024-10-26"]].concat()),
        [
            "2024-10-25T22:00:00.000Z",
            "2024-10-26T22:00:00.000Z",
            "2024-10-27T23:00:00.000Z",
            "2024-10-28T23:00:00.000Z"
        ]
    );
    // In the last hour of a day of 25.
    let late = bounds(&[&days[..], &["2024-10-27T22:30:00Z"]].concat());
    assert_eq!(late.first().map(String::as_str), Some("2024-10-26T22:00:00.000Z"));
}

#[test]
fn windows_of_several_units_renew_together() {
    let every = ["--every", "2", "--count", "2"];
    let days = ["--period", "DAY", "--anchor", "2024-03-01", "--from", "2024-03-04"];
    assert_eq!(
        bounds(&[&days[..], &every].concat()),
        ["2024-03-03T00:00:00.000Z", "2024-03-05T00:00:00.000Z", "2024-03-07T00:00:00.000Z"]
    );
    let months = ["--period", "MONTH", "--anchor", "2023-12-31", "--from", "2024-03-30", "--tz", "Europe/Berlin"];
    assert_eq!(
        bounds(&[&months[..], &every].concat()),
        ["2024-02-28T23:00:00.000Z", "2024-04-29T22:00:00.000Z", "2024-06-29T22:00:00.000Z"]
    );
    assert!(told(&[&["windows"], &days[..], &every].concat()).contains("2024-03-05T00:00:00Z"));
}

#[test]
fn deletion_and_pruning_go_by_the_days_of_the_zone() {
    let folder = Folder::new();
    let store = used(&folder);
    // There 2 March begins on 1 March at 10 in UTC.
    let east = ["--tz", "Pacific/Kiritimati"];
    let prune = |before| json(&[&["prune", "--store", &store, "--before", before][..], &east].concat());
    assert_eq!(prune("2024-03-02"), json!({ "entries": 0, "ids": 0 }), "in UTC there is one before");
    assert_eq!(prune("2024-03-03"), json!({ "entries": 1, "ids": 1 }), "in UTC there are two");
    let day = ["delete", "client1", "--store", &store, "--from", "2024-03-02", "--to", "2024-03-03", "--yes"];
    assert_eq!(json(&[&day[..], &east].concat()), json!({ "deleted": 1 }));
    assert_eq!(usage(&store)["total"], "2", "and not that of 2 March in UTC");
    assert_eq!(json(&day), json!({ "deleted": 1 }));
    assert_eq!(usage(&store)["total"], "0");
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
