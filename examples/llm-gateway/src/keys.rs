//! Who a request is from.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use quota_service::ClientId;
use sha2::{Digest, Sha256};

/// Whose API keys are whose. Only hashes are kept, and hashes are compared: how long that takes tells nothing of a key,
/// and who reads the table has none. (Keys are long and random, so a hash without salt is enough.)
///
/// In earnest this is a table of the application's database.
#[derive(Clone, Default)]
pub struct Keys(HashMap<[u8; 32], ClientId>);

/// The client whose key a request carries, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) ClientId);

impl Keys {
    /// Nobody has one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This one is this client's.
    #[must_use]
    pub fn with(mut self, key: &str, client: ClientId) -> Self {
        self.0.insert(hashed(key), client);
        self
    }

    /// The client of the one bearer token that the headers carry.
    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        let client = self.0.get(&hashed(key.trim())).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
        client.cloned().map(Caller)
    }
}

/// Leaves the caller in the request's extensions. A request from nobody goes on: what needs a client refuses it, and an
/// operator of the usage API proves itself by another token in the same header.
pub(crate) async fn authenticate(State(keys): State<Arc<Keys>>, mut request: Request, next: Next) -> Response {
    if let Some(caller) = keys.caller(request.headers()) {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

fn hashed(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}
