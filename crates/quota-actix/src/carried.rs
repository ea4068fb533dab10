//! A request's quotas in its extensions.

use actix_web::HttpMessage;
use quota_http::RequestQuota;

struct Carried(RequestQuota);

/// The quotas of a request that came through a layer.
pub(crate) fn find(request: &impl HttpMessage) -> Option<RequestQuota> {
    request.extensions().get().map(|Carried(quota)| quota.clone())
}

/// Leaves them for the handler. Those of a layer further out give way.
pub(crate) fn put(quota: &RequestQuota, request: &impl HttpMessage) {
    let outer = request.extensions_mut().insert(Carried(quota.clone()));
    if let Some(Carried(outer)) = outer {
        quota.lie_within(outer);
    }
}

/// Leaves the headers to the layer that is at work now, which refuses the request.
pub(crate) fn supersede(request: &impl HttpMessage) {
    if let Some(outer) = find(request) {
        outer.supersede();
    }
}

/// In an answer of the usage API, which is free on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfUsage;
