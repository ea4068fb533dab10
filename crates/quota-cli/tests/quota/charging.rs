//! An import beside charges.

use std::process::{Command, Stdio};
use std::time::Duration;

use quota_core::{ClientId, Credits, Window};
use quota_servers::Server;
use quota_service::{QuotaService, ServiceError};
use serde_json::json;

use crate::many_rows::{CLIENTS, ROWS, make, source};
use crate::place::at_new_place;
use crate::stored_plans::{days_ago, keep};
use crate::support::{Folder, json, runtime};

/// As long as a slow machine may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Charges a client of the source while another process imports its rows, and once more when that has ended.
fn check(folder: &Folder, to: &str) {
    let from = source(folder);
    make(folder, to);
    let unlimited = json!([{ "period": "YEAR", "every": 1, "limit": "unlimited", "anchor": days_ago(9), "tz": "UTC" }]);
    keep(to, "client07", unlimited);
    let client = ClientId::new("client07").unwrap();
    runtime().block_on(async {
        let store = quota_stores::connect(to).await.unwrap();
        let service = QuotaService::builder(store).with_stored_plans().with_deadline(DEADLINE).build();
        let mut import = Command::new(env!("CARGO_BIN_EXE_quota"))
            .args(["import-frappy", "--from", &from, "--to", to])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut charged = 0;
        let ended = loop {
            let ended = import.try_wait().unwrap();
            match service.charge(&client, Credits::ONE).await {
                Ok(decision) => {
                    assert!(decision.is_allowed(), "{decision:?}");
                    charged += 1;
                }
                // The import was quicker each time that it was tried.
                Err(ServiceError::NotDone { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            if let Some(ended) = ended {
                break ended;
            }
        };
        assert!(ended.success() && charged > 0, "{ended}, {charged} charges");
        let used = service.total_usage(&client, Window::ALL).await.unwrap();
        assert_eq!(used.to_string(), (ROWS / CLIENTS + charged).to_string(), "{charged} charges");
        service.shutdown().await;
    });
    let again = json(&["import-frappy", "--from", &from, "--to", to]);
    assert_eq!((&again["added"], &again["already_there"]), (&json!(0), &json!(ROWS)), "{again}");
}

#[test]
fn charges_beside_an_import_are_counted_with_it_in_sqlite() {
    let folder = Folder::new();
    check(&folder, &folder.url("quota.db"));
}

#[test]
fn charges_beside_an_import_are_counted_with_it_in_postgresql() {
    at_new_place(Server::Postgres, |to| check(&Folder::new(), to));
}

#[test]
fn charges_beside_an_import_are_counted_with_it_in_mysql() {
    at_new_place(Server::Mysql, |to| check(&Folder::new(), to));
}

#[test]
fn charges_beside_an_import_are_counted_with_it_in_redis() {
    at_new_place(Server::Redis, |to| check(&Folder::new(), to));
}

#[test]
fn charges_beside_an_import_are_counted_with_it_in_mongodb() {
    at_new_place(Server::Mongodb, |to| check(&Folder::new(), to));
}
