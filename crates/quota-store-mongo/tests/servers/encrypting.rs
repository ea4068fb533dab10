//! Encrypted connections, and certificates that are not trusted.

use quota_core::Window;
use quota_servers::Server;
use quota_service::UsageStore;
use quota_store_mongo::{ConnectError, MongoStore};

use crate::requests::{allowed, charge, client, credits, one, request};

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate() {
    let Some(server) = quota_servers::private_encrypted(Server::Mongodb) else { return };
    let trusting = |file: &std::path::Path| format!("{}&tlsCAFile={}", server.url(), file.display());
    let store = MongoStore::connect(trusting(&server.authority())).await.unwrap();
    assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));

    let folder = tempfile::tempdir().unwrap();
    let another = folder.path().join("another.pem");
    std::fs::write(&another, quota_servers::another_authority().unwrap()).unwrap();
    let error = MongoStore::connect(trusting(&another)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)), "{error:?}");
    assert!(error.to_string().contains("tlsCAFile"), "{error}");
    let error = MongoStore::connect(trusting(&folder.path().join("absent.pem"))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Url { message } if message.contains("absent.pem")), "{error:?}");
    let (plain, _) = server.url().split_once('?').unwrap();
    let error = MongoStore::connect(plain).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "asked without encryption: {error:?}");
}
