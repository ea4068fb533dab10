//! Quotas in the hands of a handler.

use std::ops::Deref;

use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;
use quota_http::{Answers, RequestQuota};

use crate::carried;
use crate::refused::Refused;

/// The quotas of the client of a request, as an extractor: [`RequestQuota`], which charges, holds and reads them. Every
/// decision that is made here shows in the headers of the answer, the last one if there are several.
///
/// ```
/// use quota_axum::{ClientQuota, Malformed, Refused, credits_from_query};
///
/// async fn compute(quota: ClientQuota, uri: http::Uri) -> Result<String, Refused> {
///     let cost = credits_from_query(uri.query(), "credits")?; // 400, and nothing is charged
///     quota.charge(cost).await?; // 429, and nothing is charged
///     Ok(format!("computed for {cost} credits"))
/// }
/// # let _: axum::Router = axum::Router::new().route("/compute", axum::routing::get(compute));
/// ```
///
/// A request that did not come through a [`crate::QuotaLayer`] is answered with 500; the log says why. That goes for a
/// CORS preflight too, which no layer meters: a handler under `axum::routing::any` that takes `ClientQuota` has no quota
/// for it. Let a CORS layer further out answer preflights, or take `Result<ClientQuota, Refused>`.
#[derive(Clone, Debug)]
pub struct ClientQuota(RequestQuota);

impl Deref for ClientQuota {
    type Target = RequestQuota;

    fn deref(&self) -> &RequestQuota {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for ClientQuota {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        carried::find(&parts.extensions).map(|quota| Self(quota.clone())).ok_or_else(|| {
            let matched = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
            tracing::error!(
                route = matched.unwrap_or_else(|| parts.uri.path()),
                "a handler takes ClientQuota and its route has no QuotaLayer, or is exempt: add the layer to the route"
            );
            Answers::default().internal().into()
        })
    }
}
