//! An import whose process is killed.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryableByName, SqliteConnection, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use quota_servers::Server;
use serde_json::{Value, json};

use crate::place::at_new_place;
use crate::support::{Folder, TABLE, database, json, runtime, told};

const CLIENTS: i64 = 20;

/// More than one batch for each client.
const ROWS: i64 = 30_000;

/// How often the target is looked at before it is given up.
const LOOKS: u32 = 12_000;

const BETWEEN: Duration = Duration::from_millis(5);

const ENTRIES: &str = "SELECT COUNT(*) AS count FROM quota_entries";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// An import of a source into a store.
struct Import(Child);

impl Import {
    fn begin(from: &str, to: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quota"));
        command.args(["import-frappy", "--from", from, "--to", to]).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Kills it when some rows are in the store.
    fn kill_after(mut self, mut has_some: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            assert_eq!(self.0.try_wait().unwrap(), None, "it ended before it was killed");
            if has_some() {
                self.0.kill().unwrap();
                assert!(!self.0.wait().unwrap().success());
                return;
            }
            sleep(BETWEEN);
        }
        panic!("nothing was imported");
    }
}

impl Drop for Import {
    /// It may never end by itself. Where it was killed before there is nothing left to do.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn source(folder: &Folder) -> String {
    let rows = format!(
        "INSERT INTO api_billing_usage \
         SELECT value, printf('client%02d', value % {CLIENTS}), 1709251200 + 5 * value, 1 FROM \
         (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT {ROWS}) SELECT value FROM n)"
    );
    database(folder, "old.db", &format!("{TABLE} {rows}"))
}

/// Makes a store without entries.
fn make(folder: &Folder, store: &str) {
    let empty = database(folder, "empty.db", TABLE);
    assert_eq!(json(&["import-frappy", "--from", &empty, "--to", store])["read"], 0);
}

/// What the next run does, where a killed one has left some rows; after it every row is there once.
fn go_on(from: &str, to: &str) -> Value {
    let import = ["import-frappy", "--from", from, "--to", to];
    let done = json(&import);
    let (added, there) = (done["added"].as_i64().unwrap(), done["already_there"].as_i64().unwrap());
    assert!(added > 0 && there > 0, "{done}");
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

#[test]
fn an_import_into_sqlite_that_is_killed_leaves_nothing_twice() {
    let folder = Folder::new();
    let (from, to) = (source(&folder), folder.url("quota.db"));
    make(&folder, &to);
    let mut beside = SqliteConnection::establish(&folder.path("quota.db")).unwrap();
    // Its last client takes for ever: however quick the machine is, it is not done before it is killed.
    beside
        .batch_execute(
            "PRAGMA busy_timeout = 10000;
             CREATE VIEW endless AS
                 WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n) SELECT value FROM n;
             CREATE TRIGGER holding BEFORE INSERT ON quota_entries WHEN NEW.client = 'client19'
                 BEGIN SELECT COUNT(*) FROM endless; END",
        )
        .unwrap();
    let count = |connection: &mut SqliteConnection| {
        let found: Count = diesel::RunQueryDsl::get_result(sql_query(ENTRIES), connection).unwrap();
        found.count
    };
    Import::begin(&from, &to).kill_after(|| count(&mut beside) > 0);
    let left = count(&mut beside);
    assert!(left < ROWS, "{left}");
    beside.batch_execute("DROP TRIGGER holding; DROP VIEW endless").unwrap();
    drop(beside);
    assert_eq!(go_on(&from, &to)["already_there"], left);
}

#[test]
fn an_import_into_postgresql_that_is_killed_leaves_nothing_twice() {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(Server::Postgres, |to| {
        make(&folder, to);
        let runtime = runtime();
        let mut beside = runtime.block_on(AsyncPgConnection::establish(to)).unwrap();
        // Its last client waits for this transaction.
        let holding = "BEGIN; INSERT INTO quota_accounts (client, document) VALUES ('client19', '')";
        runtime.block_on(beside.batch_execute(holding)).unwrap();
        let mut count = || {
            let found: Count = runtime.block_on(sql_query(ENTRIES).get_result(&mut beside)).unwrap();
            found.count
        };
        Import::begin(&from, to).kill_after(|| count() > 0);
        let left = count();
        assert!(left < ROWS, "{left}");
        runtime.block_on(beside.batch_execute("ROLLBACK")).unwrap();
        // What the server was at when its client was killed may still be committed.
        assert!(go_on(&from, to)["already_there"].as_i64().unwrap() >= left);
    });
}
