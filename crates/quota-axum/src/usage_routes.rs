//! The usage API as routes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http_body_util::LengthLimitError;
use quota_http::{ApiRequest, MountedUsageApi, NoBody, Sent, Standing, UsageApi};

use crate::ClientBy;
use crate::carried::OfUsage;
use crate::framework::Axum;

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
/// let app: Router = Router::new(); // with routes, and the layer around them
/// let app = app.merge(usage.at("/quota"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cross-origin requests are the application's: add a CORS layer where a page elsewhere is to ask.
#[derive(Clone, Debug)]
pub struct UsageRoutes(MountedUsageApi<Axum>);

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
    pub fn with_operators(self, operators: impl Fn(&Parts) -> Standing + Send + Sync + 'static) -> Self {
        Self(self.0.with_operators(operators))
    }

    /// The routes under a prefix, with or without a slash at its end, for `Router::merge`. (`Router::nest` does not see a
    /// path that ends in a slash there, where the page is.)
    ///
    /// Merge it **after** the layer, `router.layer(quota).merge(usage.at("/quota"))`: a layer around it leaves what is below the prefix
    /// free, but axum shows it the prefix itself as a route, `/quota` and `/quota/`, so that the page would ask for a client and cost a
    /// credit.
    ///
    /// # Panics
    /// Where `Router::nest_service` does: at start-up, if the prefix does not begin with a slash or is no more than one.
    pub fn at<S: Clone + Send + Sync + 'static>(self, prefix: &str) -> Router<S> {
        Router::new().nest_service(prefix, Router::<()>::from(self))
    }

    async fn answer(self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, ApiRequest::MAX_BODY).await.map_err(why_not);
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let query = parts.uri.query().unwrap_or_default().to_owned();
        // As it was before `Router::nest` took the prefix off.
        let whole_path = parts.extensions.get().map_or(&parts.uri, |OriginalUri(uri)| uri).path().to_owned();
        let path = below_prefix(&whole_path, parts.uri.path());
        let sent = Sent { method, path, whole_path, query, headers, body };
        let mut response = http::Response::<Body>::from(self.0.answer(&parts, sent).await);
        response.extensions_mut().insert(OfUsage);
        response.into_response()
    }
}

fn why_not(error: axum::Error) -> NoBody {
    if error.into_inner().is::<LengthLimitError>() { NoBody::TooLong } else { NoBody::CutOff }
}

/// The path below the prefix. `Router::nest` takes two slashes after the prefix for one; elsewhere they are no path of
/// the API's.
fn below_prefix(whole_path: &str, path: &str) -> String {
    let is_doubled = whole_path.strip_suffix(path).is_some_and(|prefix| prefix.ends_with('/'));
    if is_doubled { format!("/{path}") } else { path.to_owned() }
}

impl<S: Clone + Send + Sync + 'static> From<UsageRoutes> for Router<S> {
    fn from(routes: UsageRoutes) -> Self {
        Self::new().fallback(move |request: Request| routes.clone().answer(request))
    }
}
