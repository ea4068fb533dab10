//! PostgreSQL and MariaDB.

use std::path::Path;

use quota_servers::{PrivateServer, Server, private};

use crate::client::{Answer, mariadb, only, psql};

type Client = fn(&str, &str) -> Answer;

/// A committed row is there after the kill, a wrong password opens nothing.
fn keeps_rows_over_a_kill(server: &mut PrivateServer, client: Client) {
    client(server.url(), "CREATE TABLE facts (fact integer)").unwrap();
    for fact in 0..3 {
        client(server.url(), &format!("INSERT INTO facts VALUES ({fact})")).unwrap();
        server.kill();
        assert!(client(server.url(), "SELECT 1").is_err());
        server.restart().unwrap();
    }
    assert_eq!(client(server.url(), "SELECT count(*) FROM facts").unwrap(), "3");
    let (account, place) = server.url().rsplit_once('@').unwrap();
    let wrong = client(&format!("{account}x@{place}"), "SELECT 1").unwrap_err();
    assert!(wrong.contains("password authentication failed") || wrong.contains("Access denied"), "{wrong}");
}

#[test]
fn postgres_keeps_what_it_committed_over_a_kill() {
    let Some(mut server) = private(Server::Postgres) else { return };
    keeps_rows_over_a_kill(&mut server, psql);
}

#[test]
fn mariadb_keeps_what_it_committed_over_a_kill() {
    let Some(mut server) = private(Server::Mysql) else { return };
    keeps_rows_over_a_kill(&mut server, mariadb);
}

#[test]
fn the_users_may_make_databases() {
    if let Some(server) = private(Server::Postgres) {
        psql(server.url(), "CREATE DATABASE another").unwrap();
        assert_eq!(psql(server.url(), "SHOW fsync").unwrap(), "on");
    }
    if let Some(server) = private(Server::Mysql) {
        mariadb(server.url(), "CREATE DATABASE another").unwrap();
        assert_eq!(mariadb(server.url(), "SELECT @@innodb_flush_log_at_trx_commit").unwrap(), "1");
    }
}

/// What looks like a table for the moment of another server, where all of a machine's servers keep theirs by default.
#[test]
fn a_mariadb_that_starts_deletes_nothing_of_another() {
    let of_another = std::env::temp_dir().join(format!("#sql-temptable-{}-0-0.MAI", std::process::id()));
    std::fs::write(&of_another, "").unwrap();
    let server = private(Server::Mysql);
    let is_there = of_another.exists();
    let _ = std::fs::remove_file(&of_another);
    assert!(is_there);
    let Some(server) = server else { return };
    let place = mariadb(server.url(), "SELECT @@tmpdir").unwrap();
    assert!(Path::new(&place).starts_with(only(&server).folder()), "{place}");
}

#[test]
fn a_paused_postgres_is_silent_until_it_is_resumed() {
    let Some(server) = private(Server::Postgres) else { return };
    server.pause();
    assert!(psql(server.url(), "SELECT 1").is_err());
    server.resume();
    assert_eq!(psql(server.url(), "SELECT 1").unwrap(), "1");
}

#[test]
fn a_killed_postgres_leaves_no_process_behind() {
    let Some(mut server) = private(Server::Postgres) else { return };
    let pid = only(&server).pid().unwrap();
    // Its checkpointer and others.
    assert!(processes_below(pid) > 2);
    let folder = only(&server).folder().to_owned();
    server.kill();
    assert_eq!(processes_in(&folder), 0);
    drop(server);
    assert!(!folder.exists());
}

fn processes_below(parent: u32) -> usize {
    processes(|folder| {
        let text = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let words = text.rsplit_once(')').map(|(_, words)| words.to_owned()).unwrap_or_default();
        words.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    })
}

fn processes_in(place: &Path) -> usize {
    processes(|folder| std::fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd.starts_with(place)))
}

fn processes(is_counted: impl Fn(&Path) -> bool) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| is_counted(path)).count()
}
