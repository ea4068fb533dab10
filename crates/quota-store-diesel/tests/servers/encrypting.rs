//! Encrypted connections, and certificates that are not trusted.

use quota_core::Window;
use quota_service::UsageStore;
use quota_store_diesel::ConnectError;

use crate::database::Database;
use crate::requests::{allowed, charge, client, credits, one, request};

pub(crate) async fn a_server_is_trusted_by_its_certificate<D: Database>(_shared: &D) {
    let Some(server) = quota_servers::private_encrypted(D::SERVER) else { return };
    let (plain, _) = server.url().split_once('?').unwrap();
    let database = D::at(plain.to_owned());
    let authority = std::fs::read(server.authority()).unwrap();
    let store = database.connect_trusting(server.url(), &authority).await.unwrap();
    assert!(allowed(&one(&store, request("a", charge("1"), "10")).await));
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap(), credits("1"));
    assert!(database.number(D::ENCRYPTED).await > 0);

    let another = quota_servers::another_authority().unwrap();
    let error = database.connect_trusting(server.url(), another.as_bytes()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let error = database.connect_trusting(&by_name, &authority).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted { .. }), "its certificate is for another name: {error:?}");
    for broken in ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = database.connect_trusting(server.url(), broken.as_bytes()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls { .. }), "{broken}: {error:?}");
    }
}

pub(crate) async fn a_server_without_encryption_is_told<D: Database>(database: &D) {
    let option = if database.url().starts_with("mysql") { "require_ssl=true" } else { "sslmode=require" };
    let another = quota_servers::another_authority().unwrap();
    let url = format!("{}?{option}", database.url());
    let error = database.connect_trusting(&url, another.as_bytes()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. } | ConnectError::Refused { .. }), "{error:?}");
}
