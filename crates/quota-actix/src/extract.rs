//! Quotas in the hands of a handler.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use quota_http::{Answers, RequestQuota};

use crate::carried;
use crate::refused::Refused;

/// The quotas of the client of a request, as an extractor: [`RequestQuota`], which charges, holds and reads them. Every
/// decision that is made here shows in the headers of the answer, the last one if there are several.
///
/// ```
/// use actix_web::{HttpRequest, web};
/// use quota_actix::{ClientQuota, Refused, credits_from_query};
///
/// async fn compute(quota: ClientQuota, request: HttpRequest) -> Result<String, Refused> {
///     let cost = credits_from_query(request.uri().query(), "credits")?; // 400, and nothing is charged
///     quota.charge(cost).await?; // 429, and nothing is charged
///     Ok(format!("computed for {cost} credits"))
/// }
/// # let _ = web::get().to(compute);
/// ```
///
/// A request that did not come through a [`crate::QuotaLayer`] is answered with 500; the log says why. That goes for a
/// CORS preflight too, which no layer meters: let a CORS middleware further out answer these, or take
/// `Result<ClientQuota, Refused>`.
#[derive(Clone, Debug)]
pub struct ClientQuota(RequestQuota);

impl Deref for ClientQuota {
    type Target = RequestQuota;

    fn deref(&self) -> &RequestQuota {
        &self.0
    }
}

impl FromRequest for ClientQuota {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(carried::find(request).map(Self).ok_or_else(|| {
            tracing::error!(
                route = request.match_pattern().as_deref().unwrap_or_else(|| request.path()),
                "a handler takes ClientQuota and its route has no QuotaLayer, or is exempt: wrap the route in the layer"
            );
            Answers::default().internal().into()
        }))
    }
}
