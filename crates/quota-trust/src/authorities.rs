//! Whom to trust.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::CertificateResult;

use crate::trust_error::TrustError;

/// The certificates of authorities in `own` (PEM); where that is empty, those of the authorities that the system trusts, or that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name. There is at least one, and rustls can use each of them.
///
/// The system's are read from its files at each call.
///
/// ```
/// // A blank is not nothing: it stands for certificates that are malformed, not for the system's.
/// assert!(quota_trust::authorities(b" ").is_err());
/// ```
///
/// # Errors
/// [`TrustError::Unusable`] where `own` holds no certificate, or one that cannot be used; [`TrustError::NoAuthority`] where
/// it is empty and the system names nobody.
pub fn authorities(own: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    if own.is_empty() { usable(rustls_native_certs::load_native_certs()) } else { given(own) }
}

/// All of them: whoever gave one that cannot be used is to know.
fn given(own: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(own).collect();
    let certificates = certificates.map_err(TrustError::unusable)?;
    certificates.iter().try_for_each(check).map_err(TrustError::unusable)?;
    if certificates.is_empty() { Err(TrustError::unusable("it is not PEM")) } else { Ok(certificates) }
}

/// Those that can be used: systems keep some that cannot.
fn usable(found: CertificateResult) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let usable: Vec<_> = found.certs.into_iter().filter(|certificate| check(certificate).is_ok()).collect();
    if usable.is_empty() {
        return Err(TrustError::NoAuthority { cause: found.errors.first().map(ToString::to_string) });
    }
    Ok(usable)
}

/// Whether a connection can rest on it, by the judgement of what makes the connection.
fn check(certificate: &CertificateDer<'static>) -> Result<(), rustls::Error> {
    RootCertStore::empty().add(certificate.clone())
}

#[cfg(test)]
mod tests {
    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    const NOT_PEM: &str = "a root certificate cannot be used: it is not PEM";
    /// PEM by its form, and no certificate.
    const MALFORMED: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn authority() -> String {
        quota_servers::another_authority().unwrap()
    }

    fn said(own: &str) -> String {
        let error = authorities(own.as_bytes()).unwrap_err();
        assert!(matches!(error, TrustError::Unusable { .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn certificates_that_are_given_are_trusted_alone() {
        let (one, other) = (authority(), authority());
        let both = authorities(format!("{one}{other}").as_bytes()).unwrap();
        assert_eq!(both, [one, other].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()));
    }

    #[test]
    fn what_is_given_and_is_no_certificate_is_told() {
        for none in ["no certificate", " ", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(said(none), NOT_PEM, "{none}");
        }
        for broken in [MALFORMED, "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            let said = said(broken);
            assert!(said.starts_with("a root certificate cannot be used: ") && said != NOT_PEM, "{said}");
        }
    }

    #[test]
    fn one_of_those_given_that_cannot_be_used_is_told_although_others_can() {
        let said = said(&format!("{}{MALFORMED}", authority()));
        assert!(said.starts_with("a root certificate cannot be used: "), "{said}");
    }

    #[test]
    fn those_of_the_system_that_cannot_be_used_are_left_out() {
        let good = CertificateDer::from_pem_slice(authority().as_bytes()).unwrap();
        let mut found = CertificateResult::default();
        found.certs.extend([CertificateDer::from(vec![0_u8]), good.clone()]);
        assert_eq!(usable(found).unwrap(), [good]);
    }

    #[test]
    fn a_system_without_authorities_is_told_what_to_do() {
        let advice = "install ca-certificates, or name a file of certificates (PEM) in SSL_CERT_FILE";
        let empty = tempfile::NamedTempFile::new().unwrap();
        let error = usable(load_certs_from_paths(Some(empty.path()), None)).unwrap_err();
        let words = "the system names no authority whose certificates are trusted";
        assert_eq!(error.to_string(), format!("{words}: {advice}"));

        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.pem");
        let said = usable(load_certs_from_paths(Some(absent.as_path()), None)).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{words} (")) && said.ends_with(&format!("): {advice}")), "{said}");
        assert!(said.contains("absent.pem"), "{said}");
    }
}
