//! How a client connects to whom it trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::authorities::authorities;
use crate::trust_error::TrustError;

/// Connects to servers whose certificate one of these [`authorities`] has signed, and shows none of its own. The algorithms are
/// ring's, whatever the process has chosen.
///
/// # Errors
/// As [`authorities`].
pub fn client_config(own: &[u8]) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    // Each can be added: that was looked at.
    roots.add_parsable_certificates(authorities(own)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::unusable)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_trusted_configures_nothing() {
        let error = client_config(b"no certificate").unwrap_err();
        assert_eq!(error, authorities(b"no certificate").unwrap_err());
        let authority = quota_servers::another_authority().unwrap();
        assert!(client_config(authority.as_bytes()).is_ok());
    }
}
