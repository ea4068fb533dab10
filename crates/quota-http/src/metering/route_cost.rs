//! What a route costs.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use quota_core::{Credits, Label};

use crate::metering::condition::{Condition, next_number};
use crate::metering::found::Found;
use crate::metering::framework::Framework;
use crate::response::RefusalResponse;

type Cost = Result<Credits, RefusalResponse>;

type Compute<F> = dyn Fn(&<F as Framework>::Request<'_>) -> Found<F, Cost> + Send + Sync;

/// What a route charges before its handler runs. One credit by default.
pub struct RouteCost<F: Framework> {
    kind: Kind<F>,
    /// Charged after the handler, if its answer is one of these.
    condition: Option<Condition>,
    /// Its entries' label; none for the route's pattern.
    label: Option<Label>,
}

enum Kind<F: Framework> {
    Fixed(Credits),
    Computed(u64, Arc<Compute<F>>),
    Handler,
    Exempt,
}

/// By what costs are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CostMark {
    kind: KindMark,
    condition: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KindMark {
    Fixed(Credits),
    Computed(u64),
    Handler,
    Exempt,
}

impl<F: Framework> RouteCost<F> {
    /// Worked out from the request. An error is the answer, and nothing is charged.
    pub fn computed<C>(cost: C) -> Self
    where
        C: Fn(&F::Request<'_>) -> Result<Credits, RefusalResponse> + Send + Sync + 'static,
    {
        Kind::Computed(next_number(), Arc::new(move |request| Found::Now(cost(request)))).into()
    }

    /// Worked out by a function that has to wait. It takes what it needs from the request before it waits:
    /// `|request| { let size = ...; Box::pin(async move { ... }) }`.
    pub fn async_computed<C>(cost: C) -> Self
    where
        C: Fn(&F::Request<'_>) -> F::Later<Result<Credits, RefusalResponse>> + Send + Sync + 'static,
    {
        Kind::Computed(next_number(), Arc::new(move |request| Found::Later(cost(request)))).into()
    }

    /// Nothing is charged before: the handler charges or holds itself, in all what it says. The answer carries the quota
    /// headers even if the handler did neither, where they can be told: nobody is refused before the handler asks, neither for want
    /// of a plan nor of a store. A handler that works first asks [`crate::RequestQuota::status`] before it does. [`RouteCost::on_success`] changes nothing of that: a handler that holds decides
    /// itself when it settles.
    #[must_use]
    pub const fn by_handler() -> Self {
        Self { kind: Kind::Handler, condition: None, label: None }
    }

    /// Not metered at all: no client is asked for, no headers are written.
    #[must_use]
    pub const fn exempt() -> Self {
        Self { kind: Kind::Exempt, condition: None, label: None }
    }

    /// Charged only if the handler succeeded (200 to 299, or 101, an upgrade): the cost is held before it runs, so a request that cannot be
    /// paid does not run, and charged or released when it has answered. A body that is streamed counts as answered with its
    /// status. What cannot be charged then is answered with 503 in place of the handler's answer (403 where the hold expired and the
    /// client's plan has gone meanwhile), unless the service fails open.
    #[must_use]
    pub fn on_success(mut self) -> Self {
        self.condition = Some(Condition::success());
        self
    }

    /// The same for a choice of statuses, such as `|status| !status.is_server_error()`. A 405 is never charged.
    #[must_use]
    pub fn on_status(mut self, charged: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Condition::new(charged));
        self
    }

    /// Entries are made under this label: several routes are told as one, or one route by the names of its prices. Without
    /// it, and where a handler's own charge says none, they are made under the route's pattern.
    #[must_use]
    pub fn with_label(mut self, label: Label) -> Self {
        self.label = Some(label);
        self
    }

    pub(crate) const fn is_exempt(&self) -> bool {
        matches!(self.kind, Kind::Exempt)
    }

    pub(crate) fn mark(&self) -> CostMark {
        let kind = match &self.kind {
            Kind::Fixed(cost) => KindMark::Fixed(*cost),
            Kind::Computed(number, _) => KindMark::Computed(*number),
            Kind::Handler => KindMark::Handler,
            Kind::Exempt => KindMark::Exempt,
        };
        CostMark { kind, condition: self.condition.as_ref().map(Condition::number) }
    }

    pub(crate) const fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    pub(crate) const fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// The cost of a request; none where the handler charges itself.
    pub(crate) fn of(&self, request: &F::Request<'_>) -> Option<Found<F, Cost>> {
        match &self.kind {
            Kind::Fixed(cost) => Some(Found::Now(Ok(*cost))),
            Kind::Computed(_, compute) => Some(compute(request)),
            Kind::Handler | Kind::Exempt => None,
        }
    }
}

impl CostMark {
    pub(crate) const fn is_by_handler(self) -> bool {
        matches!(self.kind, KindMark::Handler)
    }
}

impl<F: Framework> Default for RouteCost<F> {
    fn default() -> Self {
        Self::from(Credits::ONE)
    }
}

impl<F: Framework> From<Kind<F>> for RouteCost<F> {
    fn from(kind: Kind<F>) -> Self {
        Self { kind, condition: None, label: None }
    }
}

impl<F: Framework> From<Credits> for RouteCost<F> {
    fn from(cost: Credits) -> Self {
        Kind::Fixed(cost).into()
    }
}

impl<F: Framework> From<u32> for RouteCost<F> {
    fn from(whole: u32) -> Self {
        // Any 32 bits fit.
        Credits::new(u64::from(whole)).unwrap_or(Credits::MAX).into()
    }
}

impl<F: Framework> Clone for RouteCost<F> {
    fn clone(&self) -> Self {
        let kind = match &self.kind {
            Kind::Fixed(cost) => Kind::Fixed(*cost),
            Kind::Computed(number, compute) => Kind::Computed(*number, Arc::clone(compute)),
            Kind::Handler => Kind::Handler,
            Kind::Exempt => Kind::Exempt,
        };
        Self { kind, condition: self.condition.clone(), label: self.label.clone() }
    }
}

impl<F: Framework> fmt::Debug for RouteCost<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Fixed(cost) => write!(f, "RouteCost({cost})"),
            Kind::Computed(..) => f.write_str("RouteCost::computed"),
            Kind::Handler => f.write_str("RouteCost::by_handler"),
            Kind::Exempt => f.write_str("RouteCost::exempt"),
        }?;
        if self.condition.is_some() { f.write_str(" on some answers") } else { Ok(()) }
    }
}
