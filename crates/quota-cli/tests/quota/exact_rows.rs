//! Credits that no double holds.

use mongodb::bson::{Bson, Decimal128, doc};
use quota_servers::Server;
use serde_json::json;

use crate::place::execute;
use crate::support::{Folder, json, name, refused, runtime};

/// Clients, their credits in the source, and what they come to.
const CREDITS: [(&str, &str, &str); 5] = [
    ("great", "1234567890123.456789", "1234567890123.456789"),
    ("greatest", "9223372036854.775807", "9223372036854.775807"),
    ("even", "0.1234565", "0.123456"),
    ("odd", "0.1234575", "0.123458"),
    ("above", "0.1234565000001", "0.123457"),
];

/// Imports them twice, of which the second time adds nothing.
fn check(from: &str, source: &[&str]) {
    let folder = Folder::new();
    let to = folder.url("quota.db");
    let import = [&["import-frappy", "--from", from, "--to", &to][..], source].concat();
    assert_eq!(json(&import)["added"], CREDITS.len());
    for (client, _, credits) in CREDITS {
        let usage = json(&["usage", client, "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
        assert_eq!(usage["total"], credits, "{client}");
    }
    let again = json(&import);
    assert_eq!((&again["added"], &again["already_there"]), (&json!(0), &json!(CREDITS.len())), "{again}");
}

/// A table whose credits are of this type.
fn check_table(server: Server, kind: &str) {
    let Some(url) = quota_servers::url(server) else { return };
    let table = name();
    let columns = format!("id INTEGER PRIMARY KEY, client_id VARCHAR(20), timestamp INTEGER, credits {kind}");
    let row = |(id, (client, credits, _)): (usize, &(&str, &str, &str))| {
        format!("INSERT INTO {table} VALUES ({id}, '{client}', 1709251200, {credits})")
    };
    let rows = CREDITS.iter().enumerate().map(row);
    execute(&url, &std::iter::once(format!("CREATE TABLE {table} ({columns})")).chain(rows).collect::<Vec<_>>());
    check(&url, &["--table", &table]);
    execute(&url, &[format!("DROP TABLE {table}")]);
}

#[test]
fn decimals_in_postgresql_are_imported_to_the_last_place() {
    check_table(Server::Postgres, "NUMERIC");
}

#[test]
fn decimals_in_mysql_are_imported_to_the_last_place() {
    check_table(Server::Mysql, "DECIMAL(30, 15)");
}

#[test]
fn decimals_in_mongodb_are_imported_to_the_last_place() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let collection = name();
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        let rows = CREDITS.iter().map(|(client, credits, _)| {
            let credits = Bson::Decimal128(credits.parse::<Decimal128>().unwrap());
            doc! { "clientId": client, "timestamp": 1_709_251_200, "credits": credits }
        });
        client.database("quota").collection(&collection).insert_many(rows.collect::<Vec<_>>()).await.unwrap();
    });
    check(&url, &["--database", "quota", "--collection", &collection]);
}

#[test]
fn a_view_in_mongodb_without_keys_is_refused_and_one_with_them_is_imported() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let (folder, [collection, bare, keyed]) = (Folder::new(), [(); 3].map(|()| name()));
    let to = folder.url("quota.db");
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        let database = client.database("quota");
        let row = || doc! { "who": "c", "timestamp": 1_709_251_200, "credits": 1 };
        database.collection(&collection).insert_many([row(), row()]).await.unwrap();
        for (view, key) in [(&bare, 0), (&keyed, 1)] {
            let fields = doc! { "_id": key, "clientId": "$who", "timestamp": 1, "credits": 1 };
            let made = doc! { "create": view, "viewOn": &collection, "pipeline": [{ "$project": fields }] };
            database.run_command(made).await.unwrap();
        }
    });
    let import = ["import-frappy", "--from", &url, "--database", "quota", "--to", &to, "--collection"];
    for tried in [&[][..], &["--dry-run"]] {
        let said = refused(&[&import[..], &[&bare], tried].concat());
        assert!(
            said.contains(&format!("collection {bare} have no _id")) && said.contains("a view that keeps it"),
            "{said}"
        );
    }
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
    let done = json(&[&import[..], &[&keyed]].concat());
    assert_eq!((&done["added"], &done["already_there"]), (&json!(2), &json!(0)), "equal rows are two: {done}");
}
