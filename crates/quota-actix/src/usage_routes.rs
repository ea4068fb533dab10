//! The usage API as a scope.

use actix_web::dev::{HttpServiceFactory, ServiceRequest};
use actix_web::{HttpRequest, HttpResponse, web};
use quota_http::{ApiRequest, Framework, MountedUsageApi, NoBody, Sent, Standing, UsageApi};

use crate::ClientBy;
use crate::carried::OfUsage;
use crate::framework::Actix;
use crate::response::response_of;

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
#[derive(Clone, Debug)]
pub struct UsageRoutes(MountedUsageApi<Actix>);

impl UsageRoutes {
    /// The API, and how a caller is found.
    #[must_use]
    pub fn new(api: UsageApi, client: ClientBy) -> Self {
        Self(MountedUsageApi::new(api, client))
    }

    /// Serves the page of quotas and usage, too: at the prefix itself, `/quota/`.
    #[cfg(feature = "dashboard")]
    #[must_use]
    pub fn with_dashboard(self, dashboard: quota_http::Dashboard) -> Self {
        Self(self.0.with_dashboard(dashboard))
    }

    /// Who is an operator is said by a function of the request, and no token counts.
    #[must_use]
    pub fn with_operators(self, operators: impl Fn(&ServiceRequest) -> Standing + Send + Sync + 'static) -> Self {
        Self(self.0.with_operators(operators))
    }

    /// The routes under a prefix, for `App::service` or another scope.
    pub fn at(&self, prefix: &str) -> impl HttpServiceFactory + use<> {
        let routes = self.clone();
        let answer = move |request: HttpRequest, body: web::Payload| routes.clone().answer(request, body);
        web::scope(prefix).default_service(web::to(answer))
    }

    async fn answer(self, request: HttpRequest, body: web::Payload) -> HttpResponse {
        let body = match body.to_bytes_limited(ApiRequest::MAX_BODY).await {
            Ok(body) => body.map_err(|_| NoBody::CutOff),
            Err(_) => Err(NoBody::TooLong),
        };
        let (path, query) = (below_prefix(&request), request.query_string().to_owned());
        let whole_path = request.uri().path().to_owned();
        let request = ServiceRequest::from_request(request);
        let method = Actix::method(&request);
        let headers = Sent::headers_of(request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let sent = Sent { method, path, whole_path, query, headers, body };
        let mut response = response_of(self.0.answer(&request, sent).await);
        response.extensions_mut().insert(OfUsage);
        response
    }
}

/// The path below the scope as it was sent: actix-web decodes some of it for matching, but no slashes.
fn below_prefix(request: &HttpRequest) -> String {
    let (sent, segments) = (request.uri().path(), request.match_info().unprocessed().matches('/').count());
    let start = sent.rmatch_indices('/').nth(segments.saturating_sub(1)).map(|(start, _)| start);
    start.filter(|_| segments > 0).and_then(|start| sent.get(start..)).unwrap_or("/").to_owned()
}
