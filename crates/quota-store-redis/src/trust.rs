//! Whom encrypted connections trust.

#[cfg(feature = "tls")]
use redis::TlsCertificates;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsMode};
#[cfg(feature = "tls")]
use rustls::pki_types::CertificateDer;

use crate::connect_error::ConnectError;
use crate::target::Servers;

/// Whom encrypted connections are to trust: who has signed for a server's certificate.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    /// Certificates of authorities (PEM); none are those that the system trusts.
    pub(crate) root_certificates: Vec<u8>,
}

/// The same for these servers, as the driver takes it.
#[derive(Clone)]
pub(crate) struct Trusted {
    /// None where connections are not encrypted.
    #[cfg(feature = "tls")]
    certificates: Option<TlsCertificates>,
}

impl Trust {
    /// # Errors
    /// [`ConnectError::Tls`]: a certificate is none, or the system has none.
    #[cfg(feature = "tls")]
    pub(crate) fn of(&self, servers: &Servers) -> Result<Trusted, ConnectError> {
        if !servers.are_encrypted() {
            return Ok(Trusted { certificates: None });
        }
        // The driver leaves the algorithms to the process, and panics where they are not chosen and more than one is built
        // in. Where they are chosen, this fails and nothing is changed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root_cert = Some(as_pem(&quota_trust::authorities(&self.root_certificates)?));
        Ok(Trusted { certificates: Some(TlsCertificates { client_tls: None, root_cert }) })
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn of(&self, _: &Servers) -> Result<Trusted, ConnectError> {
        Ok(Trusted {})
    }
}

/// As the driver takes them.
#[cfg(feature = "tls")]
fn as_pem(authorities: &[CertificateDer<'static>]) -> Vec<u8> {
    let sections = authorities.iter().map(|certificate| pem::Pem::new("CERTIFICATE", certificate.to_vec()));
    pem::encode_many(&sections.collect::<Vec<_>>()).into_bytes()
}

impl Trusted {
    /// Of one server.
    pub(crate) fn client(&self, server: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.certificates {
            return Client::build_with_tls(server, certificates.clone());
        }
        Client::open(server)
    }

    /// Of the primary that these sentinels name. `server` says how to connect to it: database, user, password, encryption.
    pub(crate) fn sentinels(
        &self,
        sentinels: &[ConnectionInfo],
        master: &str,
        server: &ConnectionInfo,
    ) -> Result<SentinelClient, RedisError> {
        let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let settings = server.redis_settings();
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
            .set_client_to_redis_db(settings.db())
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_sentinel_protocol(ProtocolVersion::RESP3);
        if let Some(user) = settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        let asked = sentinels.first().map(ConnectionInfo::redis_settings);
        if let Some(user) = asked.and_then(|settings| settings.username()) {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = asked.and_then(|settings| settings.password()) {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if is_encrypted(server) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }
}

/// Whether what is said to a server is encrypted.
pub(crate) fn is_encrypted(server: &ConnectionInfo) -> bool {
    matches!(server.addr(), ConnectionAddr::TcpTls { .. })
}
