//! The usage API among a framework's routes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
#[cfg(feature = "dashboard")]
use quota_dashboard::{Dashboard, PageRequest};

use crate::client::NoClient;
use crate::metering::{ClientBy, Framework};
use crate::usage_api::answering::UsageApi;
use crate::usage_api::operators::Standing;
use crate::usage_api::request::{ApiRequest, ApiResponse, NoBody};
use crate::usage_api::route::Resource;

type Operators<F> = dyn Fn(&<F as Framework>::Request<'_>) -> Standing + Send + Sync;

/// The usage API, and how a framework's requests say who asks: what an adapter mounts.
pub struct MountedUsageApi<F: Framework> {
    api: UsageApi,
    client: ClientBy<F>,
    operators: Option<Arc<Operators<F>>>,
    #[cfg(feature = "dashboard")]
    dashboard: Option<Dashboard>,
}

/// What of a request frameworks read in different ways.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As it was sent.
    pub method: Method,
    /// As in [`ApiRequest::path`].
    pub path: String,
    /// The path with the prefix, as the client sees it: it says whether the slash at the end is there.
    pub whole_path: String,
    /// As in [`ApiRequest::query`].
    pub query: String,
    /// All headers.
    pub headers: HeaderMap,
    /// As in [`ApiRequest::body`].
    pub body: Result<Bytes, NoBody>,
}

impl Sent {
    /// The headers of a framework that has types of its own for them; what is no header to others is left out.
    pub fn headers_of<N: AsRef<[u8]>, V: AsRef<[u8]>>(sent: impl IntoIterator<Item = (N, V)>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_bytes(name.as_ref());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_ref())) {
                headers.append(name, value);
            }
        }
        headers
    }
}

impl<F: Framework> MountedUsageApi<F> {
    /// The API, and how a caller is found.
    #[must_use]
    pub fn new(api: UsageApi, client: ClientBy<F>) -> Self {
        Self {
            api,
            client,
            operators: None,
            #[cfg(feature = "dashboard")]
            dashboard: None,
        }
    }

    /// Serves the page, too: at the prefix itself, with a slash at its end.
    #[cfg(feature = "dashboard")]
    #[must_use]
    pub fn with_dashboard(self, dashboard: Dashboard) -> Self {
        Self { dashboard: Some(dashboard), ..self }
    }

    /// Who is an operator is said by a function of the request, and no token counts.
    #[must_use]
    pub fn with_operators(mut self, operators: impl Fn(&F::Request<'_>) -> Standing + Send + Sync + 'static) -> Self {
        self.operators = Some(Arc::new(operators));
        self
    }

    /// Answers a request, as [`UsageApi::answer`] does.
    pub async fn answer(&self, request: &F::Request<'_>, sent: Sent) -> ApiResponse {
        #[cfg(feature = "dashboard")]
        if let Some(page) = self.page(&sent) {
            return page;
        }
        let Sent { method, path, query, headers, body, .. } = sent;
        let resource = Resource::read(&path);
        // To find who it is may take a look-up, which only the caller's own resources are worth.
        let is_callers = resource.as_ref().is_ok_and(Resource::is_callers);
        let caller = if is_callers { self.client.of(request).await } else { Err(NoClient::Missing) };
        let standing = self.operators.as_ref().map(|operators| operators(request));
        self.api.answer_at(resource, ApiRequest { method, path, query, headers, body, caller, standing }).await
    }

    /// The page or a file of it, if the request is for one.
    #[cfg(feature = "dashboard")]
    fn page(&self, sent: &Sent) -> Option<ApiResponse> {
        let Sent { method, path, whole_path, headers, .. } = sent;
        let page = self.dashboard.as_ref()?.answer(PageRequest { method, path, whole_path, headers })?;
        let (parts, body) = page.into_parts();
        Some(ApiResponse::new(parts.status, parts.headers, body))
    }
}

impl<F: Framework> Clone for MountedUsageApi<F> {
    fn clone(&self) -> Self {
        Self {
            api: self.api.clone(),
            client: self.client.clone(),
            operators: self.operators.clone(),
            #[cfg(feature = "dashboard")]
            dashboard: self.dashboard.clone(),
        }
    }
}

impl<F: Framework> fmt::Debug for MountedUsageApi<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedUsageApi").field("api", &self.api).field("client", &self.client).finish_non_exhaustive()
    }
}
