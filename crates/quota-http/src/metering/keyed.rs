//! What is charged under a request's idempotency key.

use std::sync::Arc;

use quota_core::{ClientId, Decision, Refusal, Ttl};
use quota_service::{Charge, HoldGuard, Holding, ServiceError};

use crate::metering::meter::{Meter, is_held, is_new, is_replayed};
use crate::metering::routes::Route;
use crate::metering::trial::{Made, Trial};
use crate::task::to_its_end;

/// What came of a charge under a request's idempotency key.
#[expect(clippy::large_enum_variant, reason = "there is one in a request, and it is moved once")]
pub(crate) enum Keyed {
    /// It was decided. With what takes it back, where this very request was charged: dropped while it is armed, it does.
    Decided(Decision, Option<Trial>),
    /// Another request holds under the key, and is under way.
    UnderWay,
}

impl Meter {
    /// Charges under a request's idempotency key what is to run once this has answered. What was charged and is answered to
    /// nobody, or not known to be, is taken back.
    ///
    /// It is held and then settled, which asks the store twice. One charge would do where all goes well; but where nobody
    /// knows whether it was made, nothing tells it from an earlier request's. Left, it is paid and never runs, for the key is
    /// refused from then on; taken back, what has run is not paid. A hold is known by its instant and its asker, and an
    /// entry that is made of it is this request's.
    ///
    /// At an instant of its own it is charged in one step: a hold of the past has expired when it is to be settled.
    pub(crate) async fn charge_under_key(
        self: &Arc<Self>,
        client: &ClientId,
        route: &Arc<Route>,
        charge: Charge,
    ) -> Result<Keyed, ServiceError> {
        if charge.at().is_some() {
            return self.charge_at_once(client, route, charge).await;
        }
        match self.hold_under_key(client, charge.clone(), Ttl::DEFAULT).await {
            Ok(Some(Holding::Held(guard))) => self.settle_under_key(guard, route).await,
            Ok(Some(Holding::Denied(denied))) => Ok(Keyed::Decided(Decision::Denied(denied), None)),
            // The hold is let go: to settle it would wait once more for a store that does not answer.
            Ok(Some(Holding::Unchecked(_))) => Ok(Keyed::Decided(Decision::Unchecked, None)),
            Ok(None) => Ok(Keyed::UnderWay),
            // It was charged before, as a charge with its id finds out. (Where that was given back in this very moment, that is
            // a charge like any other.) Or there is no room for a hold, which nobody has asked for.
            Err(ServiceError::Refused(
                Refusal::IdConflict { is_held: false, .. } | Refusal::TooManyHolds | Refusal::TooManyIds,
            )) => self.charge_at_once(client, route, charge).await,
            Err(error) => Err(error),
        }
    }

    /// Where nobody knows whether it was made, it stands: it may be an earlier request's. It goes on by itself: what is made for nobody
    /// is taken back.
    pub(crate) async fn charge_at_once(
        self: &Arc<Self>,
        client: &ClientId,
        route: &Arc<Route>,
        charge: Charge,
    ) -> Result<Keyed, ServiceError> {
        let (meter, client, route) = (Arc::clone(self), client.clone(), Arc::clone(route));
        let at_once = async move {
            let id = charge.id().cloned();
            let charged = meter.service.charge(&client, charge).await;
            if is_held(&charged) {
                // By whatever it is held, who asks again later is told what came of that.
                return Ok(Keyed::UnderWay);
            }
            let decision = charged?;
            let trial = |id| Trial::new(&meter, &client, &route, Made::under(id)).of(&decision);
            let trial = id.filter(|_| is_new(&decision)).map(trial);
            Ok(Keyed::Decided(decision, trial))
        };
        to_its_end(at_once).await.unwrap_or(Err(ServiceError::ShutDown))
    }

    async fn settle_under_key(self: &Arc<Self>, guard: HoldGuard, route: &Arc<Route>) -> Result<Keyed, ServiceError> {
        // What is settled counts when it was held.
        let mut trial = Trial::new(self, guard.client(), route, Made::under(guard.id().clone())).of(guard.decision());
        let settle = async move {
            let cost = guard.credits();
            match guard.settle(cost).await {
                Ok(settled) => {
                    let decision = settled.decision().clone();
                    // Settled by somebody else to whom the hold was handed: that one's.
                    if is_replayed(&decision) {
                        trial.disarm();
                        return Ok(Keyed::Decided(decision, None));
                    }
                    // The hold had expired: its cost counts when it was recorded.
                    if settled.is_late() {
                        trial = trial.of(&decision);
                    }
                    Ok(Keyed::Decided(decision, Some(trial)))
                }
                // Dropped, the trial takes it back.
                Err(error @ ServiceError::Unknown { .. }) => Err(error),
                Err(error) => {
                    trial.disarm();
                    Err(error)
                }
            }
        };
        to_its_end(settle).await.unwrap_or(Err(ServiceError::ShutDown))
    }
}
