//! An import whose store is only read, from the beginning or from the midst of the rows on: by the server's own setting, or
//! by this user.

use std::sync::Arc;

use mongodb::bson::{Document, doc};
use quota_servers::Server;

use crate::lost_target::{check_cut_off, check_whole};
use crate::many_rows::{go_on, make, source};
use crate::place::{at_new_place, execute};
use crate::relay::{Relay, server_of};
use crate::support::{Folder, both, name, refused, runtime};

pub(crate) const SECRET: &str = "readersecret";

/// A store's tables in SQL.
const TABLES: [&str; 5] = ["quota_schema", "quota_accounts", "quota_entries", "quota_quarters", "quota_plans"];

const WRITING: &str = "INSERT, UPDATE, DELETE";

/// So many bytes are requests in the midst of the rows, of whatever store.
const IN_THE_ROWS: u64 = 1_000_000;

/// A store to which this URL only reads is told before a row goes there.
fn check_read(from: &str, to: &str, read: &str, parts: &[&str]) {
    let said = refused(&["import-frappy", "--from", from, "--to", read]);
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("the store cannot be opened: ") && !said.contains(SECRET), "{said}");
    assert_eq!(go_on(from, to)["already_there"], 0);
}

/// A store that is only read from the midst of the rows on; then it is not again.
fn check_forbidden(
    from: &str,
    to: &str,
    forbid: impl FnOnce() + Send + 'static,
    allow: impl FnOnce(),
) -> (i64, String) {
    let place = server_of(to);
    let relay = Relay::changing(place, IN_THE_ROWS, forbid);
    let import = both(&["import-frappy", "--from", from, "--to", &relay.in_place_of(place, to), "--json"]);
    assert!(relay.is_broken(), "it is met in the midst of the rows");
    allow();
    let (added, said) = check_cut_off(import);
    assert!(!said.contains(SECRET), "{said}");
    (added, said)
}

/// The URL with another user.
pub(crate) fn as_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}://{user}:{SECRET}@{rest}")
}

#[test]
fn a_postgresql_that_is_only_read_is_told_before_a_row_goes_there() {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(Server::Postgres, |to| {
        make(&folder, to);
        let read = format!("{to}%20-cdefault_transaction_read_only%3Don");
        check_read(&from, to, &read, &["default_transaction_read_only is on", "connect to the primary"]);
    });
}

#[test]
fn a_mysql_that_is_only_read_is_told_before_a_row_goes_there() {
    let Some(mysql) = quota_servers::private(Server::Mysql) else { return };
    let folder = Folder::new();
    let from = source(&folder);
    make(&folder, mysql.url());
    execute(mysql.url(), &["SET GLOBAL read_only = 1".to_owned()]);
    let said = refused(&["import-frappy", "--from", &from, "--to", mysql.url()]);
    assert!(said.contains("read_only is on") && said.contains("connect to the primary"), "{said}");
    execute(mysql.url(), &["SET GLOBAL read_only = 0".to_owned()]);
    assert_eq!(go_on(&from, mysql.url())["already_there"], 0);
}

/// A user of a server of SQL who may read alone, then write as well, and in the midst of the rows no longer.
fn check_user(server: Server, made: impl Fn(&str, &str) -> Vec<String>, whose: impl Fn(&str) -> String, told: &str) {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(server, |to| {
        make(&folder, to);
        let user = name();
        let (place, writer, whose) = (name_of(to), as_user(to, &user), whose(&user));
        // By table: MySQL looks at rights on a database when a connection chooses it.
        let on_each =
            |before: &str, after: &str| TABLES.map(|table| format!("{before} ON {place}.{table} {after} {whose}"));
        let grant = |rights: &str| execute(to, &on_each(&format!("GRANT {rights}"), "TO"));
        execute(to, &made(&user, &place));
        grant("SELECT");
        let said = refused(&["import-frappy", "--from", &from, "--to", &writer]);
        assert!(
            said.contains("lacks a right: ") && said.contains("quota_accounts") && !said.contains(SECRET),
            "{said}"
        );

        grant(WRITING);
        let (admin, revoke) = (to.to_owned(), on_each(&format!("REVOKE {WRITING}"), "FROM"));
        let (added, said) = check_forbidden(&from, &writer, move || execute(&admin, &revoke), || grant(WRITING));
        assert!(said.contains(told), "{said}");
        check_whole(&from, &writer, added);
        execute(to, &on_each("REVOKE ALL PRIVILEGES", "FROM"));
        let rest = if server == Server::Postgres { vec![format!("DROP OWNED BY {user}")] } else { Vec::new() };
        execute(to, &[rest, vec![format!("DROP USER {whose}")]].concat());
    });
}

