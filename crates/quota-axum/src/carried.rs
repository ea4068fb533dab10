//! A request's quotas in its extensions.

use http::Extensions;
use quota_http::RequestQuota;

#[derive(Clone)]
struct Carried(RequestQuota);

/// The quotas of a request that came through a layer.
pub(crate) fn find(extensions: &Extensions) -> Option<&RequestQuota> {
    extensions.get().map(|Carried(quota)| quota)
}

/// Leaves them for the handler. Those of a layer further out give way.
pub(crate) fn put(quota: &RequestQuota, extensions: &mut Extensions) {
    if let Some(Carried(outer)) = extensions.insert(Carried(quota.clone())) {
        quota.lie_within(outer);
    }
}

/// Leaves the headers to the layer that is at work now, which refuses the request.
pub(crate) fn supersede(extensions: &Extensions) {
    if let Some(outer) = find(extensions) {
        outer.supersede();
    }
}

/// In an answer of the usage API, which is free on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfUsage;
