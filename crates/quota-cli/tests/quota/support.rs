//! A folder with stores, and the command.

use std::process::{Command, Output};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The predecessor's table.
pub(crate) const TABLE: &str =
    "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id VARCHAR, timestamp INTEGER, credits FLOAT);";

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The URL of a file in it.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A name that no other test's table has.
pub(crate) fn name() -> String {
    format!("api_billing_{}", quota_servers::own_name())
}

/// The password in the URL of a server of SQL.
pub(crate) fn password(url: &str) -> &str {
    url.split(['@', '/', ':']).nth(4).unwrap_or_default()
}

pub(crate) fn quota(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quota")).args(arguments).output().unwrap()
}

/// A file with a database that was made so.
pub(crate) fn database(folder: &Folder, name: &str, statements: &str) -> String {
    let mut connection = SqliteConnection::establish(&folder.path(name)).unwrap();
    connection.batch_execute(statements).unwrap();
    folder.url(name)
}

/// What it answers and what it says, whatever it ends with.
pub(crate) fn both(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = quota(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What it prints when it succeeds.
pub(crate) fn told(arguments: &[&str]) -> String {
    let output = quota(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    // What it notes of quarters is looked at elsewhere.
    let is_noted = |line: &&str| line.starts_with("note: this store keeps sums of quarters of an hour");
    assert_eq!(errors.lines().find(|line| !is_noted(line)), None, "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(arguments: &[&str]) -> Value {
    let told = told(&[arguments, &["--json"]].concat());
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// What it says when it fails.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let output = quota(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}
