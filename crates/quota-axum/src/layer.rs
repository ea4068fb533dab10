//! The layer's settings.

use std::sync::Arc;

use quota_core::Label;
use quota_http::{Answers, IdempotencyKeys, Metering};
use quota_service::{QuotaService, SharedService, UsageStore};
use tower_layer::Layer;

use crate::framework::Axum;
use crate::service::Metered;
use crate::{ClientBy, RouteCost};

/// Charges a route's cost before the route's handler runs, and writes the quota headers on the way out.
///
/// One layer is configured and cloned with other costs:
///
/// ```
/// use axum::{Router, routing::get};
/// use quota_axum::{ClientBy, QuotaLayer, RouteCost};
/// # use quota_service::{PlanRegistry, QuotaService};
/// # let service = QuotaService::builder(quota_store_memory::MemoryStore::new()).build();
///
/// let quota = QuotaLayer::new(service, ClientBy::header("X-Client-Id")?);
/// let app: Router = Router::new()
///     .route("/data", get(|| async { "1 credit" }).route_layer(quota.clone()))
///     .route("/report", get(|| async { "5 credits" }).route_layer(quota.cost(5)))
///     .route("/health", get(|| async { "free" }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// (`get(handler.layer(quota))`, by axum's `Handler::layer`, charges the same and costs a request three allocations less),
/// or is put around a router that exists, with a table of what does not cost 1:
///
/// ```
/// # use axum::{Router, routing::get};
/// # use quota_axum::{ClientBy, QuotaLayer, RouteCost};
/// # let service = quota_service::QuotaService::builder(quota_store_memory::MemoryStore::new()).build();
/// # let app: Router = Router::new();
/// let quota = QuotaLayer::new(service, ClientBy::header("X-Client-Id")?)
///     .with_route("/report", 5)
///     .with_route("/health", RouteCost::exempt());
/// let app = app.layer(quota);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **What is charged**: what the router matched, by pattern and method. Not CORS preflights, which anyone can send: a handler
/// that answers `OPTIONS` too (`axum::routing::any`) must not do for one what others pay for. Not unmatched paths, not
/// 405s. `HEAD` is charged as `GET`. Axum's `layer` (and `Router::route_layer`) wraps a route's 405 as well, which
/// looks like a handler until it has answered: so the first request for each route and method is charged under an id,
/// and taken back if the answer is 405. A request without a client, or of a client without credits, learns that
/// before it learns of a 405; under `MethodRouter::route_layer`, as in the first example, 405s never come this way.
///
/// **Where axum shows no pattern, nothing is charged**: a layer around a `Router::nest_service` (the pattern is known
/// only inside: put the layer on the inner router by its `route_layer`, or use `Router::nest`), and a layer around the
/// whole router (`ServiceBuilder::new().layer(quota).service(router)`: use `router.layer(quota)`, which runs after the
/// match). Of what is nested so, axum shows the prefix itself as a route all the same, `/api` and `/api/`: make these two exempt,
/// or merge what is nested after the layer, as the usage API. [`QuotaLayer::with_every_request`] meters both as they are. The first request that passes free in this way
/// and is answered with something else than 404 or 405 is logged as an error, once for all clones.
///
/// **Layers inside each other**: clones of one layer charge once, the outer one. If the inner one says another cost,
/// the outer one cannot know and has charged already: such a request is answered with 500 and the log says why, so
/// that nobody pays twice or too little unnoticed. Use `with_route`. A clone that was changed by a `with_` method stays a
/// clone. Layers that were made apart (two services, two
/// kinds of client) each charge; the headers are the inner one's, also where it refuses. Clones around such a layer, which
/// cannot both be meant, are answered with 500 as well.
///
/// **Cancelled requests**: a charge that was sent stands. Only a charge that waits for its first answer (see above), or one under an
/// idempotency key, is taken back if the request is cancelled before its handler runs.
#[derive(Clone, Debug)]
pub struct QuotaLayer(Metering<Axum>);

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

    /// Charges this for the route of this pattern, as axum's `MatchedPath` shows it (nested prefixes included),
    /// whatever [`QuotaLayer::cost`] says.
    #[must_use]
    pub fn with_route(self, pattern: impl Into<Box<str>>, cost: impl Into<RouteCost>) -> Self {
        Self(self.0.with_route(pattern, cost))
    }

    /// Meters every request but CORS preflights, also where no router matched it: then under this label, and an idempotency key is
    /// one request's over all paths. For tower services that are no axum router: without it such a request passes free. A preflight (`OPTIONS` with
    /// `Access-Control-Request-Method`) reaches the service unmetered: it must look at the method before it works.
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

    pub(crate) const fn metering(&self) -> &Metering<Axum> {
        &self.0
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered::new(self.clone(), inner)
    }
}
