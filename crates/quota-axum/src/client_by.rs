//! How a request's client is found.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::header::InvalidHeaderName;
use http::request::Parts;
use http::{Extensions, HeaderName};
use quota_core::ClientId;
use quota_http::{NoClient, client_from_header};

use crate::found::Found;

type Find = dyn Fn(&Parts) -> Found<Result<ClientId, NoClient>> + Send + Sync;

/// How a request's client is found.
#[derive(Clone)]
pub struct ClientBy(Source);

#[derive(Clone)]
enum Source {
    Header(HeaderName),
    Function(Arc<Find>),
}

impl ClientBy {
    /// By a header, such as `X-Client-Id`.
    ///
    /// Anyone can send any header: something in front of the application must set this one, or strip it from what
    /// comes from outside.
    ///
    /// # Errors
    /// [`InvalidHeaderName`] where this is no header's name.
    pub fn header(name: &str) -> Result<Self, InvalidHeaderName> {
        Ok(Self(Source::Header(name.parse()?)))
    }

    /// By what the application's authentication has left in the request's extensions. It must run before the quota
    /// layer (in axum: be added after it). A request without a `T` is from nobody: 401.
    pub fn extension<T, F>(client: F) -> Self
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> Result<ClientId, NoClient> + Send + Sync + 'static,
    {
        let find = move |extensions: &Extensions| extensions.get::<T>().map_or(Err(NoClient::Missing), &client);
        Self::function(move |parts| find(&parts.extensions))
    }

    /// By a function of the request. [`NoClient::Refused`] answers in the application's own way.
    pub fn function<F>(client: F) -> Self
    where
        F: Fn(&Parts) -> Result<ClientId, NoClient> + Send + Sync + 'static,
    {
        Self(Source::Function(Arc::new(move |parts| Found::Now(client(parts)))))
    }

    /// By a function that has to wait, such as for a look-up of a key. It takes what it needs from the request before
    /// it waits: `|parts| { let key = ...; async move { ... } }`.
    pub fn async_function<F, Fut>(client: F) -> Self
    where
        F: Fn(&Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ClientId, NoClient>> + Send + 'static,
    {
        Self(Source::Function(Arc::new(move |parts| Found::later(client(parts)))))
    }

    pub(crate) fn find(&self, parts: &Parts) -> Found<Result<ClientId, NoClient>> {
        match &self.0 {
            Source::Header(name) => Found::Now(client_from_header(&parts.headers, name)),
            Source::Function(find) => find(parts),
        }
    }
}

impl fmt::Debug for ClientBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Header(name) => write!(f, "ClientBy::header({name})"),
            Source::Function(_) => f.write_str("ClientBy::function"),
        }
    }
}
