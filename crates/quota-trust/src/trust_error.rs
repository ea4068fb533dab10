//! Why nobody is trusted.

use std::fmt::Display;

use thiserror::Error;

/// Why there are no authorities to trust.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// What was given as certificates is not PEM, or holds one that cannot be used. Give others.
    #[error("a root certificate cannot be used: {message}")]
    Unusable {
        /// Why not.
        message: String,
    },
    /// The system, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, has no certificate that can be used.
    #[error(
        "the system names no authority whose certificates are trusted{}: install ca-certificates, or name a file of \
         certificates (PEM) in SSL_CERT_FILE",
        in_brackets(.cause.as_deref())
    )]
    NoAuthority {
        /// What could not be read, where that is why.
        cause: Option<String>,
    },
}

impl TrustError {
    pub(crate) fn unusable(why: impl Display) -> Self {
        Self::Unusable { message: why.to_string() }
    }
}

fn in_brackets(cause: Option<&str>) -> String {
    cause.map(|cause| format!(" ({cause})")).unwrap_or_default()
}
