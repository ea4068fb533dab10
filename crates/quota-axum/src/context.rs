//! What a request's layer, its handler and its answer share.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Extensions, HeaderMap};
use quota_core::{ClientId, Decision, Label};
use quota_service::Charge;

use crate::admission::Asked;
use crate::layer::Base;
use crate::route_cost::RouteCost;
use crate::routes::Route;

/// One metered request.
pub(crate) struct Context {
    pub(crate) base: Arc<Base>,
    pub(crate) client: ClientId,
    asked: Asked,
    /// The last decision in this request, which the headers show.
    last: Mutex<Option<Decision>>,
    /// Whether a layer further in has metered or refused the request too: then its headers stand.
    superseded: AtomicBool,
}

/// The context as it lies in a request's extensions.
#[derive(Clone)]
struct Carried(Arc<Context>);

impl Context {
    pub(crate) fn new(base: Arc<Base>, client: ClientId, asked: Asked, decision: Option<Decision>) -> Self {
        Self { base, client, asked, last: Mutex::new(decision), superseded: AtomicBool::new(false) }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.asked.route
    }

    pub(crate) const fn cost(&self) -> &RouteCost {
        &self.asked.cost
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get().map(|Carried(context)| context)
    }

    pub(crate) fn carry(self: &Arc<Self>, extensions: &mut Extensions) {
        if let Some(Carried(outer)) = extensions.insert(Carried(Arc::clone(self))) {
            outer.superseded.store(true, Ordering::Relaxed);
        }
    }

    /// Leaves the headers to the layer that is at work now, which runs the request or refuses it.
    pub(crate) fn supersede(extensions: &Extensions) {
        if let Some(outer) = Self::of(extensions) {
            outer.superseded.store(true, Ordering::Relaxed);
        }
    }

    /// A charge under the route's label, unless it says its own.
    pub(crate) fn labelled(&self, charge: Charge) -> Charge {
        match self.route().label() {
            Some(label) if charge.label().is_none() => charge.with_label(Label::clone(label)),
            _ => charge,
        }
    }

    /// Notes a decision that was made in this request.
    pub(crate) fn note(&self, decision: &Decision) {
        self.set(Some(decision.clone()));
    }

    pub(crate) fn set(&self, decision: Option<Decision>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = decision;
    }

    pub(crate) fn last(&self) -> Option<Decision> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the headers are still to be found out.
    pub(crate) fn is_open(&self) -> bool {
        !self.superseded.load(Ordering::Relaxed) && self.last.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Writes the headers of the last decision.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if self.superseded.load(Ordering::Relaxed) {
            return;
        }
        if let Some(decision) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            self.base.answers.write_decision(decision, headers);
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("client", &self.client)
            .field("route", &self.route().pattern())
            .finish_non_exhaustive()
    }
}
