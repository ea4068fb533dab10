//! What all requests of a metered application share.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use quota_core::{ClientId, Decision, Refusal, Ttl};
use quota_service::{Charge, Holding, ServiceError, SharedService};

use crate::answers::Answers;
use crate::metering::idempotency::IdempotencyKeys;
use crate::metering::routes::Routes;
use crate::refusals::is_fault;
use crate::task::to_its_end;

/// The service and how its decisions are told. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) service: SharedService,
    pub(crate) answers: Answers,
    pub(crate) keys: Option<IdempotencyKeys>,
    pub(crate) shared: Arc<Shared>,
}

/// What clones share however they were changed: by this they know each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) routes: Routes,
    /// Whether it was logged that a request passed free for want of a pattern.
    told: AtomicBool,
}

/// Looks whether something answers a request for which no pattern is known.
#[derive(Debug)]
pub struct Watch(Arc<Shared>);

impl Meter {
    pub(crate) fn new(service: SharedService) -> Self {
        Self { service, answers: Answers::default(), keys: None, shared: Arc::default() }
    }

    /// Whether these are clones of one, changed or not.
    pub(crate) fn is_kin(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Holds under a request's idempotency key; none where another request holds under it, and is under way.
    ///
    /// It goes on by itself where nobody waits any more: a guard that is delivered to nobody releases its hold, and that
    /// may be the other request's.
    pub(crate) async fn hold_under_key(
        &self,
        client: &ClientId,
        charge: Charge,
        ttl: Ttl,
    ) -> Result<Option<Holding>, ServiceError> {
        let (service, client) = (Arc::clone(&self.service), client.clone());
        let hold = async move {
            Ok(match service.hold(&client, charge, ttl).await? {
                Holding::Held(guard) if is_replayed(guard.decision()) => {
                    guard.disown();
                    None
                }
                holding => Some(holding),
            })
        };
        to_its_end(hold).await.unwrap_or(Err(ServiceError::ShutDown))
    }

    /// Something to look with, unless what it would find was logged already.
    pub(crate) fn watch(&self) -> Option<Watch> {
        (!self.shared.told.load(Ordering::Relaxed)).then(|| Watch(Arc::clone(&self.shared)))
    }
}

impl Watch {
    /// Logs, once for all clones of a layer, that a request without a pattern was answered after all. `hint` says what
    /// to do in this framework.
    pub fn answered(&self, path: &str, status: StatusCode, hint: &str) {
        let is_unanswered = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if is_unanswered || self.0.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let status = status.as_u16();
        tracing::error!(path, status, "a request passed free, because no route was seen, and was answered: {hint}");
    }
}

/// Whether a decision was made before, under the same id.
pub(crate) const fn is_replayed(decision: &Decision) -> bool {
    matches!(decision, Decision::Allowed(allowed) if allowed.replayed())
}

/// Whether it was refused since its id is an active hold's.
pub(crate) const fn is_held(answer: &Result<Decision, ServiceError>) -> bool {
    matches!(answer, Err(ServiceError::Refused(Refusal::IdConflict { is_held: true, .. })))
}

/// Whether it was certainly made now. What is let through unchecked may have been charged before, under the same id.
pub(crate) const fn is_new(decision: &Decision) -> bool {
    matches!(decision, Decision::Allowed(_)) && !is_replayed(decision)
}

/// Logs what the answer must not tell.
pub(crate) fn log(error: &ServiceError, client: &ClientId) {
    if let ServiceError::Refused(refusal) = error
        && !is_fault(refusal)
    {
        tracing::debug!(%client, code = refusal.code(), "refused: {refusal}");
    } else {
        let error: &dyn Error = error;
        tracing::error!(%client, error, "a request could not be metered");
    }
}
