//! Stores on servers: filled by an import, read, deleted from and pruned.

use quota_servers::Server;
use serde_json::{Value, json};

use crate::place::{at_new_place, execute};
use crate::stored_plans::{days_ago, keep};
use crate::support::{Folder, TABLE, both, database, json, name, refused, told};

/// Usage on two days in March, by two clients, and usage of yesterday.
fn source(folder: &Folder) -> String {
    let yesterday = days_ago(1).millis() / 1_000;
    let rows = format!(
        "INSERT INTO api_billing_usage VALUES (1, 'client1', 1709294400, 1), (2, 'client1', 1709380800, 2),
         (3, 'client1', 1709380801, 0.5), (4, 'client2', 1709384400, 4), (5, 'client1', {yesterday}, 3.25)"
    );
    database(folder, "old.db", &format!("{TABLE} {rows}"))
}

/// What a client used in the first days of March.
fn usage(store: &str, client: &str) -> Value {
    json(&["usage", client, "--store", store, "--from", "2024-03-01", "--to", "2024-03-05"])
}

/// Calls every subcommand on a store that keeps entries and is not there yet.
fn check(store: &str) {
    let folder = Folder::new();
    let from = source(&folder);
    let import = ["import-frappy", "--from", &from, "--to", store];
    let tried = [&import[..], &["--dry-run"]].concat();
    let done = json(&tried);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(5), &json!(0)), "there is no store yet: {done}");
    let said = refused(&["usage", "client1", "--store", store]);
    assert!(said.contains("there is none"), "nothing was made: {said}");
    let done = json(&import);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(5), &json!(0)), "{done}");
    assert_eq!(told(&tried), "5 rows read\n0 could be imported, 5 are there already; nothing was imported\n");
    let done = json(&import);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(0), &json!(5)), "{done}");
    assert_eq!(
        usage(store, "client1"),
        json!({ "days": [
            { "day": "2024-03-01", "credits": "1", "entries": 1 },
            { "day": "2024-03-02", "credits": "2.5", "entries": 2 },
        ], "total": "3.5" })
    );
    assert_eq!(json(&["usage", "client1", "--store", store])["total"], "3.25", "the last 30 days");

    let anchor = days_ago(10);
    keep(store, "client1", json!([{ "period": "DAY", "every": 20, "limit": "10", "anchor": anchor, "tz": "UTC" }]));
    let status = json(&["status", "client1", "--store", store]);
    let quota = &status["quotas"][0];
    assert_eq!((&quota["used"], &quota["remaining"]), (&json!("3.25"), &json!("6.75")), "{status}");
    assert!(told(&["status", "client1", "--store", store]).contains("lowest: 6.75 left of the 20-day quota"));

    let day = ["delete", "client1", "--store", store, "--from", "2024-03-01", "--to", "2024-03-02", "--yes"];
    assert_eq!(json(&day), json!({ "deleted": 1 }));
    assert_eq!(json(&day), json!({ "deleted": 0 }));
    assert_eq!((&usage(store, "client1")["total"], &usage(store, "client2")["total"]), (&json!("2.5"), &json!("4")));
    let done = json(&tried);
    assert_eq!((&done["added"], &done["already_there"]), (&json!(1), &json!(4)), "{done}");

    let prune = ["prune", "--store", store, "--before", "2024-03-03"];
    assert_eq!(json(&prune), json!({ "entries": 3, "ids": 3 }));
    assert_eq!(json(&prune), json!({ "entries": 0, "ids": 0 }));
    assert_eq!((&usage(store, "client1")["total"], &usage(store, "client2")["total"]), (&json!("2.5"), &json!("4")));
    let (code, answer, said) = both(&[&import[..], &["--json"]].concat());
    let done: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, &done["added"], &done["already_there"]), (Some(1), &json!(0), &json!(1)), "{done}");
    assert_eq!((&done["folded"]["count"], &done["conflicts"]["count"]), (&json!(4), &json!(0)), "{done}");
    assert!(said.contains("a pruning folded their time into sums"), "{said}");

    assert_eq!(json(&["delete", "client1", "--store", store, "--all", "--yes"]), json!({ "deleted": 3 }));
    assert_eq!((&usage(store, "client1")["total"], &usage(store, "client2")["total"]), (&json!("0"), &json!("4")));
    let status = json(&["status", "client1", "--store", store]);
    assert_eq!(status["lowest"]["remaining"], "10", "{status}");
}

