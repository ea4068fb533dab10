//! Whom encrypted connections trust.

#[cfg(feature = "tls")]
use redis::TlsCertificates;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsMode};

/// Whom encrypted connections trust: who has signed for a server's certificate.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    /// Certificates of authorities (PEM); none are those that the system trusts.
    pub(crate) root_certificates: Vec<u8>,
}

impl Trust {
    /// Of one server.
    pub(crate) fn client(&self, server: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(feature = "tls")]
        if let Some(certificates) = self.certificates(&server) {
            return Client::build_with_tls(server, certificates);
        }
        Client::open(server)
    }

    /// Of a cluster with these nodes.
    pub(crate) fn cluster(&self, nodes: &[ConnectionInfo]) -> ClusterClientBuilder {
        let builder = ClusterClient::builder(nodes.iter().cloned());
        #[cfg(feature = "tls")]
        if let Some(certificates) = nodes.first().and_then(|node| self.certificates(node)) {
            return builder.certs(certificates);
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
        if let Some(certificates) = self.certificates(server) {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }

    #[cfg(feature = "tls")]
    fn certificates(&self, server: &ConnectionInfo) -> Option<TlsCertificates> {
        let own = || TlsCertificates { client_tls: None, root_cert: Some(self.root_certificates.clone()) };
        (is_encrypted(server) && !self.root_certificates.is_empty()).then(own)
    }
}

fn is_encrypted(server: &ConnectionInfo) -> bool {
    matches!(server.addr(), ConnectionAddr::TcpTls { .. })
}
