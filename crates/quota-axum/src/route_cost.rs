//! What a route costs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use quota_core::Credits;
use quota_http::RefusalResponse;

use crate::found::Found;

type Compute = dyn Fn(&Parts) -> Found<Result<Credits, RefusalResponse>> + Send + Sync;

/// What a route charges before its handler runs. One credit by default.
///
/// ```
/// use quota_axum::RouteCost;
///
/// let five = RouteCost::from(5);
/// let half = RouteCost::from("0.5".parse::<quota_core::Credits>()?);
/// # Ok::<(), quota_core::CreditsError>(())
/// ```
#[derive(Clone)]
pub struct RouteCost(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Credits),
    Computed(Arc<Compute>),
    Handler,
    Exempt,
}

impl RouteCost {
    /// Worked out from the request. An error is the answer, and nothing is charged.
    pub fn computed<F>(cost: F) -> Self
    where
        F: Fn(&Parts) -> Result<Credits, RefusalResponse> + Send + Sync + 'static,
    {
        Self(Kind::Computed(Arc::new(move |parts| Found::Now(cost(parts)))))
    }

    /// Worked out by a function that has to wait. It takes what it needs from the request before it waits.
    pub fn async_computed<F, Fut>(cost: F) -> Self
    where
        F: Fn(&Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credits, RefusalResponse>> + Send + 'static,
    {
        Self(Kind::Computed(Arc::new(move |parts| Found::later(cost(parts)))))
    }

    /// Nothing is charged before: the handler charges or holds through [`crate::ClientQuota`], in all what it says.
    /// The answer carries the quota headers even if the handler did neither.
    #[must_use]
    pub const fn by_handler() -> Self {
        Self(Kind::Handler)
    }

    /// Not metered at all: no client is asked for, no headers are written.
    #[must_use]
    pub const fn exempt() -> Self {
        Self(Kind::Exempt)
    }

    pub(crate) const fn is_exempt(&self) -> bool {
        matches!(self.0, Kind::Exempt)
    }

    pub(crate) const fn is_by_handler(&self) -> bool {
        matches!(self.0, Kind::Handler)
    }

    /// The cost of a request; none where the handler charges itself.
    pub(crate) fn of(&self, parts: &Parts) -> Found<Result<Option<Credits>, RefusalResponse>> {
        match &self.0 {
            Kind::Fixed(cost) => Found::Now(Ok(Some(*cost))),
            Kind::Computed(compute) => match compute(parts) {
                Found::Now(cost) => Found::Now(cost.map(Some)),
                Found::Later(future) => Found::later(async { future.await.map(Some) }),
            },
            Kind::Handler | Kind::Exempt => Found::Now(Ok(None)),
        }
    }

    /// Whether both say the same, as far as can be told.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Fixed(one), Kind::Fixed(other)) => one == other,
            (Kind::Computed(one), Kind::Computed(other)) => Arc::ptr_eq(one, other),
            (Kind::Handler, Kind::Handler) | (Kind::Exempt, Kind::Exempt) => true,
            _ => false,
        }
    }
}

impl Default for RouteCost {
    fn default() -> Self {
        Self(Kind::Fixed(Credits::ONE))
    }
}

impl From<Credits> for RouteCost {
    fn from(cost: Credits) -> Self {
        Self(Kind::Fixed(cost))
    }
}

impl From<u32> for RouteCost {
    fn from(whole: u32) -> Self {
        // Any 32 bits fit.
        Self(Kind::Fixed(Credits::new(u64::from(whole)).unwrap_or(Credits::MAX)))
    }
}

impl fmt::Debug for RouteCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(cost) => write!(f, "RouteCost({cost})"),
            Kind::Computed(_) => f.write_str("RouteCost::computed"),
            Kind::Handler => f.write_str("RouteCost::by_handler"),
            Kind::Exempt => f.write_str("RouteCost::exempt"),
        }
    }
}
