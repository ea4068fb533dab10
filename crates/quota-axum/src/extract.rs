//! Quotas in the hands of a handler.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use quota_core::{Allowed, ClientId, Credits, Decision, Denied, OperationId, Refusal, Status, Ttl};
use quota_http::Answers;
use quota_service::{Charge, HoldGuard, Holding, ServiceError, Settled};

use crate::context::Context;
use crate::refused::QuotaError;

/// The quotas of the client of a request, as an extractor: charges, holds and reads them. Every decision that is made
/// here shows in the headers of the answer, the last one if there are several.
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
/// for it. Let a CORS layer further out answer preflights, or take `Result<ClientQuota, MissingLayer>`.
#[derive(Clone, Debug)]
pub struct ClientQuota(Arc<Context>);

/// Credits that a handler has set aside. Dropped (the handler fails, panics, is cancelled), they are released.
#[derive(Debug)]
#[must_use = "a hold that is dropped is released"]
pub struct Held {
    guard: HoldGuard,
    context: Arc<Context>,
}

/// A charge that a handler asked for and that was not denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charged {
    /// Done; the state of every quota afterwards.
    Allowed(Allowed),
    /// The store could not answer and the service fails open: nothing is known.
    Unchecked,
}

/// The route of a handler that extracts [`ClientQuota`] has no quota layer, or is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingLayer;

impl ClientQuota {
    /// Who is charged.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.0.client
    }

    /// The last decision in this request: the layer's, until the handler makes one. None where the handler charges all
    /// itself and has not yet.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        self.0.last()
    }

    /// Charges so many credits more, under the route's label.
    ///
    /// # Errors
    /// [`QuotaError`], which `?` makes the answer: denied, or not to be told. Nothing was charged where it was denied.
    pub async fn charge(&self, charge: impl Into<Charge> + Send) -> Result<Charged, QuotaError> {
        let charge = self.0.labelled(charge.into());
        concluded(&self.0, self.0.base.service.charge(&self.0.client, charge).await)
    }

    /// Records usage that has happened, without a check: it may lead into debt.
    ///
    /// # Errors
    /// [`QuotaError`], never a denial.
    pub async fn record(&self, charge: impl Into<Charge> + Send) -> Result<Charged, QuotaError> {
        let charge = self.0.labelled(charge.into());
        concluded(&self.0, self.0.base.service.record(&self.0.client, charge).await)
    }

    /// Sets credits aside until [`Held::settle`]. The hold is renewed for as long as the guard lives.
    ///
    /// # Errors
    /// As for [`ClientQuota::charge`].
    pub async fn hold(&self, charge: impl Into<Charge> + Send) -> Result<Held, QuotaError> {
        self.hold_for(charge, Ttl::DEFAULT).await
    }

    /// The same with another time to live than 5 minutes: how long the credits stay set aside if this process dies.
    ///
    /// # Errors
    /// As for [`ClientQuota::charge`].
    pub async fn hold_for(&self, charge: impl Into<Charge> + Send, ttl: Ttl) -> Result<Held, QuotaError> {
        let charge = self.0.labelled(charge.into());
        match self.0.base.service.hold(&self.0.client, charge, ttl).await {
            Ok(Holding::Held(guard) | Holding::Unchecked(guard)) => {
                self.0.note(guard.decision());
                Ok(Held { guard: guard.renewing(), context: Arc::clone(&self.0) })
            }
            Ok(Holding::Denied(denied)) => {
                self.0.note(&Decision::Denied(Denied::clone(&denied)));
                Err(QuotaError::denied_by(denied, &self.0))
            }
            Err(error) => Err(QuotaError::failed(error, &self.0)),
        }
    }

    /// Where the client's quotas stand, without a charge.
    ///
    /// # Errors
    /// [`QuotaError`], never a denial.
    pub async fn status(&self) -> Result<Status, QuotaError> {
        self.0.base.service.status(&self.0.client).await.map_err(|error| QuotaError::failed(error, &self.0))
    }
}

/// Notes what was decided, for the headers.
fn concluded(context: &Arc<Context>, answer: Result<Decision, ServiceError>) -> Result<Charged, QuotaError> {
    let decision = answer.map_err(|error| QuotaError::failed(error, context))?;
    context.note(&decision);
    match decision {
        Decision::Denied(denied) => Err(QuotaError::denied_by(denied, context)),
        Decision::Allowed(allowed) => Ok(Charged::Allowed(allowed)),
        Decision::Unchecked => Ok(Charged::Unchecked),
    }
}

impl Held {
    /// The decision with the state of every quota after the hold was made.
    pub const fn decision(&self) -> &Decision {
        self.guard.decision()
    }

    /// The hold's id, which becomes the entry's.
    #[must_use]
    pub const fn id(&self) -> &OperationId {
        self.guard.id()
    }

    /// Ends the hold and charges what it did cost, less or more than was held; the headers say what is true then. A hold
    /// that had expired is recorded all the same: [`Settled::Late`].
    ///
    /// # Errors
    /// [`QuotaError`], never a denial.
    pub async fn settle(self, cost: Credits) -> Result<Settled, QuotaError> {
        let settled = self.guard.settle(cost).await.map_err(|error| QuotaError::failed(error, &self.context))?;
        self.context.note(settled.decision());
        Ok(settled)
    }

    /// Ends the hold without a charge, and waits for that, so that the headers say so.
    ///
    /// # Errors
    /// [`QuotaError`], never a denial; 409 where the hold had expired. A hold that was unchecked may never have been
    /// made: then there is nothing to release, and that is [`Charged::Unchecked`].
    pub async fn release(self) -> Result<Charged, QuotaError> {
        let unchecked = matches!(self.guard.decision(), Decision::Unchecked);
        let released = match self.guard.release().await {
            Err(ServiceError::Refused(Refusal::HoldNotActive { .. } | Refusal::UnknownClient)) if unchecked => {
                Ok(Decision::Unchecked)
            }
            released => released,
        };
        concluded(&self.context, released)
    }

    /// Hands the hold over to whoever settles it after the answer, such as a task.
    pub fn into_guard(self) -> HoldGuard {
        self.guard
    }
}

impl<S: Sync> FromRequestParts<S> for ClientQuota {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingLayer> {
        Context::of(&parts.extensions).map(|context| Self(Arc::clone(context))).ok_or_else(|| {
            let matched = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
            tracing::error!(
                route = matched.unwrap_or_else(|| parts.uri.path()),
                "a handler takes ClientQuota and its route has no QuotaLayer, or is exempt: add the layer to the route"
            );
            MissingLayer
        })
    }
}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        http::Response::<Body>::from(Answers::default().internal())
    }
}
