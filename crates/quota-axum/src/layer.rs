//! The layer's settings.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::MatchedPath;
use http::Request;
use quota_core::Label;
use quota_http::{Answers, is_preflight};
use quota_service::{QuotaService, SharedService, UsageStore};
use tower_layer::Layer;

use crate::client_by::ClientBy;
use crate::route_cost::RouteCost;
use crate::routes::{LastRoute, Route, Routes};
use crate::service::Metered;

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
/// **What is charged**: what the router matched, by pattern and method. Not CORS preflights, not unmatched paths, not
/// 405s. `HEAD` is charged as `GET`. Axum's `layer` (and `Router::route_layer`) wraps a route's 405 as well, which
/// looks like a handler until it has answered: so the first request for each route and method is charged under an id,
/// and taken back if the answer is 405. A request without a client, or of a client without credits, learns that
/// before it learns of a 405; under `MethodRouter::route_layer`, as in the first example, 405s never come this way.
///
/// **Layers inside each other**: clones of one layer charge once, the outer one. If the inner one says another cost,
/// the outer one cannot know and has charged already: such a request is answered with 500 and the log says why, so
/// that nobody pays twice or too little unnoticed. Use `with_route`. Layers that were made apart (two services, two
/// kinds of client) each charge; the headers are the inner one's.
///
/// **Cancelled requests**: a charge that was sent stands.
#[derive(Clone)]
pub struct QuotaLayer {
    base: Arc<Base>,
    cost: RouteCost,
}

/// What all clones of a layer share.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) service: SharedService,
    pub(crate) client: ClientBy,
    pub(crate) answers: Answers,
    costs: HashMap<Box<str>, RouteCost>,
    every_request: Option<Label>,
    routes: Arc<Routes>,
}

impl QuotaLayer {
    /// Charges one credit for each request of the client that `client` finds.
    #[must_use]
    pub fn new<S: UsageStore>(service: QuotaService<S>, client: ClientBy) -> Self {
        Self::from_shared(Arc::new(service), client)
    }

    /// The same over a service whose store is not named.
    #[must_use]
    pub fn from_shared(service: SharedService, client: ClientBy) -> Self {
        let base = Base {
            service,
            client,
            answers: Answers::default(),
            costs: HashMap::new(),
            every_request: None,
            routes: Arc::default(),
        };
        Self { base: Arc::new(base), cost: RouteCost::default() }
    }

    /// Shows quotas in this way.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        Arc::make_mut(&mut self.base).answers = answers;
        self
    }

    /// Charges this for the route of this pattern, as axum's `MatchedPath` shows it (nested prefixes included),
    /// whatever [`QuotaLayer::cost`] says.
    #[must_use]
    pub fn with_route(mut self, pattern: impl Into<Box<str>>, cost: impl Into<RouteCost>) -> Self {
        Arc::make_mut(&mut self.base).costs.insert(pattern.into(), cost.into());
        self
    }

    /// Meters every request, whether a router matched it or not, under this label: for tower services that are no
    /// axum router. Without it, a request that no router has matched passes free.
    #[must_use]
    pub fn with_every_request(mut self, label: Label) -> Self {
        Arc::make_mut(&mut self.base).every_request = Some(label);
        self
    }

    /// The same layer with another cost: whole credits, an amount, or a [`RouteCost`].
    #[must_use]
    pub fn cost(&self, cost: impl Into<RouteCost>) -> Self {
        Self { base: Arc::clone(&self.base), cost: cost.into() }
    }

    /// The same layer without a charge before: the handler charges all of it.
    #[must_use]
    pub fn without_charge(&self) -> Self {
        self.cost(RouteCost::by_handler())
    }

    pub(crate) const fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// The route and the cost of a request; none if it passes free.
    pub(crate) fn metered<B>(&self, request: &Request<B>, last: &LastRoute) -> Option<(Arc<Route>, &RouteCost)> {
        if is_preflight(request.method(), request.headers()) {
            return None;
        }
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let pattern = matched.or_else(|| self.base.every_request.as_ref().map(Label::as_str))?;
        let cost = self.base.costs.get(pattern).unwrap_or(&self.cost);
        (!cost.is_exempt()).then(|| (self.base.routes.route(pattern, last), cost))
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered::new(self.clone(), inner)
    }
}

impl fmt::Debug for QuotaLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaLayer")
            .field("client", &self.base.client)
            .field("cost", &self.cost)
            .field("costs", &self.base.costs)
            .finish_non_exhaustive()
    }
}