/// Two stores in one database, told apart by the prefix that the URL names.
fn check_prefix(store: &str) {
    let folder = Folder::new();
    let from = source(&folder);
    let separator = if store.contains('?') { '&' } else { '?' };
    let other = format!("{store}{separator}prefix=billing_");
    assert!(refused(&["usage", "client2", "--store", &other]).contains("look at"), "nothing is made");
    json(&["import-frappy", "--from", &from, "--to", &other]);
    assert!(refused(&["usage", "client2", "--store", store]).contains("look at"), "it has another prefix");
    assert_eq!(usage(&other, "client2")["total"], "4");
    json(&["import-frappy", "--from", &from, "--to", store]);
    assert_eq!(json(&["delete", "client2", "--store", &other, "--all", "--yes"]), json!({ "deleted": 1 }));
    assert_eq!((&usage(&other, "client2")["total"], &usage(store, "client2")["total"]), (&json!("0"), &json!("4")));
    let wrong = format!("{store}{separator}prefix=%3B");
    assert!(refused(&["import-frappy", "--from", &from, "--to", &wrong]).contains("prefix"));
}

#[test]
fn a_prefix_in_the_url_names_the_store_in_a_file() {
    let folder = Folder::new();
    check_prefix(&folder.url("quota.db"));
}

#[test]
fn a_prefix_in_the_url_names_the_store_on_postgresql() {
    at_new_place(Server::Postgres, check_prefix);
}

#[test]
fn a_prefix_in_the_url_names_the_store_on_mysql() {
    at_new_place(Server::Mysql, check_prefix);
}

#[test]
fn a_prefix_in_the_url_names_the_store_on_mongodb() {
    at_new_place(Server::Mongodb, check_prefix);
}

/// Longer than a request may take, and not longer than a statement.
#[test]
fn a_deletion_that_takes_a_server_long_is_waited_for() {
    let folder = Folder::new();
    let from = source(&folder);
    at_new_place(Server::Postgres, |store| {
        json(&["import-frappy", "--from", &from, "--to", store]);
        let (_, schema) = store.rsplit_once("%3D").unwrap();
        let slow = [
            format!(
                "CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END'"
            ),
            format!("CREATE TRIGGER slow AFTER DELETE ON {schema}.quota_entries EXECUTE FUNCTION {schema}.slow()"),
        ];
        execute(store, &slow);
        assert_eq!(json(&["delete", "client2", "--store", store, "--all", "--yes"]), json!({ "deleted": 1 }));
    });
}

#[test]
fn every_subcommand_works_on_postgresql() {
    at_new_place(Server::Postgres, check);
}

#[test]
fn every_subcommand_works_on_mysql() {
    at_new_place(Server::Mysql, check);
}

#[test]
fn every_subcommand_works_on_redis() {
    at_new_place(Server::Redis, check);
}

#[test]
fn every_subcommand_works_on_a_server_that_is_called_a_valkey() {
    at_new_place(Server::Redis, |store| {
        let called = store.replacen("redis:", "valkey:", 1);
        assert!(called.starts_with("valkey://"), "{called}");
        assert!(refused(&["usage", "client1", "--store", &called]).contains("there is none"));
        check(&called);
        // They are two names of one store.
        assert_eq!(usage(store, "client2")["total"], "4");
    });
}

#[test]
fn every_subcommand_works_on_a_redis_cluster() {
    at_new_place(Server::RedisCluster, check);
}

#[test]
fn every_subcommand_works_on_mongodb() {
    at_new_place(Server::Mongodb, check);
}

#[test]
fn a_redis_store_that_keeps_quarters_is_read_deleted_from_and_pruned() {
    let Some(url) = quota_servers::url(Server::Redis) else { return };
    let (folder, store) = (Folder::new(), format!("{url}?prefix={}", name()));
    let from = source(&folder);
    let (code, answer, said) = both(&["import-frappy", "--from", &from, "--to", &store]);
    assert_eq!(code, Some(0), "{said}");
    assert!(answer.contains("5 entries added, 0 were there already"), "{answer}");
    let tried = ["import-frappy", "--from", &from, "--to", &store, "--dry-run"];
    let (_, answer, _) = both(&tried);
    assert!(answer.contains("5 could be imported; nothing was imported; this store keeps no entries"), "{answer}");
    let (_, answer, _) = both(&[&tried[..], &["--json"]].concat());
    assert!(answer.contains(r#""already_there":null"#), "{answer}");
    let day = ["delete", "client1", "--store", &store, "--from", "2024-03-01", "--to", "2024-03-02", "--yes"];
    assert_eq!(json(&day), json!({ "deleted": 1 }));
    // Its entries are sums from the beginning, and its ids were written today.
    assert_eq!(json(&["prune", "--store", &store, "--before", "2024-03-03"]), json!({ "entries": 0, "ids": 0 }));
    assert_eq!(
        usage(&store, "client1"),
        json!({ "days": [{ "day": "2024-03-02", "credits": "2.5", "entries": 2 }], "total": "2.5" })
    );
    assert_eq!(usage(&store, "client2")["total"], "4");
}
