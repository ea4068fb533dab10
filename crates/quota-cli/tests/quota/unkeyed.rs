//! Rows without an id that tells them apart.

use quota_servers::Server;
use serde_json::{Value, json};

use crate::place::execute;
use crate::support::{Folder, database, json, name, told};

/// More ids than are read at once.
const IDS: usize = 6_000;

/// How many rows were skipped, and the names that they have.
fn skipped(done: &Value) -> (u64, Vec<String>) {
    let reasons = done["skipped"]["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{done}");
    let names = reasons[0]["rows"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    (reasons[0]["count"].as_u64().unwrap(), names.collect())
}

/// Three rows without an id, so many with one of its own that is no usable one, and a good one.
fn check(from: &str, table: &[&str], of_their_own: usize) {
    let folder = Folder::new();
    let to = folder.url("quota.db");
    let import = [&["import-frappy", "--from", from, "--to", &to][..], table].concat();
    let done = json(&import);
    let all = 3 + of_their_own;
    assert_eq!((&done["read"], &done["added"]), (&json!(all + 1), &json!(1)));
    let (count, mut names) = skipped(&done);
    assert_eq!((count, names.len()), (u64::try_from(all).unwrap(), 1 + of_their_own), "a name is listed once");
    assert!(names.contains(&"NULL".to_owned()));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1 + of_their_own);
    assert!(told(&import).contains(&format!("{all} skipped, since it has no id")));
}

#[test]
fn rows_of_a_file_without_a_usable_id_are_counted_and_listed_page_by_page() {
    let folder = Folder::new();
    let rows = format!(
        "CREATE TABLE api_billing_usage (id, client_id, timestamp, credits);
         INSERT INTO api_billing_usage VALUES (NULL, 'c', 1709251200, 1), (1, 'c', 1709251200, 1), (NULL, 'c', 1709251200, 1);
         INSERT INTO api_billing_usage SELECT 'k' || value, 'c', 1709251200, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {IDS}) SELECT value FROM n);
         INSERT INTO api_billing_usage VALUES (NULL, 'c', 1709251200, 1)"
    );
    check(&database(&folder, "old.db", &rows), &[], IDS);
}

/// A table with these columns before the client's.
fn check_table(server: Server, id: &str, others: &[String], of_their_own: usize) {
    let Some(url) = quota_servers::url(server) else { return };
    let table = name();
    let mut made = vec![
        format!("CREATE TABLE {table} (id {id}, client_id VARCHAR(20), timestamp INTEGER, credits FLOAT)"),
        format!("INSERT INTO {table} VALUES (1, 'c', 1709251200, 1)"),
    ];
    made.extend([(); 3].map(|()| format!("INSERT INTO {table} VALUES (NULL, 'c', 1709251200, 1)")));
    made.extend(others.iter().map(|other| format!("INSERT INTO {table} {other}")));
    execute(&url, &made);
    check(&url, &["--table", &table], of_their_own);
    execute(&url, &[format!("DROP TABLE {table}")]);
}

#[test]
fn rows_without_an_id_in_postgresql_are_counted() {
    check_table(Server::Postgres, "BIGINT", &[], 0);
}

#[test]
fn rows_without_a_usable_id_in_mysql_are_counted_and_listed_page_by_page() {
    let digits = (0..10).map(|digit| format!("SELECT {digit} AS n")).collect::<Vec<_>>().join(" UNION ALL ");
    let great = format!(
        "SELECT 9223372036854775808 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n, 'c', 1709251200, 1 \
         FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d WHERE d.n < {}",
        IDS / 1_000
    );
    check_table(Server::Mysql, "BIGINT UNSIGNED", &[great], IDS);
}
