//! An import that is repeated into a store with quarters, which forgets ids after a day.

use std::time::Duration;

use quota_core::{ClientId, Credits, Instant, Label, OperationId, PastEntry, Window};
use quota_servers::{PrivateServer, Server};
use quota_service::{Clock, QuotaService, SystemClock};
use serde_json::{Value, json};

use crate::many_rows::{CLIENTS, ROWS, source};
use crate::relay::{Relay, server_of};
use crate::support::{Folder, TABLE, both, database, json, name, quota, refused, runtime};

/// The client that stands for the predecessor's table.
const MARK: &str = "frappy:api_billing_usage";

/// Has the first import have begun at another time.
fn began(store: &str, at: Instant) {
    runtime().block_on(async {
        let service = QuotaService::new(quota_stores::connect(store).await.unwrap());
        let client = ClientId::new(MARK).unwrap();
        assert_eq!(service.delete_usage(&client, Window::ALL).await.unwrap(), 1, "the import's own");
        let (id, label) = (OperationId::new("began").unwrap(), Some(Label::new("import-frappy").unwrap()));
        let entry = PastEntry { id, at, credits: Credits::ZERO, label };
        assert_eq!(service.backfill(&client, vec![entry]).await.unwrap().added, 1);
        service.shutdown().await;
    });
}

fn hours_ago(hours: u64) -> Instant {
    SystemClock.now().saturating_sub(Duration::from_secs(hours * 3_600))
}

/// As it is two days later: no id of this client is known any more.
fn two_days_pass(redis: &PrivateServer, client: &str) {
    put_ids_into_keys(redis.url(), client);
    let forget = "for _, key in ipairs(redis.call('KEYS', 'quota:{*}:i:*')) do redis.call('DEL', key) end return 'OK'";
    assert_eq!(redis.nodes()[0].ask_redis(&format!("EVAL \"{forget}\" 0")).unwrap(), "OK");
    began(redis.url(), hours_ago(48));
}

/// The newest stand with the account until something is taken out, be it nothing.
fn put_ids_into_keys(store: &str, client: &str) {
    runtime().block_on(async {
        let service = QuotaService::new(quota_stores::connect(store).await.unwrap());
        let (client, nobodys) = (ClientId::new(client).unwrap(), OperationId::new("nobody's").unwrap());
        assert!(!service.void(&client, &nobodys).await.unwrap());
        service.shutdown().await;
    });
}

/// What it did, where it succeeds and says something beside.
fn noted(arguments: &[&str]) -> (Value, String) {
    let (code, answer, said) = both(&[arguments, &["--json"]].concat());
    assert_eq!(code, Some(0), "{said}");
    (serde_json::from_str(&answer).unwrap(), said)
}

fn counts(done: &Value) -> [i64; 2] {
    ["added", "already_there"].map(|count| done[count].as_i64().unwrap())
}

fn used(store: &str, client: &str) -> Value {
    json(&["usage", client, "--store", store, "--from", "2024-03-01", "--to", "2024-03-03"])["total"].clone()
}

#[test]
fn rows_that_are_forgotten_are_not_counted_again_unless_that_is_asked_for() {
    let Some(redis) = quota_servers::private(Server::Redis) else { return };
    let (folder, to) = (Folder::new(), redis.url());
    let rows = "INSERT INTO api_billing_usage VALUES (1, 'c', 1709251200, 1), (2, 'c', 1709251201, 2.5)";
    let from = database(&folder, "old.db", &format!("{TABLE} {rows}"));
    let import = ["import-frappy", "--from", &from, "--to", to];
    let again = [&import[..], &["--again"]].concat();
    assert_eq!(counts(&noted(&import).0), [2, 0]);
    assert_eq!(counts(&noted(&import).0), [0, 2], "they are still known");
    let mark = json(&["usage", MARK, "--store", to, "--by-label"]);
    assert_eq!(
        (&mark["total"], &mark["days"][0]["entries"]),
        (&json!("0"), &json!(1)),
        "the first one's alone: {mark}"
    );

    two_days_pass(&redis, "c");
    for tried in [&[][..], &["--dry-run"]] {
        let said = refused(&[&import[..], tried].concat());
        assert!(said.contains("would count twice") && said.contains(MARK) && said.contains("--again"), "{said}");
    }
    assert_eq!(used(to, "c"), "3.5");
    let other = [&import[..], &["--source-name", "other"]].concat();
    assert_eq!(counts(&noted(&other).0), [2, 0], "another source is another matter");
    assert_eq!(used(to, "c"), "7");

    let (done, said) = noted(&again);
    assert_eq!((counts(&done), used(to, "c")), ([2, 0], json!("10.5")));
    assert!(said.contains("count again"), "{said}");
    assert_eq!(counts(&noted(&again).0), [0, 2], "one that was cut off goes on as well");
    assert!(refused(&import).contains("--again"));
}

#[test]
fn an_import_into_quarters_that_was_cut_off_goes_on_while_its_rows_are_known() {
    let Some(url) = quota_servers::url(Server::Redis) else { return };
    let (folder, to) = (Folder::new(), format!("{url}?prefix={}", name()));
    let from = source(&folder);
    let place = server_of(&to);
    // Made before, so that it is lost in the midst of the rows.
    assert!(quota(&["import-frappy", "--from", &database(&folder, "none.db", TABLE), "--to", &to]).status.success());
    let relay = Relay::losing(place, 1_000_000);
    let (code, answer, said) =
        both(&["import-frappy", "--from", &from, "--to", &relay.in_place_of(place, &to), "--json"]);
    let [added, _] = counts(&serde_json::from_str(&answer).unwrap());
    assert!(code == Some(1) && relay.is_broken() && added > 0 && added < ROWS, "{answer} {said}");
    assert!(said.contains("the import was cut off; what was added stays, and the same command goes on: "), "{said}");

    began(&to, hours_ago(22));
    let import = ["import-frappy", "--from", &from, "--to", &to];
    let [rest, there] = counts(&noted(&import).0);
    assert!(there >= added && rest + there == ROWS, "{added} were added, {there} are there, {rest} came after");
    for client in 0..CLIENTS {
        assert_eq!(used(&to, &format!("client{client:02}")), "1500", "client{client:02}");
    }
}

#[test]
fn an_import_of_nothing_leaves_no_mark() {
    let Some(url) = quota_servers::url(Server::Redis) else { return };
    let (folder, to) = (Folder::new(), format!("{url}?prefix={}", name()));
    let from = database(&folder, "old.db", TABLE);
    noted(&["import-frappy", "--from", &from, "--to", &to]);
    assert_eq!(json(&["usage", MARK, "--store", &to]), json!({ "days": [], "total": "0" }));
}
