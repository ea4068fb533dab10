//! So many rows that an import of them can be disturbed.

use serde_json::{Value, json};

use crate::support::{Folder, TABLE, database, json, told};

pub(crate) const CLIENTS: i64 = 20;

/// More than one batch for each client.
pub(crate) const ROWS: i64 = 30_000;

/// The predecessor's table with them, a credit each.
pub(crate) fn source(folder: &Folder) -> String {
    let rows = format!(
        "INSERT INTO api_billing_usage \
         SELECT value, printf('client%02d', value % {CLIENTS}), 1709251200 + 5 * value, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {ROWS}) SELECT value FROM n)"
    );
    database(folder, "old.db", &format!("{TABLE} {rows}"))
}

/// Makes a store without entries.
pub(crate) fn make(folder: &Folder, store: &str) {
    let empty = database(folder, "empty.db", TABLE);
    assert_eq!(json(&["import-frappy", "--from", &empty, "--to", store])["read"], 0);
}

/// What the next run does, where a disturbed one may have left some rows; after it every row is there once.
pub(crate) fn go_on(from: &str, to: &str) -> Value {
    let import = ["import-frappy", "--from", from, "--to", to];
    let done = json(&import);
    let (added, there) = (done["added"].as_i64().unwrap(), done["already_there"].as_i64().unwrap());
    assert!(added > 0, "{done}");
    assert_eq!((&done["read"], added + there), (&json!(ROWS), ROWS), "{done}");
    assert_eq!((&done["conflicts"]["count"], &done["skipped"]["count"]), (&json!(0), &json!(0)), "{done}");
    for client in 0..CLIENTS {
        let client = format!("client{client:02}");
        let usage = json(&["usage", &client, "--store", to, "--from", "2024-03-01", "--to", "2024-03-03"]);
        let entries: i64 = usage["days"].as_array().unwrap().iter().map(|day| day["entries"].as_i64().unwrap()).sum();
        assert_eq!((&usage["total"], entries), (&json!("1500"), ROWS / CLIENTS), "{client}");
    }
    assert_eq!(told(&import), "30000 rows read\n0 entries added, 30000 were there already\n");
    done
}
