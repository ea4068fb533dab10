//! Whom to trust.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::connect_error::ConnectError;

/// Trusts these certificates (PEM), or the authorities that browsers know where there are none.
pub(crate) fn client_config(root_certificates: &[u8]) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    if root_certificates.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in CertificateDer::pem_slice_iter(root_certificates) {
        roots.add(certificate.map_err(malformed)?).map_err(malformed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(malformed)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn malformed(error: impl std::fmt::Display) -> ConnectError {
    ConnectError::Tls { message: format!("a root certificate cannot be used: {error}") }
}
