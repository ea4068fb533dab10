//! Usage taken over from the predecessor's servers.

use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection};
use mongodb::bson::{Bson, doc};
use quota_servers::Server;
use serde_json::json;

use crate::place::{at_new_place, execute};
use crate::read_target::{SECRET, as_user};
use crate::support::{Folder, both, database, json, name, password, refused, runtime};

/// Imports twice and checks what the predecessor's rows have become.
fn check(from: &str, source: &[&str], secret: &str) {
    let folder = Folder::new();
    let to = folder.url("quota.db");
    let import = [&["import-frappy", "--from", from, "--to", &to][..], source].concat();
    let done = json(&import);
    assert_eq!((&done["read"], &done["added"], &done["skipped"]["count"]), (&json!(6), &json!(3), &json!(3)), "{done}");
    assert_eq!(json(&import)["already_there"], 3);
    let respelled: Vec<String> = source.iter().map(|word| spelled_out(from, word)).collect();
    let again: Vec<&str> = import.iter().take(5).copied().chain(respelled.iter().map(String::as_str)).collect();
    assert_eq!(json(&again)["already_there"], 3, "{again:?}");
    let option = match from.split(':').next() {
        Some("postgres") => "connect_timeout=3",
        Some("mysql") => "prefer_socket=false",
        _ => "retryWrites=false",
    };
    let same = format!("{}?{option}", from.replace("127.0.0.1", "localhost"));
    let said = refused(&[&["import-frappy", "--from", from, "--to", &same][..], source].concat());
    assert!(said.contains("the same database"), "{said}");
    let usage = json(&["usage", "client1", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
    assert_eq!(usage["total"], "1.1", "{usage}");
    let whole = json(&["usage", "7", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
    assert_eq!(whole["total"], "3");
    let absent: Vec<&str> = source.iter().map(|word| if word.starts_with("api_") { "absent" } else { word }).collect();
    let said = refused(&[&["import-frappy", "--from", from, "--to", &to][..], &absent].concat());
    assert!(said.contains("absent") && (secret.is_empty() || !said.contains(secret)), "{said}");
}

/// A table's name behind its schema's.
fn spelled_out(url: &str, word: &str) -> String {
    let schema = match url.split(':').next() {
        Some("postgres") => "public",
        Some("mysql") => url.rsplit('/').next().unwrap(),
        _ => return word.to_owned(),
    };
    if word.starts_with("api_") { format!("{schema}.{word}") } else { word.to_owned() }
}

#[test]
fn a_table_that_may_be_seen_and_not_read_is_told_before_a_store_is_made() {
    let (folder, user) = (Folder::new(), name());
    at_new_place(Server::Postgres, |from| {
        let (_, schema) = from.rsplit_once("%3D").unwrap();
        let made = [
            crate::support::TABLE.to_owned(),
            format!("CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {user}"),
        ];
        execute(from, &made);
        let to = folder.url("quota.db");
        let said = refused(&["import-frappy", "--from", &as_user(from, &user), "--to", &to]);
        assert!(said.contains("SELECT") && !said.contains("cut off"), "{said}");
        assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
        execute(from, &[format!("GRANT SELECT ON api_billing_usage TO {user}")]);
        assert_eq!(json(&["import-frappy", "--from", &as_user(from, &user), "--to", &to])["read"], 0);
        execute(from, &[format!("DROP OWNED BY {user}"), format!("DROP ROLE {user}")]);
    });
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
    assert!(said.contains("refuses the connection: password authentication failed"), "{said}");
}

/// Imports a table and says what was added, and which rows were not for which reason.
fn imported(from: &str, table: &str) -> (serde_json::Value, String) {
    let folder = Folder::new();
    let done = json(&["import-frappy", "--from", from, "--to", &folder.url("quota.db"), "--table", table]);
    (done["added"].clone(), done["skipped"]["reasons"].to_string())
}

fn refused_table(from: &str, table: &str) -> String {
    refused(&["import-frappy", "--from", from, "--to", "sqlite:/absent/quota.db", "--table", table])
}

#[test]
fn values_of_other_types_in_postgresql_are_skipped_or_refused_and_never_guessed() {
    let Some(url) = quota_servers::url(Server::Postgres) else { return };
    let [broken, text, fraction, unkeyed] = [(); 4].map(|()| name());
    runtime().block_on(async {
        let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
        let rows = format!(
            "CREATE TABLE {broken} (id BIGINT PRIMARY KEY, client_id INTEGER, timestamp DOUBLE PRECISION, credits NUMERIC);
             INSERT INTO {broken} VALUES (1, 7, 1709251200, 1), (2, 7, 1709251200.5, 1), (3, 7, 'NaN', 1),
             (4, 7, 1e300, 1), (5, 7, 1709251200, 'NaN'), (6, 7, 1709251200, 1e1000), (7, 7, 1709251200, -1e1000);
             CREATE TABLE {text} (id SERIAL PRIMARY KEY, client_id TEXT, timestamp TEXT, credits FLOAT);
             CREATE TABLE {fraction} (id NUMERIC PRIMARY KEY, client_id TEXT, timestamp INTEGER, credits FLOAT);
             CREATE TABLE {unkeyed} (id INTEGER, client_id TEXT, timestamp INTEGER, credits FLOAT);
             INSERT INTO {unkeyed} VALUES (NULL, 'c', 1709251200, 1), (1, 'c', 1709251200, 1), (1, 'c', 1709251200, 1),
             (2, 'c', 1709251200, 1)"
        );
        connection.batch_execute(&rows).await.unwrap();
    });
    let (added, reasons) = imported(&url, &broken);
    assert_eq!(added, 1, "{reasons}");
    for rows in [r#"["2","3","4"]"#, r#"["5"]"#, r#"["6"]"#, r#"["7"]"#] {
        assert!(reasons.contains(rows), "{rows} in {reasons}");
    }
    let (added, reasons) = imported(&url, &unkeyed);
    assert_eq!(added, 1, "{reasons}");
    assert!(reasons.contains(r#"["NULL"]"#) && reasons.contains(r#"["1","1"]"#), "{reasons}");
    assert!(refused_table(&url, &text).contains("the column timestamp of the source's table"));
    assert!(refused_table(&url, &fraction).contains("is of the type numeric, and whole numbers are read there"));
    let encrypted = format!("{url}?sslmode=require");
    assert!(refused_table(&encrypted, &broken).contains("TLS"), "asked of a server that has none");
}

#[test]
fn values_of_other_types_in_mysql_are_skipped_or_refused_and_never_guessed() {
    let Some(url) = quota_servers::url(Server::Mysql) else { return };
    let [broken, text, fraction, unkeyed] = [(); 4].map(|()| name());
    let statements = [
        format!(
            "CREATE TABLE {broken} (id BIGINT UNSIGNED PRIMARY KEY, client_id INTEGER, timestamp DOUBLE, credits DECIMAL(20,2))"
        ),
        format!(
            "INSERT INTO {broken} VALUES (1, 7, 1709251200, 1), (2, 7, 1709251200.5, 1), (3, 7, 1e300, 1), \
             (4, 7, 1709251200, -1), (18446744073709551615, 7, 1709251200, 1)"
        ),
        format!(
            "CREATE TABLE {text} (id INTEGER PRIMARY KEY, client_id VARCHAR(20), timestamp INTEGER, credits VARCHAR(20))"
        ),
        format!(
            "CREATE TABLE {fraction} (id DECIMAL(10,2) PRIMARY KEY, client_id VARCHAR(20), timestamp INTEGER, credits FLOAT)"
        ),
        format!("CREATE TABLE {unkeyed} (id INTEGER, client_id VARCHAR(20), timestamp INTEGER, credits FLOAT)"),
        format!(
            "INSERT INTO {unkeyed} VALUES (NULL, 'c', 1709251200, 1), (1, 'c', 1709251200, 1), (1, 'c', 1709251200, 1)"
        ),
    ];
    runtime().block_on(async {
        let mut connection = AsyncMysqlConnection::establish(&url).await.unwrap();
        for statement in statements {
            connection.batch_execute(&statement).await.unwrap();
        }
    });
    let (added, reasons) = imported(&url, &broken);
    assert_eq!(added, 1, "{reasons}");
    for rows in [r#"["2","3"]"#, r#"["4"]"#, r#"["18446744073709551615"]"#] {
        assert!(reasons.contains(rows), "{rows} in {reasons}");
    }
    let (added, reasons) = imported(&url, &unkeyed);
    assert_eq!(added, 0, "{reasons}");
    assert!(reasons.contains(r#"["NULL"]"#) && reasons.contains(r#"["1","1"]"#), "{reasons}");
    assert!(refused_table(&url, &text).contains("the column credits of the source's table"));
    assert!(refused_table(&url, &fraction).contains("is of the type decimal, and whole numbers are read there"));
}

/// The lacking columns of a table are named, as is a table that is not there, and no store is made.
fn check_lacking(server: Server) {
    let Some(url) = quota_servers::url(server) else { return };
    let (folder, [lacking, empty]) = (Folder::new(), [(); 2].map(|()| name()));
    let to = folder.url("quota.db");
    let made = [
        format!("CREATE TABLE {lacking} (id INTEGER PRIMARY KEY, client_id VARCHAR(20), credit FLOAT)"),
        format!("INSERT INTO {lacking} VALUES (1, 'c', 1)"),
        format!("CREATE TABLE {empty} (other INTEGER)"),
    ];
    execute(&url, &made);
    for (table, part) in [
        (&lacking, format!("table {lacking} lacks timestamp, credits: it is not the predecessor's")),
        (&empty, format!("table {empty} lacks id, client_id, timestamp, credits")),
        (&name(), "that the user may see: name it with --table".to_owned()),
    ] {
        for tried in [&[][..], &["--dry-run"]] {
            let said =
                refused(&[&["import-frappy", "--from", &url, "--to", &to, "--table", table][..], tried].concat());
            assert!(said.contains(&part) && said.contains(table.as_str()), "{said}");
            assert!(!said.contains(password(&url)), "{said}");
        }
    }
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
    execute(&url, &[format!("DROP TABLE {lacking}"), format!("DROP TABLE {empty}")]);
}

#[test]
fn a_table_in_postgresql_that_lacks_columns_is_refused_with_their_names() {
    check_lacking(Server::Postgres);
}

#[test]
fn a_table_in_mysql_that_lacks_columns_is_refused_with_their_names() {
    check_lacking(Server::Mysql);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_and_named() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let tries = ["postgres", "mysql"].map(|scheme| {
        let url = format!("{scheme}://user:secret@{address}/d");
        std::thread::spawn(move || refused_table(&url, "t"))
    });
    for tried in tries {
        let said = tried.join().unwrap();
        assert!(said.contains(&address) && said.contains("within 10 s") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_redis_store_says_that_it_forgets_ids_unless_it_keeps_entries() {
    let Some(url) = quota_servers::url(Server::Redis) else { return };
    let folder = Folder::new();
    let rows = "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id, timestamp, credits);
         INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)";
    let from = database(&folder, "old.db", rows);
    let quarters = format!("{url}?prefix={}", name());
    let (code, _, said) = both(&["import-frappy", "--from", &from, "--to", &quarters]);
    assert!(code == Some(0) && said.contains("24 hours"), "{said}");
    let prefix = name();
    let to = format!("{url}?prefix={prefix}");
    let (code, told, said) = both(&["import-frappy", "--from", &from, "--to", &to, "--dry-run", "--json"]);
    assert!(code == Some(0) && told.contains(r#""added":1"#) && said.contains("24 hours"), "{told} {said}");
    // It was not made by the dry run, and so it can still be made like this.
    let entries = format!("{url}?detail=entries&prefix={prefix}");
    let (code, _, said) = both(&["import-frappy", "--from", &from, "--to", &entries]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(json(&["usage", "c", "--store", &entries, "--from", "2024-03-01", "--to", "2024-03-02"])["total"], "1");
}

#[test]
fn a_store_that_is_not_there_is_told_and_not_made() {
    for server in [Server::Postgres, Server::Mysql, Server::Redis, Server::Mongodb] {
        let Some(private) = quota_servers::private(server) else { continue };
        for asked in [
            &["usage", "c"][..],
            &["status", "c"],
            &["delete", "c", "--all", "--yes"],
            &["prune", "--before", "2024-01-01"],
        ] {
            for _ in 0..2 {
                let said = refused(&[asked, &["--store", private.url()]].concat());
                assert!(said.contains("there is none"), "{server}: {asked:?}: {said}");
            }
        }
    }
}

#[test]
fn a_client_of_a_database_without_an_encoding_that_is_no_utf8_is_skipped() {
    let Some(url) = quota_servers::url(Server::Postgres) else { return };
    let (folder, database) = (Folder::new(), name());
    let (server, _) = url.rsplit_once('/').unwrap();
    let (from, to) = (format!("{server}/{database}"), folder.url("quota.db"));
    let made =
        format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
    execute(&url, &[made]);
    let bytes = |hex: &str| format!("convert_from('\\x{hex}', 'SQL_ASCII')");
    let rows = format!(
        "INSERT INTO api_billing_usage VALUES (1, {}, 1709251200, 1), (2, {}, 1709251200, 2), (3, 'c', 1709251200, 4)",
        bytes("61ff"),
        bytes("5a6fc3ab")
    );
    execute(&from, &[crate::support::TABLE.to_owned(), rows]);
    let done = json(&["import-frappy", "--from", &from, "--to", &to]);
    assert_eq!((&done["added"], &done["skipped"]["reasons"][0]["rows"]), (&json!(2), &json!(["1"])), "{done}");
    let usage = json(&["usage", "Zo\u{eb}", "--store", &to, "--from", "2024-03-01", "--to", "2024-03-02"]);
    assert_eq!(usage["total"], "2");
    execute(&url, &[format!("DROP DATABASE {database} WITH (FORCE)")]);
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

#[test]
fn a_collection_in_mongodb_whose_documents_lack_fields_is_refused_with_their_names() {
    let Some(url) = quota_servers::url(Server::Mongodb) else { return };
    let (folder, collection) = (Folder::new(), name());
    let to = folder.url("quota.db");
    runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        let others = [doc! { "clientId": "c", "cost": 1 }, doc! { "clientId": "d", "timestamp": 1_709_251_200 }];
        client.database("quota").collection(&collection).insert_many(others).await.unwrap();
    });
    let import = ["import-frappy", "--from", &url, "--database", "quota", "--collection", &collection, "--to", &to];
    for tried in [&[][..], &["--dry-run"]] {
        let said = refused(&[&import[..], tried].concat());
        assert!(said.contains(&format!("no document of the source's collection {collection} has credits:")), "{said}");
    }
    assert!(!std::path::Path::new(&folder.path("quota.db")).exists());
}

#[test]
fn a_dry_run_makes_no_tables() {
    let Some(url) = quota_servers::url(Server::Postgres) else { return };
    let folder = Folder::new();
    let rows = "CREATE TABLE api_billing_usage (id INTEGER PRIMARY KEY, client_id, timestamp, credits);
         INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1)";
    let from = database(&folder, "old.db", rows);
    let schema = name();
    let runtime = runtime();
    let mut connection = runtime.block_on(AsyncPgConnection::establish(&url)).unwrap();
    runtime.block_on(connection.batch_execute(&format!("CREATE SCHEMA {schema}"))).unwrap();
    let to = format!("{url}?options=-csearch_path%3D{schema}");
    let import = ["import-frappy", "--from", &from, "--to", &to];
    assert_eq!(json(&[&import[..], &["--dry-run"]].concat())["added"], 1);
    // It would not go through if there were one table.
    runtime.block_on(connection.batch_execute(&format!("DROP SCHEMA {schema}; CREATE SCHEMA {schema}"))).unwrap();
    assert_eq!(json(&import)["added"], 1);
    let tried = json(&[&import[..], &["--dry-run"]].concat());
    assert_eq!((&tried["added"], &tried["already_there"]), (&json!(0), &json!(1)), "and where they are: {tried}");
}
