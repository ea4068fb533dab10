//! Whom encrypted connections trust.

#[cfg(feature = "tls")]
use redis::TlsCertificates;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsMode};

use crate::connect_error::ConnectError;
use crate::target::Servers;

/// Whom encrypted connections are to trust: who has signed for a server's certificate.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    /// Certificates of authorities (PEM); none are those that the system trusts.
    pub(crate) root_certificates: Vec<u8>,
}

/// The same for these servers, as the driver takes it.
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
        let root_cert = if self.root_certificates.is_empty() { of_the_system()? } else { self.checked()? };
        Ok(Trusted { certificates: Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) }) })
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn of(&self, _: &Servers) -> Result<Trusted, ConnectError> {
        Ok(Trusted {})
    }

    #[cfg(feature = "tls")]
    fn checked(&self) -> Result<Vec<u8>, ConnectError> {
        use rustls::pki_types::pem::PemObject;

        let malformed =
            |why: String| ConnectError::Tls { message: format!("a root certificate cannot be used: {why}") };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&self.root_certificates) {
            let certificate = certificate.map_err(|error| malformed(error.to_string()))?;
            roots.add(certificate).map_err(|error| malformed(error.to_string()))?;
        }
        if roots.is_empty() { Err(malformed("it is not PEM".to_owned())) } else { Ok(self.root_certificates.clone()) }
    }
}

/// The authorities that the system trusts, those that can be used: the driver fails where it meets one that cannot.
#[cfg(feature = "tls")]
fn of_the_system() -> Result<Vec<u8>, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let usable = found.certs.into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok());
    let usable: Vec<_> = usable.map(|certificate| pem::Pem::new("CERTIFICATE", certificate.to_vec())).collect();
    if !usable.is_empty() {
        return Ok(pem::encode_many(&usable).into_bytes());
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(ConnectError::Tls {
        message: format!(
            "the system names no authority whose certificates are trusted{why}: install ca-certificates, or name a file of \
             certificates (PEM) in SSL_CERT_FILE"
        ),
    })
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

    /// Of a cluster with these nodes.
    pub(crate) fn cluster(&self, nodes: &[ConnectionInfo]) -> ClusterClientBuilder {
        let builder = ClusterClient::builder(nodes.iter().cloned());
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.certificates {
            return builder.certs(certificates.clone());
        }
        builder
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
