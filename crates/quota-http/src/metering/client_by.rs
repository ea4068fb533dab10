//! How a request's client is found.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::header::InvalidHeaderName;
use quota_core::ClientId;

use crate::client::{NoClient, client_from_values};
use crate::metering::found::Found;
use crate::metering::framework::Framework;

type Find<F> = dyn Fn(&<F as Framework>::Request<'_>) -> Found<F, Result<ClientId, NoClient>> + Send + Sync;

/// How a request's client is found.
pub struct ClientBy<F: Framework>(Source<F>);

enum Source<F: Framework> {
    Header(HeaderName),
    Function(Arc<Find<F>>),
}

impl<F: Framework> ClientBy<F> {
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

    /// By what the application's authentication has left in the request. It must run before the quotas' layer (it is
    /// added after it). A request without a `T` is from nobody: 401.
    pub fn extension<T, C>(client: C) -> Self
    where
        T: Send + Sync + 'static,
        C: Fn(&T) -> Result<ClientId, NoClient> + Send + Sync + 'static,
    {
        Self::function(move |request| {
            F::extension(request, |found: Option<&T>| found.map_or(Err(NoClient::Missing), &client))
        })
    }

    /// By a function of the request. [`NoClient::Refused`] answers in the application's own way.
    pub fn function<C>(client: C) -> Self
    where
        C: Fn(&F::Request<'_>) -> Result<ClientId, NoClient> + Send + Sync + 'static,
    {
        Self(Source::Function(Arc::new(move |request| Found::Now(client(request)))))
    }

    /// By a function that has to wait, such as for a look-up of a key. It takes what it needs from the request before
    /// it waits: `|request| { let key = ...; Box::pin(async move { ... }) }`.
    pub fn async_function<C>(client: C) -> Self
    where
        C: Fn(&F::Request<'_>) -> F::Later<Result<ClientId, NoClient>> + Send + Sync + 'static,
    {
        Self(Source::Function(Arc::new(move |request| Found::Later(client(request)))))
    }

    /// Finds it.
    ///
    /// # Errors
    /// [`NoClient`] where the request is from nobody.
    pub async fn of(&self, request: &F::Request<'_>) -> Result<ClientId, NoClient> {
        self.find(request).get().await
    }

    pub(crate) fn find(&self, request: &F::Request<'_>) -> Found<F, Result<ClientId, NoClient>> {
        match &self.0 {
            Source::Header(name) => Found::Now(client_from_values(F::header(request, name))),
            Source::Function(find) => find(request),
        }
    }
}

impl<F: Framework> Clone for ClientBy<F> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Source::Header(name) => Source::Header(name.clone()),
            Source::Function(find) => Source::Function(Arc::clone(find)),
        })
    }
}

impl<F: Framework> fmt::Debug for ClientBy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Header(name) => write!(f, "ClientBy::header({name})"),
            Source::Function(_) => f.write_str("ClientBy::function"),
        }
    }
}
