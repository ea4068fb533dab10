//! Whom encrypted connections to a source trust.

use anyhow::bail;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

/// The authorities that the system trusts, or that `SSL_CERT_FILE` and `SSL_CERT_DIR` name: those that can be used.
///
/// # Errors
/// There is none.
pub(crate) fn authorities() -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let usable: Vec<_> = found.certs.into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok()).collect();
    if usable.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        bail!(
            "no encrypted connection: the system names no authority whose certificates are trusted{why}: install \
             ca-certificates, or name a file of certificates (PEM) in SSL_CERT_FILE"
        );
    }
    Ok(usable)
}
