//! The layer's settings.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::MatchedPath;
use http::{Request, StatusCode, Uri};
use quota_core::Label;
use quota_http::{Answers, is_preflight};
use quota_service::{QuotaService, SharedService, UsageStore};
use tower_layer::Layer;

use crate::client_by::ClientBy;
use crate::route_cost::RouteCost;
use crate::routes::{Route, Routes};
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
/// **What is charged**: what the router matched, by pattern and method. Not CORS preflights, not unmatched paths, not
/// 405s. `HEAD` is charged as `GET`. Axum's `layer` (and `Router::route_layer`) wraps a route's 405 as well, which
/// looks like a handler until it has answered: so the first request for each route and method is charged under an id,
/// and taken back if the answer is 405. A request without a client, or of a client without credits, learns that
/// before it learns of a 405; under `MethodRouter::route_layer`, as in the first example, 405s never come this way.
///
/// **Where axum shows no pattern, nothing is charged**: a layer around a `Router::nest_service` (the pattern is known
/// only inside: put the layer on the inner router by its `route_layer`, or use `Router::nest`), and a layer around the
/// whole router (`ServiceBuilder::new().layer(quota).service(router)`: use `router.layer(quota)`, which runs after the
/// match). [`QuotaLayer::with_every_request`] meters both as they are. The first request that passes free in this way
/// and is answered with something else than 404 or 405 is logged as an error, once for all clones.
///
/// **Layers inside each other**: clones of one layer charge once, the outer one. If the inner one says another cost,
/// the outer one cannot know and has charged already: such a request is answered with 500 and the log says why, so
/// that nobody pays twice or too little unnoticed. Use `with_route`. A clone that was changed by a `with_` method stays a
/// clone. Layers that were made apart (two services, two
/// kinds of client) each charge; the headers are the inner one's, also where it refuses.
///
/// **Cancelled requests**: a charge that was sent stands. Only a charge that waits for its first answer (see above) is
/// taken back if the request is cancelled before it goes on.
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
    shared: Arc<Shared>,
}

/// What clones of a layer share however they were changed: by this they know each other.
#[derive(Debug, Default)]
struct Shared {
    routes: Routes,
    /// Whether it was logged that a request passed free for want of a pattern.
    told: AtomicBool,
}

/// What a layer does with a request.
pub(crate) enum Passage<'a> {
    Metered(Arc<Route>, &'a RouteCost),
    Free,
    /// Free because no pattern is known, which is right if nothing answers it.
    Unmatched,
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
            shared: Arc::default(),
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

    /// The route and the cost of a request; or why it passes free.
    pub(crate) fn metered<B>(&self, request: &Request<B>) -> Passage<'_> {
        if is_preflight(request.method(), request.headers()) {
            return Passage::Free;
        }
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let Some(pattern) = matched.or_else(|| self.base.every_request.as_ref().map(Label::as_str)) else {
            return Passage::Unmatched;
        };
        let cost = self.base.costs.get(pattern).unwrap_or(&self.cost);
        if cost.is_exempt() {
            return Passage::Free;
        }
        Passage::Metered(self.base.shared.routes.route(pattern), cost)
    }
}

impl Base {
    /// Whether these are clones of one layer, changed or not.
    pub(crate) fn is_kin(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether it is still to be logged if a request without a pattern is answered.
    pub(crate) fn is_watching(&self) -> bool {
        !self.shared.told.load(Ordering::Relaxed)
    }

    /// Logs, once for all clones, that a request without a pattern was answered after all.
    pub(crate) fn watch(&self, uri: &Uri, status: StatusCode) {
        let unanswered = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if unanswered || self.shared.told.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(
            path = uri.path(),
            status = status.as_u16(),
            "a request passed free, because axum showed the quota layer no MatchedPath, and something answered it: \
             the layer lies around a Router::nest_service, around the whole router or around what is no router. \
             Move it inwards (route_layer of the inner router) or meter all by QuotaLayer::with_every_request. \
             Nothing is wrong if a fallback answered or a layer further in has charged. This is logged once"
        );
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
