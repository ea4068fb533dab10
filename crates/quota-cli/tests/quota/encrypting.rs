//! Stores and sources behind encrypted connections, whose authority nobody knows.

use std::fs::write;
use std::path::Path;
use std::process::{Command, Output};

use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use quota_servers::{PrivateServer, Server};

use crate::support::{Folder, database};

/// What the command ends with where these authorities are trusted.
fn trusting(authority: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quota"));
    command.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR").args(arguments).output().unwrap()
}

fn succeeds(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it says; nothing was printed.
fn fails(output: Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// Fills a store and asks it, with the authority that signed and with another.
fn ask(server: &PrivateServer) {
    let folder = Folder::new();
    let another = folder.path("another.pem");
    write(&another, quota_servers::another_authority().unwrap()).unwrap();
    let from = database(&folder, "old.db", &ROWS.join(";").replace("api_billing", "api_billing_usage"));
    let fill = ["import-frappy", "--from", &from, "--to", server.url()];
    succeeds(&trusting(&server.authority(), &fill));
    let usage = ["usage", "client1", "--store", server.url(), "--from", "2024-03-01", "--to", "2024-03-02", "--json"];
    let answer = succeeds(&trusting(&server.authority(), &usage));
    assert!(answer.contains(r#""total":"1""#), "{answer}");
    for call in [&fill[..], &usage] {
        let said = fails(trusting(Path::new(&another), call));
        assert!(said.contains("certificate that is not trusted") && said.contains("SSL_CERT_FILE"), "{said}");
        assert!(said.contains("UnknownIssuer"), "{said}");
        let said = fails(trusting(Path::new(&folder.path("absent.pem")), call));
        assert!(said.contains("absent.pem"), "{said}");
    }
}

/// Imports a table that was made, once with the authority that signed and once with another.
fn import(server: &PrivateServer) {
    let folder = Folder::new();
    let another = folder.path("another.pem");
    write(&another, quota_servers::another_authority().unwrap()).unwrap();
    let to = folder.url("quota.db");
    let import = ["import-frappy", "--from", server.url(), "--to", &to, "--table", "api_billing", "--json"];
    let answer = succeeds(&trusting(&server.authority(), &import));
    assert!(answer.contains(r#""added":1"#), "{answer}");
    let said = fails(trusting(Path::new(&another), &import));
    assert!(said.contains("certificate that is not trusted") && said.contains("SSL_CERT_FILE"), "{said}");
}

/// What it says where the file of authorities is empty.
fn told_whom_to_trust(folder: &Folder, arguments: &[&str]) {
    let empty = folder.path("empty.pem");
    write(&empty, "").unwrap();
    let said = fails(trusting(Path::new(&empty), arguments));
    let words = "no encrypted connection: the system names no authority whose certificates are trusted: install \
        ca-certificates, or name a file of certificates (PEM) in SSL_CERT_FILE";
    assert!(said.contains(words), "{arguments:?}: {said}");
}

/// Where nobody listens.
const POSTGRES: &str = "postgres://user@127.0.0.1:1/quota?sslmode=require";
const MYSQL: &str = "mysql://user@127.0.0.1:1/quota?require_ssl=true";
const REDIS: &str = "rediss://127.0.0.1:1";

const ROWS: [&str; 2] = [
    "CREATE TABLE api_billing (id INTEGER PRIMARY KEY, client_id VARCHAR(20), timestamp INTEGER, credits FLOAT)",
    "INSERT INTO api_billing VALUES (1, 'client1', 1709251200, 1)",
];

fn plain(server: &PrivateServer) -> &str {
    server.url().split_once('?').unwrap().0
}

#[tokio::test]
async fn postgresql_is_a_store_and_a_source() {
    let Some(server) = quota_servers::private_encrypted(Server::Postgres) else { return };
    let mut connection = AsyncPgConnection::establish(plain(&server)).await.unwrap();
    for statement in ROWS {
        connection.batch_execute(statement).await.unwrap();
    }
    ask(&server);
    import(&server);
}

#[tokio::test]
async fn mysql_is_a_store_and_a_source() {
    let Some(server) = quota_servers::private_encrypted(Server::Mysql) else { return };
    let mut connection = AsyncMysqlConnection::establish(plain(&server)).await.unwrap();
    for statement in ROWS {
        connection.batch_execute(statement).await.unwrap();
    }
    ask(&server);
    import(&server);
}

#[test]
fn redis_is_a_store() {
    let Some(server) = quota_servers::private_encrypted(Server::Redis) else { return };
    ask(&server);
}

#[test]
fn a_file_without_an_authority_is_told_before_a_connection_is_made() {
    let folder = Folder::new();
    let old = database(&folder, "old.db", &ROWS.join(";").replace("api_billing", "api_billing_usage"));
    let new = folder.url("new.db");
    for url in [POSTGRES, MYSQL, REDIS] {
        let usage = ["usage", "client1", "--store", url, "--from", "2024-03-01", "--to", "2024-03-02"];
        told_whom_to_trust(&folder, &usage);
        told_whom_to_trust(&folder, &["import-frappy", "--from", &old, "--to", url]);
    }
    for url in [POSTGRES, MYSQL] {
        told_whom_to_trust(&folder, &["import-frappy", "--from", url, "--to", &new]);
    }
}
