//! Whom to trust.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::connect_error::ConnectError;

/// Trusts these authorities (PEM), or those of the system where there are none.
pub(crate) fn client_config(root_certificates: &[u8]) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities(root_certificates)? {
        roots.add(certificate).map_err(malformed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(malformed)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// These certificates (PEM), or those of the authorities that the system trusts where there are none.
pub(crate) fn authorities(root_certificates: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    if root_certificates.is_empty() {
        return of_the_system();
    }
    let mut roots = RootCertStore::empty();
    let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(root_certificates).collect();
    let own = own.map_err(malformed)?;
    own.iter().try_for_each(|certificate| roots.add(certificate.clone())).map_err(malformed)?;
    if own.is_empty() { Err(malformed("it is not PEM")) } else { Ok(own) }
}

/// Those that can be used: systems keep some that cannot.
fn of_the_system() -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let usable: Vec<_> = found.certs.into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok()).collect();
    if !usable.is_empty() {
        return Ok(usable);
    }
    let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    Err(ConnectError::Tls {
        message: format!(
            "the system names no authority whose certificates are trusted{why}: install ca-certificates, or name a file \
             of certificates (PEM) in SSL_CERT_FILE"
        ),
    })
}

fn malformed(error: impl std::fmt::Display) -> ConnectError {
    ConnectError::Tls { message: format!("a root certificate cannot be used: {error}") }
}
