//! Usage taken over from the predecessor's servers.

use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use mongodb::bson::{Bson, doc};
use quota_servers::Server;
use serde_json::json;

use crate::support::{Folder, json, refused};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A name that no other test's table has.
fn name() -> String {
    format!("api_billing_{:08x}", fastrand::u32(..))
}

/// Imports twice and checks what the predecessor's rows have become.
fn check(from: &str, source: &[&str], secret: &str) {
    let folder = Folder::new();
    let to = folder.url("quota.db");
    let import = [&["import-frappy", "--from", from, "--to", &to][..], source].concat();
    let done = json(&import);
    assert_eq!((&done["read"], &done["added"], &done["skipped"]["count"]), (&json!(6), &json!(3), &json!(3)), "{done}");
    assert_eq!(json(&import)["already_there"], 3);
    let usage = json(&["usage", "client1", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
    assert_eq!(usage["total"], "1.1", "{usage}");
    let whole = json(&["usage", "7", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
    assert_eq!(whole["total"], "3");
    let absent: Vec<&str> = source.iter().map(|word| if word.starts_with("api_") { "absent" } else { word }).collect();
    let said = refused(&[&["import-frappy", "--from", from, "--to", &to][..], &absent].concat());
    assert!(said.contains("absent") && (secret.is_empty() || !said.contains(secret)), "{said}");
}

fn password(url: &str) -> &str {
    url.split(['@', '/', ':']).nth(4).unwrap_or_default()
}

#[test]
fn a_table_in_postgresql_is_imported() {
    let Some(url) = quota_servers::url(Server::Postgres) else { return };
    let table = name();
    runtime().block_on(async {
        let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
        let rows = format!(
            "CREATE TABLE {table} (id SERIAL PRIMARY KEY, client_id VARCHAR, timestamp INTEGER, credits FLOAT);
             INSERT INTO {table} (client_id, timestamp, credits) VALUES ('client1', 1709251200, 1),
             ('client1', 1709251201, 0.1), ('7', 1709251200, 3), ('client1', 1709251200, 'NaN'),
             ('client1', 1709251200, 'Infinity'), (NULL, 1709251200, 1)"
        );
        connection.batch_execute(&rows).await.unwrap();
    });
    check(&url, &["--table", &table], password(&url));
    let wrong = url.replace(password(&url), "wrong-password");
    let said = refused(&["import-frappy", "--from", &wrong, "--to", "sqlite:/absent/quota.db", "--table", &table]);
    assert!(said.contains("cannot be connected to") && !said.contains("wrong-password"), "{said}");
}

#[test]
fn a_table_in_mysql_is_imported() {
    let Some(url) = quota_servers::url(Server::Mysql) else { return };
    let table = name();
    runtime().block_on(async {
        let mut connection = AsyncMysqlConnection::establish(&url).await.unwrap();
        let rows = [
            format!(
                "CREATE TABLE {table} (id INTEGER AUTO_INCREMENT PRIMARY KEY, client_id VARCHAR(255), \
                 timestamp INTEGER, credits FLOAT)"
            ),
            format!(
                "INSERT INTO {table} (client_id, timestamp, credits) VALUES ('client1', 1709251200, 1), \
                 ('client1', 1709251201, 0.1), ('7', 1709251200, 3), ('client1', 1709251200, -1), \
                 ('client1', 1709251200, NULL), (NULL, 1709251200, 1)"
            ),
        ];
        for statement in rows {
            connection.batch_execute(&statement).await.unwrap();
        }
    });
    check(&url, &["--table", &table], password(&url));
}

#[test]
fn a_collection_in_mongodb_is_imported() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let collection = name();
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        let usage = |client: Bson, timestamp: Bson, credits: Bson| {
            doc! {
                "timestamp": timestamp, "credits": credits, "clientId": client, "dataModelVersion": 1,
            }
        };
        let day: Bson = 1_709_251_200.into();
        let rows = [
            usage("client1".into(), day.clone(), 1.0.into()),
            usage("client1".into(), 1_709_251_201_i64.into(), 0.1.into()),
            usage(7.into(), day.clone(), 3.into()),
            usage("client1".into(), day.clone(), f64::NAN.into()),
            usage("client1".into(), day.clone(), Bson::Null),
            usage(Bson::Null, day, 1.0.into()),
        ];
        client.database("quota").collection(&collection).insert_many(rows).await.unwrap();
    });
    check(&url, &["--database", "quota", "--collection", &collection], "");
}