/// The schema or the database of a place.
fn name_of(to: &str) -> String {
    to.replace("%3D", "/").rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_user_of_postgresql_who_may_not_write_is_told_and_the_import_goes_on_with_the_right() {
    let made = |user: &str, schema: &str| {
        vec![
            format!("CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {user}"),
        ]
    };
    check_user(Server::Postgres, made, str::to_owned, "permission denied");
}

#[test]
fn a_user_of_mysql_who_may_not_write_is_told_and_the_import_goes_on_with_the_right() {
    let made = |user: &str, _: &str| vec![format!("CREATE USER {user}@'%' IDENTIFIED BY '{SECRET}'")];
    check_user(Server::Mysql, made, |user| format!("{user}@'%'"), "command denied");
}

#[test]
fn a_redis_that_is_a_replica_is_told_before_a_row_goes_there() {
    let Some(server) = quota_servers::private(Server::Redis) else { return };
    let folder = Folder::new();
    let (from, to) = (source(&folder), format!("{}?detail=entries", server.url()));
    make(&folder, &to);
    let redis = &server.nodes()[0];
    // Of a server that is not there: what it has stays.
    assert_eq!(redis.ask_redis("REPLICAOF 127.0.0.1 1").unwrap(), "OK");
    for tried in [&[][..], &["--dry-run"]] {
        let said = refused(&[&["import-frappy", "--from", &from, "--to", &to][..], tried].concat());
        assert!(said.contains("is a read-only replica: connect to its primary"), "{said}");
    }
    assert_eq!(redis.ask_redis("REPLICAOF NO ONE").unwrap(), "OK");
    assert_eq!(go_on(&from, &to)["already_there"], 0);
}

#[test]
fn a_redis_without_the_replicas_that_it_wants_is_told_and_the_import_goes_on() {
    let Some(server) = quota_servers::private(Server::Redis) else { return };
    let server = Arc::new(server);
    let folder = Folder::new();
    let (from, to) = (source(&folder), format!("{}?detail=entries", server.url()));
    make(&folder, &to);
    let want = |server: &quota_servers::PrivateServer, replicas: u8| {
        let command = format!("CONFIG SET min-replicas-to-write {replicas}");
        assert_eq!(server.nodes()[0].ask_redis(&command).unwrap(), "OK");
    };
    let wanting = Arc::clone(&server);
    let (added, said) = check_forbidden(
        &from,
        &to,
        move || want(&wanting, 1),
        || {
            let said = refused(&["import-frappy", "--from", &from, "--to", &to]);
            assert!(said.contains("the store cannot be opened: ") && said.contains("NOREPLICAS"), "{said}");
            want(&server, 0);
        },
    );
    assert!(said.contains("NOREPLICAS"), "{said}");
    check_whole(&from, &to, added);
}

#[test]
fn a_redis_that_becomes_a_replica_is_told_and_the_import_goes_on() {
    let Some(server) = quota_servers::private(Server::Redis) else { return };
    let server = Arc::new(server);
    let folder = Folder::new();
    let (from, to) = (source(&folder), format!("{}?detail=entries", server.url()));
    make(&folder, &to);
    let follow = |server: &quota_servers::PrivateServer, whom: &str| {
        assert_eq!(server.nodes()[0].ask_redis(&format!("REPLICAOF {whom}")).unwrap(), "OK");
    };
    let following = Arc::clone(&server);
    let (added, said) =
        check_forbidden(&from, &to, move || follow(&following, "127.0.0.1 1"), || follow(&server, "NO ONE"));
    assert!(said.contains("replica"), "{said}");
    check_whole(&from, &to, added);
}

#[test]
fn a_user_of_mongodb_who_may_not_write_is_told_and_the_import_goes_on_with_the_right() {
    let Some(server) = quota_servers::private_guarded() else { return };
    let as_user = |user: &str| format!("{}?authSource=admin", as_user(server.url(), user));
    let (admin, to) = (as_user("root"), as_user("clerk"));
    let role = |name: &str| vec![doc! { "role": name, "db": "quota" }];
    tell(server.url(), doc! { "createUser": "root", "pwd": SECRET, "roles": ["root"] });
    tell(&admin, doc! { "createUser": "clerk", "pwd": SECRET, "roles": role("read") });
    let folder = Folder::new();
    let from = source(&folder);
    make(&folder, &admin);
    let said = refused(&["import-frappy", "--from", &from, "--to", &to]);
    assert!(said.contains("rights (readWrite on the database)") && !said.contains(SECRET), "{said}");

    let grant = doc! { "grantRolesToUser": "clerk", "roles": role("readWrite") };
    let revoke = doc! { "revokeRolesFromUser": "clerk", "roles": role("readWrite") };
    tell(&admin, grant.clone());
    let (revoking, granting) = (admin.clone(), admin.clone());
    let forbid = move || tell(&revoking, revoke);
    let (added, said) = check_forbidden(&from, &to, forbid, || tell(&granting, grant));
    assert!(said.contains("Unauthorized"), "{said}");
    check_whole(&from, &to, added);
}

/// Has a MongoDB run a command.
fn tell(url: &str, command: Document) {
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.unwrap();
        client.database("admin").run_command(command).await.unwrap();
    });
}
