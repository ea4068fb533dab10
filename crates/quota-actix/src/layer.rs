//! The middleware's settings.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use quota_core::Label;
use quota_http::{Answers, IdempotencyKeys, Metering};
use quota_service::{QuotaService, SharedService, UsageStore};

use crate::framework::Actix;
use crate::service::Metered;
use crate::{ClientBy, RouteCost};

/// Charges a route's cost before the route's handler runs, and writes the quota headers on the way out: a middleware for a
/// route, a `resource`, a `scope` or an `App`.
///
/// One is made outside the app's factory, so that all workers share it, and cloned with other costs:
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use quota_actix::{ClientBy, QuotaLayer};
/// # use quota_service::QuotaService;
/// # let service = QuotaService::builder(quota_store_memory::MemoryStore::new()).build();
///
/// let quota = QuotaLayer::new(service, ClientBy::header("X-Client-Id")?);
/// let app = App::new()
///     .route("/data", web::get().to(HttpResponse::Ok).wrap(quota.clone()))
///     .route("/report", web::get().to(HttpResponse::Ok).wrap(quota.cost(5)))
///     .route("/health", web::get().to(HttpResponse::Ok)); // free
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// or it is put around an app that exists, with a table of what does not cost 1:
///
/// ```
/// # use actix_web::App;
/// # use quota_actix::{ClientBy, QuotaLayer, RouteCost};
/// # let service = quota_service::QuotaService::builder(quota_store_memory::MemoryStore::new()).build();
/// let quota = QuotaLayer::new(service, ClientBy::header("X-Client-Id")?)
///     .with_route("/report", 5)
///     .with_route("/health", RouteCost::exempt());
/// let app = App::new().wrap(quota);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **What is charged**: what a resource's pattern matches. Not CORS preflights, which anyone can send: a handler
/// that answers `OPTIONS` too (`web::to`) must not do for one what others pay for. Not unmatched paths (a default service
/// answers them), not 405s, nor the 404s of a resource whose own guard turns a method away (`#[get]`, `App::route`). `HEAD` is
/// charged as `GET`, where there is a route for it. Around a route, 405s never come this way; around a resource, a scope or an app they do, and look like a handler's answer: so the first request for each route and method is charged under an id, and taken back if the
/// answer is 405. A request without a client, or of a client without credits, learns that before it learns of a 405.
///
/// **Around a scope or an app** a layer sees paths, and neither guards nor what is further in. Of resources on one path that
/// guards tell apart, the first's pattern is taken for all: give these layers of their own. A middleware that rewrites paths, as
/// `NormalizePath`, is wrapped after the layer, so that it runs before. What passes free because no pattern was known and is
/// answered all the same is logged, once.
///
/// **Layers inside each other**: clones of one layer charge once, the outer one. If the inner one says another cost, the
/// outer one cannot know and has charged already: such a request is answered with 500 and the log says why. Use
/// `with_route`. Layers that were made apart (two services, two kinds of client) each charge; the headers are the inner one's.
/// Clones around such a layer, which cannot both be meant, are answered with 500 as well.
///
/// **Cancelled requests**: a charge that was sent stands. Only a charge that waits for its first answer (see above), or one under an
/// idempotency key, is taken back if the request is cancelled before its handler runs.
#[derive(Clone, Debug)]
pub struct QuotaLayer(Metering<Actix>);

impl QuotaLayer {
    /// Charges one credit for each request of the client that `client` finds.
    #[must_use]
    pub fn new<S: UsageStore>(service: QuotaService<S>, client: ClientBy) -> Self {
        Self::from_shared(Arc::new(service), client)
    }

    /// The same over a service whose store is not named.
    #[must_use]
    pub fn from_shared(service: SharedService, client: ClientBy) -> Self {
        Self(Metering::new(service, client))
    }

    /// Shows quotas in this way.
    #[must_use]
    pub fn with_answers(self, answers: Answers) -> Self {
        Self(self.0.with_answers(answers))
    }

    /// Charges a request that carries such a key once, however often it is sent. Off by default.
    #[must_use]
    pub fn with_idempotency_keys(self, keys: IdempotencyKeys) -> Self {
        Self(self.0.with_idempotency_keys(keys))
    }

    /// Charges this for the resource of this pattern (scopes included), whatever [`QuotaLayer::cost`] says. A resource of several
    /// patterns goes by its first one: for costs of their own make it several resources.
    #[must_use]
    pub fn with_route(self, pattern: impl Into<Box<str>>, cost: impl Into<RouteCost>) -> Self {
        Self(self.0.with_route(pattern, cost))
    }

    /// Meters every request but CORS preflights, also where no resource matched it: then under this label, and an idempotency key
    /// is one request's over all paths. A preflight (`OPTIONS`
    /// with `Access-Control-Request-Method`) reaches the service unmetered: it must look at the method before it works.
    #[must_use]
    pub fn with_every_request(self, label: Label) -> Self {
        Self(self.0.with_every_request(label))
    }

    /// The same layer with another cost: whole credits, an amount, or a [`RouteCost`].
    #[must_use]
    pub fn cost(&self, cost: impl Into<RouteCost>) -> Self {
        Self(self.0.cost(cost))
    }

    /// The same layer without a charge before: the handler charges all of it.
    #[must_use]
    pub fn without_charge(&self) -> Self {
        self.cost(RouteCost::by_handler())
    }

    pub(crate) const fn metering(&self) -> &Metering<Actix> {
        &self.0
    }
}

impl<S, B> Transform<S, ServiceRequest> for QuotaLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Metered<S>;
    type InitError = ();
    type Future = Ready<Result<Metered<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(Metered::new(self.clone(), inner)))
    }
}
