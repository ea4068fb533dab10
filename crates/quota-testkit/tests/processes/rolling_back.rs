//! A primary that loses its place: what it alone had is gone with it.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::{Collection, Database};
use quota_core::{ClientId, Credits, OperationId, Window};
use quota_service::{AnyStore, Charge, PlanRegistry, QuotaService};
use quota_testkit::Cut;

use crate::cutting::Network;
use crate::ground::{Ground, agreed, plan};

/// What somebody reads of an account, of a commit that the next primary never heard of, is written into no ledger: its entries
/// would be nobody's.
pub(crate) fn forgotten(ground: &mut Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let network = Network::before(ground).await;
        for (number, asks) in [Asks::Total, Asks::Charge].into_iter().enumerate() {
            let client = ground.client(number);
            let (before, found) = Documents::around_a_charge(ground, &client).await;
            let reader = service(&network.url).await;
            reader.status(&ground.client(9)).await.unwrap();
            network.plan(Some(Cut::HeldAnswer(0)));
            let reading = async {
                match asks {
                    Asks::Total => assert_eq!(reader.total_usage(&client, Window::ALL).await.unwrap(), Credits::ONE),
                    Asks::Charge => charge(&reader, &client, "j").await,
                }
            };
            let losing = async {
                while !network.has_cut() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // So that the server has answered.
                tokio::time::sleep(Duration::from_millis(200)).await;
                before.put_account_back(&found).await;
                network.plan(None);
            };
            tokio::join!(reading, losing);
            let entries = agreed(&service(ground.url()).await, &client).await;
            assert_eq!(entries, if asks == Asks::Charge { 2 } else { 1 }, "{asks:?}");
        }
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Total,
    Charge,
}

async fn service(url: &str) -> QuotaService<AnyStore> {
    let store = quota_stores::connect(url).await.unwrap();
    QuotaService::builder(store).with_registry(PlanRegistry::new().with_default(plan("unlimited"))).build()
}

async fn charge(service: &QuotaService<AnyStore>, client: &ClientId, id: &str) {
    let charge = Charge::new(Credits::ONE).with_id(OperationId::new(id).unwrap());
    assert!(service.charge_with(client, charge).await.unwrap().is_allowed());
}

/// What is stored of a client.
struct Documents {
    database: Database,
    account: Document,
    ledger: Vec<(&'static str, Vec<Document>)>,
}

impl Documents {
    /// As it is after a charge; and the account after another, which does not stand in the ledger, since its process died.
    async fn around_a_charge(ground: &Ground, client: &ClientId) -> (Self, Document) {
        let other = service(ground.url()).await;
        charge(&other, client, "h").await;
        // What it left is written into the ledger.
        assert_eq!(other.total_usage(client, Window::ALL).await.unwrap(), Credits::ONE);
        let before = Self::of(ground, client).await;
        charge(&other, client, "i").await;
        let found = Self::of(ground, client).await.account;
        // It is written behind the answer.
        let entries = collection(&before.database, "entries");
        while entries.count_documents(doc! { "c": client.as_str() }).await.unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        before.put_ledger_back(client).await;
        (before, found)
    }

    async fn of(ground: &Ground, client: &ClientId) -> Self {
        let database = mongodb::Client::with_uri_str(ground.url()).await.unwrap().default_database().unwrap();
        let account =
            collection(&database, "accounts").find_one(doc! { "_id": client.as_str() }).await.unwrap().unwrap();
        let mut ledger = Vec::new();
        for name in ["entries", "quarters"] {
            let found = collection(&database, name).find(doc! { "c": client.as_str() }).await.unwrap();
            ledger.push((name, futures_util::TryStreamExt::try_collect(found).await.unwrap()));
        }
        Self { database, account, ledger }
    }

    async fn put_ledger_back(&self, client: &ClientId) {
        for (name, documents) in &self.ledger {
            let collection = collection(&self.database, name);
            collection.delete_many(doc! { "c": client.as_str() }).await.unwrap();
            collection.insert_many(documents).await.unwrap();
        }
    }

    /// Where it still is as it was found.
    async fn put_account_back(&self, found: &Document) {
        let same = doc! { "_id": found.get_str("_id").unwrap(), "v": found.get_str("v").unwrap() };
        let put = collection(&self.database, "accounts").replace_one(same, &self.account).await.unwrap();
        assert_eq!(put.matched_count, 1);
    }
}

fn collection(database: &Database, name: &str) -> Collection<Document> {
    database.collection(&format!("quota_{name}"))
}
