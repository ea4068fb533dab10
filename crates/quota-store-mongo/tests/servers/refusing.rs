//! Servers that know who asks, and servers that write nothing.

use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::{Client, Database};
use quota_core::Window;
use quota_servers::PrivateServer;
use quota_service::{StoreError, UsageStore};
use quota_store_mongo::{ConnectError, MongoStore};

use crate::collections::{Collections, run_alone, runtime};
use crate::escrow::open_escrow;
use crate::requests::{allowed, charge, charge_as, client, credits, is_not_done, one, request, shown, used};

const PASSWORD: &str = "rootsecret";

/// A server that answers nobody but whom it knows, and fails when it is told to.
struct Guarded {
    server: PrivateServer,
    /// As `root`, who may do everything.
    admin: Database,
}

/// A test on such a server, unless it is not installed.
fn run_guarded(test: impl AsyncFnOnce(&Guarded)) {
    let Some(server) = quota_servers::private_guarded() else { return };
    runtime().block_on(async {
        let root = doc! { "createUser": "root", "pwd": PASSWORD, "roles": ["root"] };
        admin(server.url()).await.run_command(root).await.unwrap();
        let admin = admin(&url_of(&server, "root", PASSWORD)).await;
        test(&Guarded { server, admin }).await;
    });
}

async fn admin(url: &str) -> Database {
    Client::with_uri_str(url).await.unwrap().database("admin")
}

fn url_of(server: &PrivateServer, user: &str, password: &str) -> String {
    let address = server.url().strip_prefix("mongodb://").unwrap();
    format!("mongodb://{user}:{password}@{address}?authSource=admin")
}

impl Guarded {
    fn url(&self, user: &str, password: &str) -> String {
        url_of(&self.server, user, password)
    }

    async fn tell(&self, command: Document) {
        self.admin.run_command(command).await.unwrap();
    }

    /// From now on commands fail so.
    async fn fail(&self, how: Document) {
        self.tell(doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": how }).await;
    }

    async fn heal(&self) {
        self.tell(doc! { "configureFailPoint": "failCommand", "mode": "off" }).await;
    }

    async fn store(&self) -> MongoStore {
        MongoStore::connect(self.url("root", PASSWORD)).await.unwrap()
    }

    async fn refused(&self, url: &str) -> ConnectError {
        let error = MongoStore::connect(url).await.unwrap_err();
        assert!(!shown(&error).contains("secret"), "{}", shown(&error));
        error
    }
}

#[test]
fn a_stranger_is_refused_and_the_password_never_shown() {
    run_guarded(async |guarded| {
        let strangers = [
            guarded.server.url().to_owned(),
            guarded.url("root", "hunter2secret"),
            guarded.url("nobody", "hunter2secret"),
        ];
        for url in strangers {
            let error = guarded.refused(&url).await;
            assert!(matches!(error, ConnectError::NotAllowed(_)), "{error:?}");
            assert!(error.to_string().contains("check user, password, authSource and rights"), "{error}");
        }
        let store = guarded.store().await;
        assert!(!format!("{store:?}").contains("secret"), "{store:?}");
        assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
    });
}

#[test]
fn a_user_without_the_rights_is_refused_and_charges_with_them() {
    run_guarded(async |guarded| {
        let role = |name: &str| vec![doc! { "role": name, "db": "quota" }];
        guarded.tell(doc! { "createUser": "clerk", "pwd": "clerksecret", "roles": role("read") }).await;
        let url = guarded.url("clerk", "clerksecret");
        let error = guarded.refused(&url).await;
        assert!(matches!(error, ConnectError::NotAllowed(_)), "{error:?}");
        assert!(error.to_string().contains("readWrite on the database"), "{error}");
        // What that names is enough.
        guarded.tell(doc! { "grantRolesToUser": "clerk", "roles": role("readWrite") }).await;
        let store = MongoStore::connect(&url).await.unwrap();
        assert!(allowed(&one(&store, request("a", charge_as("1", "1"), "10")).await));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
        guarded.tell(doc! { "revokeRolesFromUser": "clerk", "roles": role("readWrite") }).await;
        for name in ["a", "b"] {
            let refused = one(&store, request(name, charge_as("2", "1"), "10")).await;
            assert!(is_not_done(&refused), "{refused:?}");
        }
        assert!(store.health().await.is_err(), "it cannot charge");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"), "it may read");
        guarded.tell(doc! { "grantRolesToUser": "clerk", "roles": role("readWrite") }).await;
        assert!(allowed(&one(&store, request("a", charge_as("2", "1"), "10")).await));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("2"));
    });
}

#[test]
fn what_a_server_answers_at_opening_says_what_to_do() {
    run_guarded(async |guarded| {
        for (code, advice) in [
            // Unauthorized, AuthenticationFailed.
            (13, "check user, password, authSource and rights"),
            (18, "check user, password, authSource and rights"),
            // NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary.
            (10_107, "name the replica set in the URL (?replicaSet=NAME), or the primary itself"),
            (13_435, "name the replica set in the URL (?replicaSet=NAME), or the primary itself"),
            (13_436, "name the replica set in the URL (?replicaSet=NAME), or the primary itself"),
            // OutOfDiskSpace.
            (14_031, "the server cannot serve a store: look at what it says and at its log"),
        ] {
            guarded.fail(doc! { "failCommands": ["buildInfo"], "errorCode": code }).await;
            let error = guarded.refused(&guarded.url("root", PASSWORD)).await;
            assert!(error.to_string().contains(advice), "{code}: {error}");
        }
        guarded.heal().await;
        guarded.store().await;
    });
}

