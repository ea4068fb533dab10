//! Files that are opened, and files that are refused.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use quota_core::Operation;
use quota_service::{StoreError, UsageStore};
use quota_store_diesel::{OpenError, SqliteStore, TablePrefix};

use crate::support::{File, at, charge, number, one, request, unlimited, used};

/// Opens a file whose bytes are these, and gives the error; the bytes stay.
fn refused(bytes: &[u8]) -> OpenError {
    let file = File::new();
    std::fs::write(file.path(), bytes).unwrap();
    let error = file.builder().open().unwrap_err();
    assert_eq!(std::fs::read(file.path()).unwrap(), bytes, "a refused file is left alone");
    assert!(error.to_string().contains("quota.db"), "{error}");
    assert!(error.to_string().ends_with("restore it from a backup, or name another file"), "{error}");
    error
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let error = refused(&b"plain text, and no database at all\n".repeat(200));
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn a_truncated_database_is_refused() {
    let file = File::new();
    drop(file.store());
    // Its threads may close the file a little later: what they have written is still in the log then.
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let bytes = std::fs::read(file.path()).unwrap();
    assert!(bytes.len() > 3 * 4_096);
    let error = refused(&bytes[..4_096 * 2]);
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn a_damaged_schema_is_refused() {
    let file = File::new();
    drop(file.store());
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = std::fs::read(file.path()).unwrap();
    // The first page holds the list of tables.
    bytes[100..4_000].fill(0xa5);
    let error = refused(&bytes);
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn tables_that_are_not_ours_are_refused_and_left_alone() {
    for statement in [
        "CREATE TABLE quota_accounts (name TEXT)",
        "CREATE TABLE Quota_Entries (name TEXT)",
        "CREATE VIEW quota_plans AS SELECT 1 AS one",
        "CREATE TABLE quota_schema (id INTEGER)",
        "CREATE TABLE quota_schema (version INTEGER, applied_at INTEGER)",
    ] {
        let file = File::new();
        file.execute(statement);
        let error = file.builder().open().unwrap_err();
        assert!(matches!(&error, OpenError::Foreign { .. }), "{statement}: {error:?}");
        // The header says 1 for a file with a rollback journal and 2 for one with a log.
        let header = std::fs::read(file.path()).unwrap();
        assert_eq!(header[18..20], [1, 1], "the journal mode was changed");
        assert_eq!(file.number("SELECT COUNT(*) FROM sqlite_schema"), 1, "{statement}");
        // Another prefix has room.
        file.builder().with_prefix(TablePrefix::new("mine_").unwrap()).open().unwrap();
    }
}

#[test]
fn a_table_that_is_gone_is_told() {
    let file = File::new();
    drop(file.store());
    file.execute("DROP TABLE quota_quarters");
    let error = file.builder().open().unwrap_err();
    assert!(matches!(&error, OpenError::Incomplete { table, .. } if table == "quota_quarters"), "{error:?}");
    assert!(error.to_string().ends_with("restore the file from a backup, or choose another prefix"), "{error}");
}

#[test]
fn a_newer_schema_is_refused() {
    let file = File::new();
    drop(file.store());
    file.execute("INSERT INTO quota_schema (version, applied_at) VALUES (99, 0)");
    let error = file.builder().open().unwrap_err();
    assert!(matches!(error, OpenError::UpgradeNeeded { found: 99, known: 3, .. }), "{error:?}");
}

#[tokio::test]
async fn tables_of_the_first_version_are_upgraded_with_what_is_in_them() {
    let file = File::new();
    let now = at("2024-03-01T12:00:00Z");
    one(&file.store(), request("a", charge("3"), now, &unlimited())).await.unwrap();
    file.execute(
        "ALTER TABLE quota_accounts DROP COLUMN deleted_from; ALTER TABLE quota_accounts DROP COLUMN deleted_to; \
         ALTER TABLE quota_accounts DROP COLUMN deleted_sums; DELETE FROM quota_schema WHERE version > 1",
    );
    let store = file.store();
    assert_eq!(used(&one(&store, request("a", charge("4"), now, &unlimited())).await), "7");
    assert_eq!(file.number("SELECT MAX(version) FROM quota_schema"), 3);
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    for path in ["", ":memory:"] {
        let error = SqliteStore::open(path).unwrap_err();
        assert!(matches!(error, OpenError::InvalidPath { .. }), "{path:?}: {error:?}");
        assert!(error.to_string().ends_with("name a file, by a path in UTF-8"), "{error}");
    }
    let file = File::new();
    for path in [file.folder.path().to_owned(), file.folder.path().join("no/such/folder.db")] {
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{path:?}: {error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(
            error.to_string().ends_with("make its folder, let this process write there, or name another file"),
            "{error}"
        );
    }
}

#[test]
fn a_disk_without_room_for_the_tables_is_told() {
    let file = File::new();
    let error = file.builder().with_max_pages(NonZeroU32::MIN).open().unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    let advice = "database or disk is full: make room on the disk, or let the file have more pages";
    assert!(error.to_string().ends_with(advice), "{error}");
    // Nothing of them is there.
    drop(file.store());
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_schema"), 3);
}

#[test]
fn a_file_whose_texts_are_not_utf_8_is_refused_and_left_alone() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let file = File::new();
        file.execute(&format!("PRAGMA encoding = '{encoding}'; CREATE TABLE users (name TEXT)"));
        let bytes = std::fs::read(file.path()).unwrap();
        let error = file.builder().open().unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        let advice = format!("its texts are {encoding}, this store needs UTF-8: name another file");
        assert!(error.to_string().ends_with(&advice), "{error}");
        assert_eq!(std::fs::read(file.path()).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_path_means_itself_whatever_is_in_it() {
    let file = File::new();
    for name in ["file:x?mode=memory", "a#b%20c", "ü ä", "sqlite:q.db"] {
        let path = file.folder.path().join(name);
        let store = SqliteStore::open(&path).unwrap();
        one(&store, request("a", charge("1"), at("2024-03-01T12:00:00Z"), &unlimited())).await.unwrap();
        assert!(path.is_file(), "{name}");
        // As whoever puts a slash before an absolute path writes it.
        SqliteStore::open(format!("/{}", path.display())).unwrap().health().await.unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_file_is_refused() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let file = File::new();
    drop(file.store());
    // Permissions do not bind the superuser, so then another user has to try, with a program that it may read.
    let program = file.folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(&file.path(), 0o444);
    mode(file.folder.path(), 0o555);
    let mut command = Command::new(&program);
    command.args(["--exact", "opening::open_a_read_only_file", "--ignored"]).env("QUOTA_TEST_READ_ONLY", file.path());
    command.current_dir("/").env("RUST_BACKTRACE", "0");
    if std::fs::metadata(file.path()).unwrap().uid() == 0 {
        command.uid(65_534);
    }
    let done = command.output().unwrap();
    mode(file.folder.path(), 0o755);
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{done:?}");
}

/// What another user does in [`a_read_only_file_is_refused`].
#[test]
#[ignore = "run by another test, as another user"]
fn open_a_read_only_file() {
    let path = std::env::var("QUOTA_TEST_READ_ONLY").unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains(&path), "{error}");
    assert!(error.to_string().ends_with("make the file and its folder writable"), "{error}");
    // Nor can a file be made there.
    let error = SqliteStore::open(Path::new(&path).with_extension("new")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("make its folder, let this process write there, or name another file"),
        "{error}"
    );
}

#[test]
fn a_file_that_another_process_holds_is_refused_after_the_busy_timeout() {
    let file = File::new();
    drop(file.store());
    file.execute("CREATE TABLE busy (x)");
    let mut holder = Holder::hold(&file.path());
    let error = file.builder().with_busy_timeout(Duration::from_millis(50)).open().unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().ends_with("wait until that is done, or end it, then open again"), "{error}");
    holder.let_go();
    file.builder().open().unwrap();
}

#[tokio::test]
async fn the_applications_own_tables_and_other_prefixes_are_left_alone() {
    let file = File::new();
    file.execute("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ada'); PRAGMA user_version = 7");
    file.execute("CREATE TABLE __diesel_schema_migrations (version TEXT PRIMARY KEY)");
    let (one_store, other) = (
        file.builder().with_prefix(TablePrefix::new("one_").unwrap()).open().unwrap(),
        file.builder().with_prefix(TablePrefix::new("other_").unwrap()).open().unwrap(),
    );
    let now = at("2024-03-01T12:00:00Z");
    one(&one_store, request("a", charge("1"), now, &unlimited())).await.unwrap();
    one(&one_store, request("a", charge("1"), now, &unlimited())).await.unwrap();
    assert_eq!(used(&one(&one_store, request("a", Operation::Status, now, &unlimited())).await), "2");
    assert_eq!(used(&one(&other, request("a", Operation::Status, now, &unlimited())).await), "0");
    assert_eq!(file.number("SELECT COUNT(*) FROM users"), 1);
    assert_eq!(file.number("SELECT user_version FROM pragma_user_version"), 7);
    assert_eq!(file.number("SELECT COUNT(*) FROM __diesel_schema_migrations"), 0);
    assert_eq!(file.number("SELECT COUNT(*) FROM one_schema"), 3);
}

#[test]
fn start_ups_at_the_same_time_migrate_once() {
    for _ in 0..5 {
        let file = Arc::new(File::new());
        let barrier = Arc::new(Barrier::new(8));
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let (file, barrier) = (Arc::clone(&file), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    file.builder().open().map(drop)
                })
            })
            .collect();
        for opener in openers {
            opener.join().unwrap().unwrap();
        }
        assert_eq!(file.number("SELECT COUNT(*) FROM quota_schema"), 3);
    }
}

#[tokio::test]
async fn a_charge_waits_for_another_process_and_gives_up_with_nothing_done() {
    let file = File::new();
    let store = file.builder().with_busy_timeout(Duration::from_millis(50)).open().unwrap();
    let now = at("2024-03-01T12:00:00Z");
    file.execute("CREATE TABLE busy (x)");
    let mut holder = Holder::hold(&file.path());
    let answers =
        store.apply(vec![request("a", charge("1"), now, &unlimited()), request("b", charge("1"), now, &unlimited())]);
    for answer in answers.await {
        assert!(matches!(answer, Err(StoreError::NotDone { .. })), "{answer:?}");
    }
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 0);
    holder.let_go();
    one(&store, request("a", charge("1"), now, &unlimited())).await.unwrap();
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 1);
}

/// Another process that holds a file's write lock: this test's own program, run once more.
struct Holder {
    process: std::process::Child,
}

impl Holder {
    fn hold(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "opening::hold_the_lock", "--ignored", "--nocapture"])
            .env("QUOTA_TEST_HOLD", path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.as_mut().unwrap()));
        assert!(lines.any(|line| line.unwrap().ends_with("held")), "the other process holds the lock");
        Self { process }
    }

    /// Lets the other process end, which frees the lock.
    fn let_go(&mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other process of [`Holder`].
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn hold_the_lock() {
    use diesel::Connection;
    use diesel::connection::SimpleConnection;

    let path = std::env::var("QUOTA_TEST_HOLD").unwrap();
    let mut connection = diesel::sqlite::SqliteConnection::establish(&path).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE; INSERT INTO busy VALUES (1)").unwrap();
    assert_eq!(number(&mut connection, "SELECT COUNT(*) FROM busy"), 1);
    #[expect(clippy::print_stdout, reason = "what the other process waits for")]
    {
        println!("held");
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
