//! Encrypted connections, and certificates that are not trusted.

use quota_core::Window;
use quota_servers::Server;
use quota_service::UsageStore;
use quota_store_redis::{ConnectError, RedisStore};

use crate::requests::{allowed, charge_one, client, credits};

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate() {
    let Some(server) = quota_servers::private_encrypted(Server::Redis) else { return };
    let authority = std::fs::read(server.authority()).unwrap();
    let trusting = |url: &str, pem: &[u8]| RedisStore::builder(url).with_root_certificates(pem).connect();
    let store = trusting(server.url(), &authority).await.unwrap();
    assert!(allowed(&charge_one(&store, "a", "i").await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));

    let another = quota_servers::another_authority().unwrap();
    let error = trusting(server.url(), another.as_bytes()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)), "{error:?}");
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let error = trusting(&by_name, &authority).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)), "its certificate is for another name: {error:?}");
    for broken in ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = trusting(server.url(), broken.as_bytes()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls { .. }), "{broken}: {error:?}");
    }
    let encrypted_port = server.url().replace("rediss:", "redis:");
    let error = trusting(&encrypted_port, &authority).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "asked without encryption: {error:?}");
}

#[tokio::test]
async fn a_cluster_is_trusted_by_its_certificates() {
    let Some(server) = quota_servers::private_encrypted(Server::RedisCluster) else { return };
    let authority = std::fs::read(server.authority()).unwrap();
    let trusting = |pem: &[u8]| RedisStore::builder(server.url()).with_root_certificates(pem).connect();
    let store = trusting(&authority).await.unwrap();
    assert!(allowed(&charge_one(&store, "a", "i").await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));

    let another = quota_servers::another_authority().unwrap();
    let error = trusting(another.as_bytes()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted(_)), "{error:?}");
}
