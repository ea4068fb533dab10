//! A file of SQLite whose last writer has left something beside it.

use std::fs;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::support::{Folder, TABLE, both, database, json};

/// What an import says of the source `name`, from which and of which no store is made.
fn refused_source(folder: &Folder, name: &str) -> String {
    let (code, answer, said) = both(&["import-frappy", "--from", &folder.url(name), "--to", &folder.url("quota.db")]);
    assert_eq!((code, answer.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains(name) && !fs::exists(folder.path("quota.db")).unwrap(), "{said}");
    said
}

#[test]
fn a_journal_that_is_to_be_rolled_back_is_told_with_what_to_do() {
    let folder = Folder::new();
    let rows = format!(
        "{TABLE} INSERT INTO api_billing_usage SELECT value, 'c', 1709251200, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20000) SELECT value FROM n)"
    );
    database(&folder, "live.db", &rows);
    let mut writer = SqliteConnection::establish(&folder.path("live.db")).unwrap();
    // So few pages are kept in memory that some are written before the commit.
    writer.batch_execute("PRAGMA cache_size = 1; BEGIN; UPDATE api_billing_usage SET credits = 2").unwrap();
    for beside in ["", "-journal"] {
        fs::copy(folder.path(&format!("live.db{beside}")), folder.path(&format!("old.db{beside}"))).unwrap();
    }
    let said = refused_source(&folder, "old.db");
    assert!(
        said.contains("its last writer did not finish") && said.contains("open it once with its own program"),
        "{said}"
    );
    // As is said there.
    database(&folder, "old.db", "SELECT 1 FROM sqlite_schema");
    assert_eq!(
        json(&["import-frappy", "--from", &folder.url("old.db"), "--to", &folder.url("quota.db")])["added"],
        20_000
    );
}

#[test]
#[cfg(unix)]
fn a_log_that_cannot_be_opened_is_told_with_what_to_do() {
    let folder = Folder::new();
    database(&folder, "old.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
    // Whoever may write anywhere cannot make a file of this name either.
    std::os::unix::fs::symlink(folder.path("absent"), folder.path("old.db-shm")).unwrap();
    let said = refused_source(&folder, "old.db");
    assert!(said.contains("its write-ahead log cannot be opened") && said.contains("with its -wal"), "{said}");
}