#[test]
fn a_full_disk_refuses_commits_whole_and_takes_them_again_when_there_is_room() {
    run_guarded(async |guarded| {
        let store = guarded.store().await;
        assert!(allowed(&one(&store, request("a", charge_as("1", "1"), "10")).await));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
        let writes = vec!["update", "insert", "delete", "findAndModify", "createIndexes"];
        guarded.fail(doc! { "failCommands": writes, "errorCode": 14_031 }).await;
        // One with an account, and one without.
        for name in ["a", "b"] {
            let refused = one(&store, request(name, charge_as("2", "1"), "10")).await;
            assert!(is_not_done(&refused), "{refused:?}");
            let said = shown(refused.as_ref().unwrap_err());
            assert!(said.contains("OutOfDiskSpace"), "{said}");
        }
        assert!(store.health().await.is_err(), "it cannot charge");
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"), "it tells what it knows");
        let error = guarded.refused(&guarded.url("root", PASSWORD)).await;
        assert!(matches!(error, ConnectError::Server(_)), "{error:?}");
        assert!(shown(&error).contains("OutOfDiskSpace"), "{}", shown(&error));
        guarded.heal().await;
        for (name, sum) in [("a", "2"), ("b", "1")] {
            assert!(allowed(&one(&store, request(name, charge_as("2", "1"), "10")).await), "the id was not used");
            assert_eq!(store.total(&client(name), Window::ALL).await.unwrap(), credits(sum), "{name}");
        }
        store.health().await.unwrap();
    });
}

#[test]
fn a_commit_that_no_majority_has_is_unknown_and_found_by_its_id() {
    run_guarded(async |guarded| {
        let store = guarded.store().await;
        let late = doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "replication timed out" };
        guarded.fail(doc! { "failCommands": ["update"], "writeConcernError": late }).await;
        let unknown = one(&store, request("a", charge_as("1", "1"), "10")).await;
        assert!(matches!(unknown, Err(StoreError::Unknown { .. })), "{unknown:?}");
        assert!(store.health().await.is_err());
        guarded.heal().await;
        assert!(allowed(&one(&store, request("a", charge_as("1", "1"), "10")).await));
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
    });
}

#[test]
fn a_charge_from_an_escrow_that_no_majority_has_is_unknown() {
    run_guarded(async |guarded| {
        let collections = Collections::at(guarded.url("root", PASSWORD)).await;
        let store = open_escrow(&collections).await;
        let late = doc! { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "replication timed out" };
        guarded.fail(doc! { "failCommands": ["findAndModify"], "writeConcernError": late }).await;
        let unknown = one(&store, request("a", charge("2"), "1000")).await;
        assert!(matches!(unknown, Err(StoreError::Unknown { .. })), "{unknown:?}");
        guarded.heal().await;
        let answer = one(&store, request("a", charge("4"), "1000")).await;
        assert_eq!(used(&answer), "7", "it was made, and once");
        collections.assert_sums("a", 7, 4).await;
    });
}

#[test]
fn a_ledger_that_cannot_be_written_lets_no_account_grow() {
    run_guarded(async |guarded| {
        let collections = Collections::at(guarded.url("root", PASSWORD)).await;
        let stores = [open_escrow(&collections).await, collections.store().await];
        guarded.fail(doc! { "failCommands": ["insert"], "errorCode": 14_031 }).await;
        let batch = || (0..16).map(|_| request("a", charge("0.01"), "1000")).collect::<Vec<_>>();
        let (mut made, mut refused) = (0, 0);
        for round in 0..320 {
            for answer in stores[round % 2].apply(batch()).await {
                match is_not_done(&answer) {
                    true => refused += 1,
                    false => made += i64::from(allowed(&answer)),
                }
            }
        }
        assert!(refused > 0, "{made} were made");
        let waiting = collections.account("a").await.get_array("o").unwrap().len();
        assert!(waiting <= 129, "more than an account should carry: {waiting}");
        guarded.heal().await;
        for store in &stores {
            assert!(store.apply(batch()).await.iter().all(allowed));
            made += 16;
        }
        let total = stores[0].total(&client("a"), Window::ALL).await.unwrap();
        assert_eq!(total.micros(), 1_000_000 + made * 10_000);
    });
}

/// NoReplicationEnabled.
const FOLLOWS_NOBODY: i32 = 76;

#[test]
fn a_primary_that_steps_down_refuses_and_charges_when_it_is_primary_again() {
    run_alone(async |server, collections| {
        let url = collections.url_with("serverSelectionTimeoutMS=1000");
        let store = collections.builder(&url).connect().await.unwrap();
        assert!(allowed(&one(&store, request("a", charge_as("1", "1"), "10")).await));
        let stepped_down = collections.admin().run_command(doc! { "replSetStepDown": 3_600, "force": true }).await;
        if let Err(error) = stepped_down {
            // MongoDB's own, which is started without a replica set.
            let is_alone = matches!(&*error.kind, ErrorKind::Command(refused) if refused.code == FOLLOWS_NOBODY);
            assert!(is_alone, "{error:?}");
            return;
        }
        let refused = one(&store, request("a", charge_as("2", "1"), "10")).await;
        assert!(is_not_done(&refused), "{refused:?}");
        let error = collections.builder(&collections.url_with("directConnection=true")).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::ReadOnly), "{error:?}");
        assert!(error.to_string().contains("?replicaSet=NAME"), "{error}");
        let error = collections.builder(&url).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
        assert!(error.to_string().ends_with("check host, port, replicaSet and tls in the URL"), "{error}");
        tokio::task::block_in_place(|| server.restart()).unwrap();
        let mut tries = 0;
        while one(&store, request("a", charge_as("2", "1"), "10")).await.is_err() {
            tries += 1;
            assert!(tries < 100, "it is primary again");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("2"));
    });
}
