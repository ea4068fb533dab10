//! The usage API as a scope.

use std::fmt;
use std::sync::Arc;

use actix_web::dev::{HttpServiceFactory, ServiceRequest};
use actix_web::{HttpRequest, HttpResponse, web};
use http::{HeaderMap, HeaderName, HeaderValue};
use quota_http::{ApiRequest, Framework, Standing, UsageApi};

use crate::ClientBy;
use crate::framework::Actix;
use crate::response::response_of;

type Operators = dyn Fn(&ServiceRequest) -> Standing + Send + Sync;

/// The usage API, to be mounted under a prefix:
///
/// ```
/// use actix_web::App;
/// use quota_actix::{ClientBy, UsageRoutes};
/// use quota_http::UsageApi;
/// # use quota_service::QuotaService;
/// # use quota_store_memory::MemoryStore;
/// # let service = QuotaService::builder(MemoryStore::new()).build();
///
/// let usage = UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id")?);
/// let app = App::new().service(usage.at("/quota"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cross-origin requests are the application's: add a CORS middleware where a page elsewhere is to ask.
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
    pub fn with_operators(mut self, operators: impl Fn(&ServiceRequest) -> Standing + Send + Sync + 'static) -> Self {
        self.operators = Some(Arc::new(operators));
        self
    }

    /// The routes under a prefix, for `App::service` or another scope.
    pub fn at(&self, prefix: &str) -> impl HttpServiceFactory + use<> {
        let routes = self.clone();
        let answer = move |request: HttpRequest, body: web::Payload| routes.clone().answer(request, body);
        web::scope(prefix).default_service(web::to(answer))
    }

    async fn answer(self, request: HttpRequest, body: web::Payload) -> HttpResponse {
        let path = below_prefix(&request);
        let query = request.query_string().to_owned();
        let request = ServiceRequest::from_request(request);
        let caller = self.client.of(&request).await;
        let standing = self.operators.as_ref().map(|operators| operators(&request));
        let body = body.to_bytes_limited(ApiRequest::MAX_BODY).await.ok().and_then(Result::ok);
        let (method, headers) = (Actix::method(&request), headers_of(&request));
        let answer = self.api.answer(ApiRequest { method, path, query, headers, body, caller, standing }).await;
        response_of(answer)
    }
}

/// The path below the scope as it was sent: actix-web decodes some of it for matching, but no slashes.
fn below_prefix(request: &HttpRequest) -> String {
    let (sent, segments) = (request.uri().path(), request.match_info().unprocessed().matches('/').count());
    let start = sent.rmatch_indices('/').nth(segments.saturating_sub(1)).map(|(start, _)| start);
    start.filter(|_| segments > 0).and_then(|start| sent.get(start..)).unwrap_or("/").to_owned()
}

fn headers_of(request: &ServiceRequest) -> HeaderMap {
    let both = |(name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers().iter().filter_map(both) {
        headers.append(name, value);
    }
    headers
}

impl fmt::Debug for UsageRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRoutes").field("api", &self.api).field("client", &self.client).finish_non_exhaustive()
    }
}
