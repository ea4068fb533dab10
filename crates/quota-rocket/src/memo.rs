//! What was decided of a request, once.

use std::any::TypeId;
use std::sync::{Mutex, OnceLock, PoisonError};

use quota_http::{Admitted, Answers, Passage, RefusalResponse, RequestQuota};
use rocket::Request;

use crate::RouteCost;
use crate::fairing::Quotas;
use crate::told::Told;

/// What was decided of a request: by its first guard, for all of them, and for the fairing.
#[expect(clippy::large_enum_variant, reason = "there is one in a request, and it is not moved")]
pub(crate) enum Memo {
    /// No guard has asked.
    Unasked,
    /// It may run. Its type of price, so that another one is told from it.
    Admitted {
        quota: RequestQuota,
        price: TypeId,
        open: Mutex<Option<Admitted>>,
        /// What the answer's headers borrow.
        told: OnceLock<Told>,
    },
    Refused(RefusalResponse),
}

impl Memo {
    /// Decides, if nobody has.
    pub(crate) async fn of<'r>(request: &'r Request<'_>, price: TypeId, cost: RouteCost) -> &'r Self {
        request.local_cache_async(Self::decide(request, price, cost)).await
    }

    /// What was decided, if anybody has asked.
    pub(crate) fn found<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(|| Self::Unasked)
    }

    async fn decide(request: &Request<'_>, price: TypeId, cost: RouteCost) -> Self {
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
                Self::Admitted { quota, price, open: Mutex::new(Some(admitted)), told: OnceLock::new() }
            }
            Err(refusal) => Self::Refused(refusal),
        }
    }

    /// The request that may run, for whoever concludes it, and a place for what its answer's headers borrow.
    pub(crate) fn take(&self) -> Option<(Admitted, &OnceLock<Told>)> {
        match self {
            Self::Admitted { open, told, .. } => {
                Some((open.lock().unwrap_or_else(PoisonError::into_inner).take()?, told))
            }
            Self::Unasked | Self::Refused(_) => None,
        }
    }
}
