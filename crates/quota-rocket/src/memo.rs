//! What was decided of a request, once.

use std::any::TypeId;
use std::sync::{Mutex, OnceLock, PoisonError};

use quota_http::{Admitted, Answers, Passage, RefusalResponse, RequestQuota};
use rocket::Request;
use rocket::tokio::sync::OnceCell;

use crate::RouteCost;
use crate::fairing::Quotas;
use crate::told::Told;

/// What was decided of a request on one of its routes: by its first guard there, for all of them, and for the fairing.
pub(crate) struct Memo {
    route: usize,
    decided: Decided,
    /// On the route that the router passed it on to.
    next: OnceCell<Box<Self>>,
}

/// What the first guard of a request has decided.
type First = OnceCell<Memo>;

/// What was decided.
#[expect(clippy::large_enum_variant, reason = "there is one in a request, and it is not moved")]
pub(crate) enum Decided {
    /// It may run. Its type of price, so that another one is told from it; none where an earlier route's guard charged,
    /// which is not given back.
    Admitted {
        quota: RequestQuota,
        price: Option<TypeId>,
        open: Mutex<Option<Admitted>>,
        /// What the answer's headers borrow.
        told: OnceLock<Told>,
    },
    Refused(RefusalResponse),
}

impl Memo {
    /// Decides, if nobody has for this route.
    pub(crate) async fn of<'r>(request: &'r Request<'_>, price: TypeId, cost: RouteCost) -> &'r Decided {
        let route = route_of(request);
        let first = async { Self::new(route, Decided::of(request, price, cost.clone()).await) };
        // Guards that are asked at once wait for one decision: the cache would run both and keep one.
        let mut memo = request.local_cache(First::default).get_or_init(|| first).await;
        while memo.route != route {
            let next = async {
                let decided = match memo.decided.passed_on(request, price, &cost).await {
                    Some(stands) => stands,
                    None => Decided::of(request, price, cost.clone()).await,
                };
                Box::new(Self::new(route, decided))
            };
            memo = memo.next.get_or_init(|| next).await;
        }
        &memo.decided
    }

    /// What was decided last, if any guard has asked; and whether that was on the route that has answered.
    pub(crate) fn found<'r>(request: &'r Request<'_>) -> Option<(&'r Decided, bool)> {
        let mut memo = request.local_cache(First::default).get()?;
        while let Some(next) = memo.next.get() {
            memo = next;
        }
        Some((&memo.decided, memo.route == route_of(request)))
    }

    fn new(route: usize, decided: Decided) -> Self {
        Self { route, decided, next: OnceCell::new() }
    }
}

/// Tells a route from all others of the application.
fn route_of(request: &Request<'_>) -> usize {
    request.route().map_or(0, |route| std::ptr::from_ref(route).addr())
}

impl Decided {
    async fn of(request: &Request<'_>, price: TypeId, cost: RouteCost) -> Self {
        let Some(quotas) = request.rocket().state::<Quotas>() else {
            tracing::error!("a route asks for quotas and no QuotaFairing is attached");
            return Self::Refused(Answers::default().internal());
        };
        quotas.find_client(request).await;
        let admission = match quotas.metering().cost(cost).passage(request, None) {
            Passage::Metered(admission) => admission,
            Passage::Refused(refusal) => return Self::Refused(refusal),
            Passage::Free(_) => {
                let path = request.uri().path().as_str();
                tracing::error!(
                    path,
                    "a route asks for quotas and is exempt, or answers CORS preflights, which are free"
                );
                return Self::Refused(Answers::default().internal());
            }
        };
        let admitted = match admission.now() {
            Ok(decided) => decided,
            Err(admission) => admission.later().await,
        };
        match admitted {
            Ok(admitted) => {
                let quota = admitted.quota().clone();
                Self::Admitted { quota, price: Some(price), open: Mutex::new(Some(admitted)), told: OnceLock::new() }
            }
            Err(refusal) => Self::Refused(refusal),
        }
    }

    /// What was charged on a route whose handler did not run, since the router passed the request on, where that is what it
    /// costs on its next one.
    async fn passed_on(&self, request: &Request<'_>, price: TypeId, cost: &RouteCost) -> Option<Self> {
        let Self::Admitted { quota, price: paid, .. } = self else { return None };
        let told = OnceLock::new();
        if paid.is_none() {
            return Some(Self::Admitted { quota: quota.clone(), price: None, open: Mutex::new(None), told });
        }
        let metering = request.rocket().state::<Quotas>().map(|quotas| quotas.metering().cost(cost.clone()));
        if metering.is_some_and(|metering| metering.costs_the_same(request, quota)) {
            let (admitted, _) = self.take()?;
            return Some(Self::Admitted {
                quota: quota.clone(),
                price: Some(price),
                open: Mutex::new(Some(admitted)),
                told,
            });
        }
        self.give_back().await
    }

    /// Gives back what was charged on a route whose handler did not run. Where that cannot be, it is what the request pays
    /// on any other route.
    pub(crate) async fn give_back(&self) -> Option<Self> {
        let (admitted, _) = self.take()?;
        let quota = admitted.give_back().await.err()?;
        tracing::warn!(
            "a request was charged on a route that passed it on: it pays that, and those after it what their own route costs"
        );
        Some(Self::Admitted { quota, price: None, open: Mutex::new(None), told: OnceLock::new() })
    }

    /// The request that may run, for whoever concludes it, and a place for what its answer's headers borrow.
    pub(crate) fn take(&self) -> Option<(Admitted, &OnceLock<Told>)> {
        match self {
            Self::Admitted { open, told, .. } => {
                Some((open.lock().unwrap_or_else(PoisonError::into_inner).take()?, told))
            }
            Self::Refused(_) => None,
        }
    }
}
