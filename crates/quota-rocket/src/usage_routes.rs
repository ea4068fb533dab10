//! The usage API as routes.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use quota_http::{ApiRequest, Framework, MountedUsageApi, NoBody, Sent, Standing, UsageApi};
use rocket::data::{Data, ToByteUnit};
use rocket::http::Method;
use rocket::route::{Handler, Outcome, Route};
use rocket::{Request, Response};

use crate::ClientBy;
use crate::framework::Rocket;
use crate::refused::put;

/// The usage API, to be mounted under a prefix:
///
/// ```
/// use quota_rocket::{ClientBy, UsageRoutes};
/// use quota_http::UsageApi;
/// # use quota_service::QuotaService;
/// # use quota_store_memory::MemoryStore;
/// # let service = QuotaService::builder(MemoryStore::new()).build();
///
/// let usage = UsageRoutes::new(UsageApi::new(&service), ClientBy::header("X-Client-Id")?);
/// let rocket = rocket::build().mount("/quota", usage);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cross-origin requests are the application's: attach a CORS fairing where a page elsewhere is to ask.
#[derive(Clone, Debug)]
pub struct UsageRoutes(MountedUsageApi<Rocket>);

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
    pub fn with_operators(self, operators: impl Fn(&Request<'_>) -> Standing + Send + Sync + 'static) -> Self {
        Self(self.0.with_operators(operators))
    }
}

#[rocket::async_trait]
impl Handler for UsageRoutes {
    async fn handle<'r>(&self, request: &'r Request<'_>, mut data: Data<'r>) -> Outcome<'r> {
        let base = request.route().map(|route| route.uri.base()).unwrap_or_default();
        let whole_path = request.uri().path().raw().as_str().to_owned();
        let path = whole_path.strip_prefix(base.trim_end_matches('/')).unwrap_or(&whole_path).to_owned();
        let query = request.uri().query().map(|query| query.raw().as_str().to_owned()).unwrap_or_default();
        let sent = request.headers().iter();
        let headers = Sent::headers_of(sent.map(|header| (header.name().to_string(), header.value().to_owned())));
        // Before another look, which takes a reading that failed for the end.
        let is_whole = data.peek_complete();
        let method = method_of(request, data.peek(PEEKED).await);
        let body = body_of(data, is_whole, &headers).await;
        let sent = Sent { method, path, whole_path, query, headers, body };
        let mut response = Response::new();
        put(self.0.answer(request, sent).await, &mut response);
        Outcome::Success(response)
    }
}

/// The method as it was sent: Rocket takes a form's first field `_method` for it, which every page of the web can send by
/// `POST`, and looks for it in what it has read of the body. No resource takes forms.
fn method_of(request: &Request<'_>, peeked: &[u8]) -> http::Method {
    let is_form = request.content_type().is_some_and(|content_type| content_type.is_form());
    let names_method = peeked.windows(b"_method".len()).any(|bytes| bytes == b"_method");
    if is_form && names_method { http::Method::POST } else { Rocket::method(request) }
}

/// So many bytes Rocket has read before, for a form's `_method`; where that failed, they look like all there is.
const PEEKED: usize = "_method=delete".len();

async fn body_of(data: Data<'_>, is_whole: bool, headers: &HeaderMap) -> Result<Bytes, NoBody> {
    let body = data.open(ApiRequest::MAX_BODY.bytes()).into_bytes().await.map_err(|_| NoBody::CutOff)?;
    if !body.is_complete() {
        return Err(NoBody::TooLong);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| body.len() < length) || (body.len() < PEEKED && !is_whole) {
        return Err(NoBody::CutOff);
    }
    Ok(body.into_inner().into())
}

/// Every path and method below the prefix: which ones there are is the API's to say.
impl From<UsageRoutes> for Vec<Route> {
    fn from(routes: UsageRoutes) -> Self {
        let methods =
            [Method::Get, Method::Put, Method::Post, Method::Delete, Method::Patch, Method::Options, Method::Trace];
        methods.into_iter().map(|method| Route::new(method, "/<path..>", routes.clone())).collect()
    }
}
