//! How a framework's requests are metered.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::Method;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use quota_core::Label;
use quota_service::SharedService;

use crate::answers::Answers;
use crate::metering::admission::{Admission, Asked, Request};
use crate::metering::client_by::ClientBy;
use crate::metering::framework::Framework;
use crate::metering::idempotency::IdempotencyKeys;
use crate::metering::meter::{Meter, Watch};
use crate::metering::request_quota::RequestQuota;
use crate::metering::route_cost::RouteCost;
use crate::response::RefusalResponse;

/// How a framework's requests are metered: what an adapter's layer holds. Clones are cheap, and know each other.
pub struct Metering<F: Framework> {
    base: Arc<Base<F>>,
    cost: RouteCost<F>,
}

/// What all clones share.
struct Base<F: Framework> {
    meter: Arc<Meter>,
    client: ClientBy<F>,
    costs: HashMap<Box<str>, RouteCost<F>>,
    every_request: Option<Label>,
}

/// What is done with a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a request, and it is taken apart at once")]
pub enum Passage<F: Framework> {
    /// It runs, and is none of ours. It is to be watched where no pattern is known, which is right if nothing answers it.
    Free(Option<Watch>),
    /// It does not run.
    Refused(RefusalResponse),
    /// It is to be decided.
    Metered(Admission<F>),
}

impl<F: Framework> Metering<F> {
    /// Charges one credit for each request of the client that `client` finds.
    #[must_use]
    pub fn new(service: SharedService, client: ClientBy<F>) -> Self {
        let meter = Arc::new(Meter::new(service));
        let base = Base { meter, client, costs: HashMap::new(), every_request: None };
        Self { base: Arc::new(base), cost: RouteCost::default() }
    }

    /// Shows quotas in this way.
    #[must_use]
    pub fn with_answers(mut self, answers: Answers) -> Self {
        Arc::make_mut(&mut self.base_mut().meter).answers = answers;
        self
    }

    /// Charges a request that carries such a key once.
    #[must_use]
    pub fn with_idempotency_keys(mut self, keys: IdempotencyKeys) -> Self {
        Arc::make_mut(&mut self.base_mut().meter).keys = Some(keys);
        self
    }

    /// Charges this for the route of this pattern, whatever [`Metering::cost`] says.
    #[must_use]
    pub fn with_route(mut self, pattern: impl Into<Box<str>>, cost: impl Into<RouteCost<F>>) -> Self {
        self.base_mut().costs.insert(pattern.into(), cost.into());
        self
    }

    /// Meters every request, also where no router matched it: then under this label.
    #[must_use]
    pub fn with_every_request(mut self, label: Label) -> Self {
        self.base_mut().every_request = Some(label);
        self
    }

    /// Whether every request is metered, [`Metering::with_every_request`].
    #[must_use]
    pub fn meters_every_request(&self) -> bool {
        self.base.every_request.is_some()
    }

    /// The same with another cost: whole credits, an amount, or a [`RouteCost`].
    #[must_use]
    pub fn cost(&self, cost: impl Into<RouteCost<F>>) -> Self {
        Self { base: Arc::clone(&self.base), cost: cost.into() }
    }

    /// What is done with a request, which may have come through the layer of another metering already.
    #[must_use]
    pub fn passage(&self, request: &F::Request<'_>, outer: Option<&RequestQuota>) -> Passage<F> {
        let method = F::method(request);
        if is_preflight::<F>(&method, request) {
            return Passage::Free(None);
        }
        let matched = F::pattern(request);
        let Some(pattern) = matched.as_deref().or_else(|| self.base.every_request.as_ref().map(Label::as_str)) else {
            return Passage::Free(self.base.meter.watch());
        };
        let cost = self.base.costs.get(pattern).unwrap_or(&self.cost);
        let meter = &self.base.meter;
        if let Some(outer) = outer.filter(|outer| outer.meter().is_kin(meter)) {
            return self.inside(outer, pattern, cost);
        }
        if cost.is_exempt() {
            return Passage::Free(None);
        }
        if std::iter::successors(outer, |quota| quota.outer()).any(|quota| quota.meter().is_kin(meter)) {
            return self.around_another(pattern);
        }
        let keys = meter.keys.as_ref();
        let key = keys.map(|keys| keys.id(F::header(request, keys.name()), &method, pattern)).transpose();
        let route = meter.shared.routes.route(pattern);
        let is_handled = if F::ROUTES_BY_METHOD { !route.is_unsure(&method) } else { route.handles(&method) };
        Passage::Metered(Admission {
            client: self.base.client.find(request),
            key: key.map(Option::flatten),
            cost: cost.of(request),
            request: Request {
                meter: Arc::clone(meter),
                is_handled,
                asked: Asked { route, method, cost: cost.mark(), label: cost.label().cloned(), key: None },
                condition: cost.condition().cloned(),
            },
        })
    }

    /// Whether the route of a request costs what was asked of it on another route, under the same label if it has one of its
    /// own. Of two costs that are computed that is
    /// not known.
    #[must_use]
    pub fn costs_the_same(&self, request: &F::Request<'_>, other: &RequestQuota) -> bool {
        let pattern = F::pattern(request);
        let own = pattern.and_then(|pattern| self.base.costs.get(pattern.as_ref()));
        other.is_charged_as(own.unwrap_or(&self.cost))
    }

    /// Within a clone of itself, which has charged already.
    fn inside(&self, outer: &RequestQuota, route: &str, inner: &RouteCost<F>) -> Passage<F> {
        if outer.is_charged_as(inner) {
            return Passage::Free(None);
        }
        tracing::error!(
            route,
            ?inner,
            outer = ?outer.cost(),
            "a quota layer lies within another one with another cost, which has charged already: \
             give the outer one this route's cost by with_route, or take one of them away"
        );
        Passage::Refused(self.base.meter.answers.internal())
    }

    /// Within a clone of itself with another layer between: that one's quotas are the handler's and the answer's by now.
    fn around_another(&self, route: &str) -> Passage<F> {
        tracing::error!(
            route,
            "a quota layer lies within a clone of itself, which has decided already, with another quota layer between \
             them: take one of the clones away"
        );
        Passage::Refused(self.base.meter.answers.internal())
    }

    fn base_mut(&mut self) -> &mut Base<F> {
        Arc::make_mut(&mut self.base)
    }
}

/// Whether a request is a CORS preflight, which is never charged: `OPTIONS` with `Access-Control-Request-Method`.
fn is_preflight<F: Framework>(method: &Method, request: &F::Request<'_>) -> bool {
    *method == Method::OPTIONS && F::header(request, &ACCESS_CONTROL_REQUEST_METHOD).next().is_some()
}

impl<F: Framework> Clone for Metering<F> {
    fn clone(&self) -> Self {
        Self { base: Arc::clone(&self.base), cost: self.cost.clone() }
    }
}

impl<F: Framework> Clone for Base<F> {
    fn clone(&self) -> Self {
        Self {
            meter: Arc::clone(&self.meter),
            client: self.client.clone(),
            costs: self.costs.clone(),
            every_request: self.every_request.clone(),
        }
    }
}

impl<F: Framework> fmt::Debug for Metering<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metering")
            .field("client", &self.base.client)
            .field("cost", &self.cost)
            .field("costs", &self.base.costs)
            .finish_non_exhaustive()
    }
}
