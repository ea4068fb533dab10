//! The store that a command works on.

use anyhow::Context;
use quota_core::ClientId;
use quota_service::{AnyStore, QuotaService};

/// Opens a store.
pub(crate) async fn open(url: &str) -> anyhow::Result<AnyStore> {
    // The error never repeats the URL, which may hold a password.
    quota_stores::connect(url).await.context("the store cannot be opened")
}

/// A service over a store with the plans that it keeps.
pub(crate) async fn service(url: &str) -> anyhow::Result<QuotaService<AnyStore>> {
    Ok(QuotaService::new(open(url).await?))
}

/// Reads a client id.
pub(crate) fn read_client(text: &str) -> Result<ClientId, String> {
    ClientId::new(text).map_err(|error| error.to_string())
}
