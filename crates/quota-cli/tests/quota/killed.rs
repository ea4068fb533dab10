//! An import whose process is killed.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryableByName, SqliteConnection, sql_query};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use quota_servers::Server;

use crate::many_rows::{ROWS, go_on, make, source};
use crate::place::at_new_place;
use crate::relay::{Relay, server_of};
use crate::support::{Folder, runtime};

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

/// What the next run finds of one that was killed; after it every row is there once.
fn found(from: &str, to: &str) -> i64 {
    let there = go_on(from, to)["already_there"].as_i64().unwrap();
    assert!(there > 0, "nothing was left");
    there
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
    assert_eq!(found(&from, &to), left);
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
        assert!(found(&from, to) >= left);
    });
}

#[test]
fn an_import_into_mysql_that_is_killed_leaves_nothing_twice() {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(Server::Mysql, |to| {
        make(&folder, to);
        let runtime = runtime();
        let [mut holding, mut beside] =
            [(); 2].map(|()| runtime.block_on(AsyncMysqlConnection::establish(to)).unwrap());
        // Its last client waits for this transaction.
        for statement in ["BEGIN", "INSERT INTO quota_accounts (client, document, labels) VALUES ('client19', '', '')"]
        {
            runtime.block_on(holding.batch_execute(statement)).unwrap();
        }
        let mut count = || {
            let found: Count = runtime.block_on(sql_query(ENTRIES).get_result(&mut beside)).unwrap();
            found.count
        };
        Import::begin(&from, to).kill_after(|| count() > 0);
        let left = count();
        assert!(left < ROWS, "{left}");
        runtime.block_on(holding.batch_execute("ROLLBACK")).unwrap();
        // What the server was at when its client was killed may still be committed.
        assert!(found(&from, to) >= left);
    });
}

/// Where nothing holds a client's account, the way to the store gets stuck: the import is not done before it is killed.
fn killed_when_stuck(server: Server, after: u64) {
    let folder = Folder::new();
    at_new_place(server, |to| killed_when_stuck_at(to, &folder, after));
}

fn killed_when_stuck_at(to: &str, folder: &Folder, after: u64) {
    let from = source(folder);
    make(folder, to);
    let place = server_of(to);
    let relay = Relay::sticking(place, after);
    Import::begin(&from, &relay.in_place_of(place, to)).kill_after(|| relay.is_broken());
    let there = found(&from, to);
    assert!(there < ROWS, "{there}");
}

/// All rows are more than 2.5 MB of requests; a client's batch is some 40 KB of questions and 130 KB of a script, and scripts go
/// one after the other through few connections: some are through before it gets stuck.
#[test]
fn an_import_into_redis_that_is_killed_leaves_nothing_twice() {
    killed_when_stuck(Server::Redis, 1_600_000);
}

/// Of quarters no entry is there to be found again: their ids tell.
#[test]
fn an_import_into_redis_with_quarters_that_is_killed_leaves_nothing_twice() {
    let folder = Folder::new();
    at_new_place(Server::Redis, |to| {
        let to = to.replace("detail=entries", "detail=quarters");
        killed_when_stuck_at(&to, &folder, 800_000);
    });
}

/// The rows are sent twice, to accounts and to the ledger, in more than 5 MB; the first batches of 16 clients are 1.2 MB, and
/// none goes to the ledger before its account has it.
#[test]
fn an_import_into_mongodb_that_is_killed_leaves_nothing_twice() {
    killed_when_stuck(Server::Mongodb, 2_000_000);
}
