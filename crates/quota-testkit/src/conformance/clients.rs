//! Clients are told apart by bytes, and listed.

use quota_core::{ClientId, Window};
use quota_service::{ClientsQuery, UsageStore};

use crate::{Harness, StoreFactory, per_day};

/// Names that a store might take for something else, or for one another.
const NAMES: [&str; 42] = [
    "client",
    "Client",
    "CLIENT",
    "client ",
    " client",
    "client  ",
    "cl\u{131}ent",
    "caf\u{e9}",
    "cafe\u{301}",
    "cafe",
    "stra\u{df}e",
    "strasse",
    "\u{fb01}",
    "fi",
    "1",
    "01",
    "1.0",
    "{client}",
    "client}",
    "{client}:a",
    "{client",
    "client:a",
    "client:",
    "a/b",
    "a\\b",
    "a%b",
    "a_b",
    "a'b",
    "a''b",
    "a\"b",
    "a`b",
    "a;b--",
    "$a",
    "a.b",
    "a*b",
    "a?b",
    "a[b]",
    "\u{1f600}",
    "\u{1f601}",
    "e\u{200d}",
    "null",
    "\u{10ffff}",
];

/// The names of all clients of this case, in the order of a store's pages of two.
pub(super) async fn known<F: StoreFactory>(harness: &Harness<F>) -> Vec<String> {
    let store = harness.store().await;
    let mut names = Vec::new();
    let mut after: Option<ClientId> = None;
    loop {
        let query = ClientsQuery { prefix: harness.namespace().to_owned(), after, limit: 2 };
        let page = store.clients(&query).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last().cloned() else { return names };
        names.extend(page.iter().map(|client| client.as_str()[harness.namespace().len()..].to_owned()));
        after = Some(last);
    }
}

pub async fn clients_that_differ_in_one_byte_are_different<F: StoreFactory>(harness: &Harness<F>) {
    let service = harness.service().await;
    for (number, name) in NAMES.iter().enumerate() {
        let client = harness.subject_of(&service, name);
        client.plan(&[per_day("1000")]).await;
        assert_eq!(client.charge_as("i", &(number + 1).to_string()).await, "allowed", "{name:?}");
    }
    for (number, name) in NAMES.iter().enumerate() {
        let client = harness.subject_of(&service, name);
        assert_eq!(client.used().await, (number + 1).to_string(), "{name:?}");
        assert_eq!(client.total().await, (number + 1).to_string(), "{name:?}");
    }
    let mut sorted = NAMES.map(str::to_owned);
    sorted.sort();
    assert_eq!(known(harness).await, sorted, "ascending by bytes");
    let deleted = harness.subject_of(&service, "client");
    assert_eq!(deleted.service().delete_usage(deleted.client(), Window::ALL).await.unwrap(), 1);
    assert_eq!(harness.subject_of(&service, "Client").used().await, "2");
    assert_eq!(harness.subject_of(&service, "client ").used().await, "4");
}

pub async fn usage_of_any_client_is_mended_as_its_own<F: StoreFactory>(harness: &Harness<F>) {
    let service = harness.service().await;
    let clients = NAMES.map(|name| harness.subject_of(&service, name));
    let is_listed = harness.keeps_entries().await;
    for (number, client) in clients.iter().enumerate() {
        let amount = (number + 1).to_string();
        let entries = [("v", "2024-03-14T12:00:00Z", "100"), ("w", "2024-03-14T13:00:00Z", &amount)];
        assert_eq!(client.backfill(&entries).await.added, 2, "{:?}", client.client());
    }
    let mut sorted = NAMES.map(str::to_owned);
    sorted.sort();
    assert_eq!(known(harness).await, sorted, "without a plan, and ascending by bytes");
    for client in &clients {
        assert!(client.void("v").await, "{:?}", client.client());
        assert!(!client.void("v").await, "{:?}", client.client());
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.total().await, (number + 1).to_string(), "{:?}", client.client());
        assert!(!is_listed || client.ids().await == ["w"], "{:?}", client.client());
    }
    for client in clients.iter().step_by(2) {
        assert_eq!(client.delete("2024-03-14T00:00:00Z", "2024-03-15T00:00:00Z").await, 1, "{:?}", client.client());
    }
    for (number, client) in clients.iter().enumerate() {
        let left = if number % 2 == 0 { 0 } else { number + 1 };
        assert_eq!(client.total().await, left.to_string(), "{:?}", client.client());
    }
}

pub async fn a_client_id_may_have_255_bytes<F: StoreFactory>(harness: &Harness<F>) {
    let room = 255 - harness.namespace().len();
    let longest = "é".repeat(room / 2) + &"x".repeat(room % 2);
    let other = format!("{}y", &longest[..longest.len() - longest.chars().last().unwrap().len_utf8()]);
    let (one, other) = (harness.subject(&longest).await, harness.subject(&other).await);
    assert_eq!(one.client().as_str().len(), 255);
    one.plan(&[per_day("10")]).await;
    other.plan(&[per_day("10")]).await;
    let id = "i".repeat(255);
    assert_eq!(one.charge_as(&id, "4").await, "allowed");
    assert_eq!(one.charge_as(&id, "4").await, "replayed");
    assert_eq!(other.used().await, "0");
}

pub async fn clients_are_listed_by_the_bytes_of_a_prefix<F: StoreFactory>(harness: &Harness<F>) {
    let names = ["p%", "p_", "px", "pX", "p", "P", "p%1", "q", "p\u{10ffff}", "p\u{10ffff}z"];
    for name in names {
        harness.subject(name).await.plan(&[]).await;
    }
    let store = harness.store().await;
    for prefix in ["p", "p%", "p_", "P", "p\u{10ffff}", "r", "p%1", "p%11"] {
        let query = ClientsQuery { prefix: format!("{}{prefix}", harness.namespace()), after: None, limit: 1_000 };
        let found = store.clients(&query).await.unwrap();
        let mut expected: Vec<_> =
            names.iter().filter(|name| name.starts_with(prefix)).map(|name| harness.client(name)).collect();
        expected.sort();
        assert_eq!(found, expected, "{prefix:?}");
    }
    let after =
        ClientsQuery { prefix: format!("{}p", harness.namespace()), after: Some(harness.client("p_")), limit: 2 };
    assert_eq!(store.clients(&after).await.unwrap(), ["px", "p\u{10ffff}"].map(|name| harness.client(name)));
}

pub async fn clients_with_entries_or_a_plan_are_listed_once<F: StoreFactory>(harness: &Harness<F>) {
    harness.subject("planned").await.plan(&[per_day("10")]).await;
    let charged = harness.subject("charged").await;
    charged.plan(&[per_day("10")]).await;
    assert_eq!(charged.charge("1").await, "allowed");
    charged.unplan().await;
    let past = harness.subject("past").await;
    assert_eq!(past.backfill(&[("b", "2024-03-14T12:00:00Z", "1")]).await.added, 1);
    assert_eq!(known(harness).await, ["charged", "past", "planned"]);
}

pub async fn the_store_is_healthy<F: StoreFactory>(harness: &Harness<F>) {
    harness.service().await.health().await.unwrap();
}
