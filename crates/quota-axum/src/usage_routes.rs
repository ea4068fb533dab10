//! The usage API as routes.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use quota_http::{ApiRequest, Standing, UsageApi};

use crate::ClientBy;

type Operators = dyn Fn(&Parts) -> Standing + Send + Sync;

/// The usage API, to be mounted under a prefix:
///
/// ```
/// use axum::Router;
/// use quota_axum::{ClientBy, UsageRoutes};
/// use quota_http::UsageApi;
/// # use quota_service::QuotaService;
/// # use quota_store_memory::MemoryStore;
/// # let service = QuotaService::builder(MemoryStore::new()).build();
///
/// let usage = UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id")?);
/// let app: Router = Router::new().nest("/quota", usage.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cross-origin requests are the application's: add a CORS layer where a page elsewhere is to ask.
#[derive(Clone)]
pub struct UsageRoutes {
    api: UsageApi,
    client: ClientBy,
    operators: Option<Arc<Operators>>,
}

impl UsageRoutes {
    /// The API, and how a caller is found.
    #[must_use]
    pub fn new(api: UsageApi, client: ClientBy) -> Self {
        Self { api, client, operators: None }
    }

    /// Who is an operator is said by a function of the request, and no token counts.
    #[must_use]
    pub fn with_operators(mut self, operators: impl Fn(&Parts) -> Standing + Send + Sync + 'static) -> Self {
        self.operators = Some(Arc::new(operators));
        self
    }

    async fn answer(self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let caller = self.client.of(&parts).await;
        let standing = self.operators.as_ref().map(|operators| operators(&parts));
        let body = to_bytes(body, ApiRequest::MAX_BODY).await.ok();
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
        let Parts { method, headers, .. } = parts;
        let answer = self.api.answer(ApiRequest { method, path, query, headers, body, caller, standing }).await;
        http::Response::<Body>::from(answer).into_response()
    }
}

impl<S: Clone + Send + Sync + 'static> From<UsageRoutes> for Router<S> {
    fn from(routes: UsageRoutes) -> Self {
        Self::new().fallback(move |request: Request| routes.clone().answer(request))
    }
}

impl fmt::Debug for UsageRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRoutes").field("api", &self.api).field("client", &self.client).finish_non_exhaustive()
    }
}
